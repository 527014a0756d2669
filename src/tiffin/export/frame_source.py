"""Turn documents into groups of frames, which are named and read together."""

from __future__ import annotations

import copy
import itertools
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.assemble import Assembler, LateDocuments, ListDtypes
from tiffin.corrections import Cast
from tiffin.errors import SourceError
from tiffin.export.frame_groups import declared_after
from tiffin.export.image_kinds import ImageKinds

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tiffin.assemble import DeclaredImages
    from tiffin.export.run_corrections import RunCorrections
    from tiffin.frames import Frame
    from tiffin.settings import Settings

    Documents = Iterable[tuple[str, Mapping[str, Any]]]

LATE = frozenset({"stop", "baseline"})
"""Roots of template fields whose documents can come after the frames."""

PATIENCE = 100_000
"""How many points a replay waits for the first event of a stream. Stores may have all
stream datums before all events."""


class FrameSource:
    """Assembles frames, and groups them by event and field.

    The corrections decide what an event gives: light, dark or subtracted, combined or
    not.
    """

    def __init__(self, settings: Settings, corrections: RunCorrections) -> None:
        self._settings = settings
        self._corrections = corrections
        self._images = ImageKinds(corrections, settings)
        self.groups_of = self._images.of
        self.forget_darks = self._images.forget_darks
        # Hooks come first: they may change the images of an event.
        self._groups_of = iter if settings.hooks else self._images.of
        corrected = any(not isinstance(s, Cast) for s in settings.steps)
        # What no TIFF can store may be corrected, or is for another format.
        self._corrected = corrected or settings.hooks or settings.format != "tiff"
        casts = [s.dtype for s in settings.steps if isinstance(s, Cast)]
        self._cast = np.dtype(casts[-1]) if casts else None
        self._dtypes = ListDtypes(settings.dtype, cast_later=corrected)
        self._counts: dict[tuple[str, str], int] = {}
        self._late_documents: LateDocuments | None = None
        self._patience = 0
        self._warned: set[str] = set()
        self._assembler = self._new_assembler()

    def feed(self, name: str, doc: Mapping[str, Any]) -> Iterator[list[Frame]]:
        """Process a document; return the groups that it completes."""
        self._corrections.feed(name, doc)
        error: Exception | None = None
        try:
            yield from self._groups_of(_by_event(self._assembler(name, doc)))
        except Exception as raised:  # noqa: BLE001 (raised again below)
            error = raised
        if name == "stop":
            yield from self._images.end(str(doc.get("run_start")))
        if error is not None:
            raise error

    def finish(self) -> Iterator[list[Frame]]:
        """Return the remaining groups of runs without a stop document."""
        yield from self._groups_of(_by_event(self._assembler.finish()))
        yield from self._images.end()

    def declared(self, descriptor: Mapping[str, Any]) -> DeclaredImages | None:
        """Return what a descriptor declares about its frames."""
        declared = self._assembler.declared_images(descriptor)
        return (
            None
            if declared is None
            else declared_after(self._corrections.combiners, declared)
        )

    def choose_field(self, field: str) -> None:
        """Take the images of this field from now on."""
        self._assembler.fields = (field,)

    def forget(self, run: str) -> None:
        """Forget a run."""
        self._dtypes.forget(run)
        for key in [key for key in self._counts if key[0] == run]:
            del self._counts[key]

    def close(self) -> None:
        """Close all files; reading opens them again."""
        self._assembler.close()

    # ---- passes of a replay

    def look_ahead(self, parts: Iterable[Documents]) -> None:
        """Look in advance for late documents that names and corrections use.

        The parts of the source are read only if necessary.
        """
        if self._settings.roots_in_use & LATE:
            self._late_documents = LateDocuments.scan(_unbroken(parts))
        self._patience = PATIENCE
        self._assembler = self._new_assembler()
        if self._corrections.looks_ahead:
            self._find_references(parts)
        if self._images.counts_retakes:
            self._images.count_retakes(self._all_events(parts))

    def survey(self, parts: Iterable[Documents]) -> None:
        """Choose a dtype for each field of lists that fits all of its frames.

        Also find darks and flat fields whose documents come after the frames.
        """
        if self._corrections.streams and not self._corrections.looks_ahead:
            self._find_references(parts)
        with self._dtypes.survey():
            for _ in self._all_events(parts):
                pass

    @contextmanager
    def first_pass(self, *, keep: bool) -> Iterator[FrameSource]:
        """Return a source for the pass that names the frames of a replay.

        With `keep`, the frames are kept for writing, so that there is no second pass.
        """
        self._images.plan(keep=keep)
        # The assembler that made the kept frames must close their files.
        source = self if keep else copy.copy(self)
        if not keep:
            source._assembler = self._new_assembler()  # noqa: SLF001 (its own kind)
        with self._dtypes.survey():
            yield source
        self._images.forget()

    def _find_references(self, parts: Iterable[Documents]) -> None:
        for name, doc in _unbroken(parts):
            with suppress(SourceError):  # the export will record it
                self._corrections.look_ahead(name, doc)

    def _all_events(self, parts: Iterable[Documents]) -> Iterator[list[Frame]]:
        assembler = self._new_assembler()
        for name, doc in _unbroken(parts):
            with suppress(SourceError):
                yield from _by_event(assembler(name, doc))
        yield from _by_event(assembler.finish())

    def _new_assembler(self) -> Assembler:
        return Assembler(
            fields=self._settings.fields,
            streams=self._settings.streams,
            dtypes=self._dtypes,
            join_events=self._settings.needs_events,
            join_readings=self._settings.metadata is not None
            or "frames.csv" in self._settings.sidecars,
            patience=self._patience,
            axes=self._settings.image_axes,
            roots=self._settings.roots,
            late_documents=self._late_documents,
            corrected=self._corrected,
            cast=self._cast,
            counts=self._counts,
            repeats=self._settings.repeats == "all",
            warned=self._warned,
        )


def _unbroken(parts: Iterable[Documents]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Return the documents of each part up to the place where it breaks off."""
    for part in parts:
        with suppress(SourceError):  # the plan records it
            yield from part


def _by_event(frames: Iterable[Frame]) -> Iterator[list[Frame]]:
    """Group the frames of one event and field, which share their pixels."""
    for _, group in itertools.groupby(frames, key=lambda f: id(f.pixels or f)):
        yield list(group)
