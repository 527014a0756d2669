"""Write the lines of the manifest for the frames of an event."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiffin.errors import ExistsError, SupersededError, WriteError
from tiffin.export.publisher import caused_by
from tiffin.records import Record

if TYPE_CHECKING:
    from tiffin.export.context import ExportContext
    from tiffin.export.output_file import Page, PageGroup

    Lines = dict[int, str]  # of files that were written, by the index of the page


class Listing:
    """Makes the lines of groups of frames, and passes them to the manifests."""

    def __init__(self, context: ExportContext) -> None:
        settings, namer, self._ledger, self._manifests, self._publisher = context
        self._waits = settings.on_full == "wait"
        self._retakes = namer.retakes

    def add(self, run: str, lines: list[tuple[int, str]]) -> None:
        """Add the lines of groups to the manifest of a run."""
        while True:
            try:
                self._manifests.add(run, lines)
            except OSError as error:  # the next call writes these lines too
                if self._ledger.failed_with(run, error.errno):
                    return  # the cause is said, and no file is missing from the list
                why = error.strerror or error
                message = f"the manifest of run {run[:8]} can't be written: {why}"
                refused = caused_by(WriteError(message), error)
                if self._waits and self._publisher.waits_for_room(refused):
                    lines = []
                    continue
                self._ledger.say(run, refused)
            except Exception as error:  # noqa: BLE001 (the border of a job; recorded)
                message = f"the manifest of run {run[:8]} can't be written: {error!r}"
                self._ledger.say(run, WriteError(message))
            return

    def lines_of(self, pages: PageGroup, lines: Lines) -> str:
        """Return the lines of a group, also for frames that failed."""
        if not self._manifests.on:
            return ""
        earlier = self._retakes.files(pages[0].place)
        if len(pages) == len(lines) == 1 and 0 in lines and not earlier:
            return lines[0]  # the usual case
        count = max(len(pages), 1 + max(lines, default=0))
        retired = self._retire(pages[0], count, earlier) if earlier else ""
        return retired + "".join(
            [lines[i] if i in lines else self._line(pages, i) for i in range(count)]
        )

    def _retire(self, first: Page, count: int, earlier: frozenset[str]) -> str:
        """Remove files of earlier takes with other names; return their lines."""
        for path in earlier:
            with self._retakes.lock(path):  # a later take may be writing this file
                if self._is_obsolete(path, first, count):
                    self._publisher.remove(self._publisher.name(path))
        error = SupersededError(
            f"superseded: event {first.frame.seq_num} was taken again"
        )
        record = Record.of(first.frame, "skipped", error=error)
        return "".join(
            self._manifests.line(first.frame, record, self._publisher.name(path), None)
            for path in sorted(earlier)
        )

    def _is_obsolete(self, path: str, first: Page, count: int) -> bool:
        """Return whether this take is the latest, is complete, and has other files."""
        run, number, _ = first.place
        places = ((run, number, i) for i in range(count))
        records = [self._ledger.at(of) for of in places if self._ledger.has(of)]
        return all(
            record.status in ("written", "skipped")
            and str(record.file) != path
            # A take that is superseded itself leaves this to the later one.
            and not isinstance(record.error, SupersededError)
            for record in records
        )

    def _line(self, pages: PageGroup, i: int) -> str:
        """Return the line of a frame that was not written."""
        place = (*pages[0].place[:2], i)
        if not self._ledger.has(place):
            return ""
        record = self._ledger.at(place)
        if record.status == "planned":
            return ""  # its stack is not complete yet
        if isinstance(record.error, ExistsError):
            return ""  # the manifest has the line of the export that wrote it
        frame = pages[i].frame if i < len(pages) else pages[0].frame.with_index(i)
        name = "" if record.file is None else self._publisher.name(record.file)
        return self._manifests.line(frame, record, name, None)
