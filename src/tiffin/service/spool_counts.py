"""Notice which documents of a run were lost: events count from 1 without gaps."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tiffin.display import count_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["Counts"]

SHOWN = 5


class Numbers:
    """Numbers from 1, some of which may be missing. Small if few are."""

    def __init__(self) -> None:
        self.last = 0  # all up to here have come
        self._beyond: set[int] = set()

    def add(self, numbers: Iterable[int]) -> None:
        """Add numbers, in any order, also again."""
        self._beyond.update(n for n in numbers if n > self.last)
        while self.last + 1 in self._beyond:
            self.last += 1
            self._beyond.discard(self.last)

    def missing(self, count: int) -> list[int]:
        """Return what has not come, up to `count` or the largest that has."""
        largest = max(count, self.last, *self._beyond)
        return [n for n in range(self.last + 1, largest + 1) if n not in self._beyond]


class Counts:
    """What has come of a run: events, and images in files by stream datums."""

    def __init__(self) -> None:
        self._streams: dict[str, str] = {}  # by descriptor
        self._fields: dict[str, str] = {}  # by stream resource
        self._seen: defaultdict[str, dict[str, Numbers]] = defaultdict(dict)
        self._problems: dict[str, None] = {}

    def add(self, name: str, doc: Mapping[str, Any]) -> None:
        """Count a document."""
        if name == "descriptor":
            self._streams[str(doc.get("uid"))] = str(doc.get("name"))
        elif name == "stream_resource":
            self._fields[str(doc.get("uid"))] = str(doc.get("data_key"))
        elif name in ("event", "event_page"):
            numbers = doc.get("seq_num")
            self._add(doc, "", numbers if isinstance(numbers, list) else [numbers])
        elif name == "stream_datum":
            field = self._fields.get(str(doc.get("stream_resource")))
            if field is None:
                self.add_problem("a stream resource is missing")
            elif isinstance(limits := doc.get("seq_nums"), dict):
                first, end = limits.get("start"), limits.get("stop")
                if isinstance(first, int) and isinstance(end, int):
                    self._add(doc, field, range(first, end))

    def add_problem(self, problem: str) -> None:
        """Note something else that is missing."""
        self._problems[problem] = None

    def missing(self, stop: Mapping[str, Any]) -> list[str]:
        """Return what has not come, by the counts of the stop document."""
        declared = stop.get("num_events")
        counts = {
            str(stream): count
            for stream, count in (
                declared if isinstance(declared, dict) else {}
            ).items()
            if isinstance(count, int) and count > 0
        }
        missing = [*self._problems]
        for stream in {**counts, **self._seen}:
            count = counts.get(stream, 0)
            seen = self._seen.get(stream)
            if seen is None:
                missing.append(f"stream {stream!r} lacks all events ({count})")
            for field, numbers in (seen or {}).items():
                lost = numbers.missing(count)
                if lost:
                    shown = ", ".join(map(str, lost[:SHOWN]))
                    more = "…" if len(lost) > SHOWN else ""
                    what = count_text(len(lost), "image" if field else "event")
                    of = f" of {field!r}" if field else ""
                    missing.append(f"stream {stream!r} lacks {what}{of}: {shown}{more}")
        return missing

    def _add(self, doc: Mapping[str, Any], field: str, numbers: Iterable[Any]) -> None:
        stream = self._streams.get(str(doc.get("descriptor")))
        if stream is None:
            self.add_problem("a descriptor is missing")
        else:
            seen = self._seen[stream].setdefault(field, Numbers())
            seen.add(n for n in numbers if isinstance(n, int))
