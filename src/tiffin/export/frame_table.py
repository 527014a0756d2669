"""Collect the rows of ``frames.csv``, outside of memory, and write them as CSV."""

from __future__ import annotations

import csv
import io
import json
from array import array
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.template import MISSING, elements, follow, plain, texts_in, units_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from tiffin.frames import Frame

COLUMNS = (
    *("file", "page", "seq_num", "i", "frame", "kind"),
    *("time", "timestamp [s]", "status"),
)

IN_MEMORY = 2**18
"""Rows of more bytes go to a temporary file [bytes]."""

AT_ONCE = 2**16
"""How much text is encoded at a time [characters]."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets take a text that begins so for a formula
(owasp.org/www-community/attacks/CSV_Injection)."""


class Point(NamedTuple):
    """An event with images of a field.

    Attributes
    ----------
    group : int
        The number of the group of its frames in the ledger.
    number : int or None
        The running number of its first frame.
    images : int
        How many images are declared.
    seq_num : int
    kind : str or None
        Which image of the event, if a dark is subtracted.
    time : float
        When it was taken [s since 1970]; 0 if that is not known.
    values : mapping
        Column → value.
    """

    group: int
    number: int | None
    images: int
    seq_num: int
    kind: str | None
    time: float
    values: Mapping[str, Any]


class Row(NamedTuple):
    """What became of a frame."""

    file: str
    page: int
    i: int | None
    number: int | None
    status: str


class FrameTable:
    """The events of one run, stream and field, in a temporary file if they are many."""

    def __init__(self) -> None:
        self._file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115 (closed by `close`)
        self._starts = array("q")
        self._numbers = array("q")
        self._keys: dict[str, dict[str, str]] = {}
        self._columns: dict[str, None] = {}

    def add(self, frame: Frame, group: int, images: int) -> None:
        """Add the event of a frame, the first of its group.

        An OSError is raised if there is no room for temporary files; a ValueError if a
        value can't be written, such as a number of thousands of digits.
        """
        values = self._values(frame)
        time, _ = frame.taken()
        which = (frame.number, images, plain(frame.seq_num), frame.kind)
        point = (group, *which, time, values)
        start = self._file.seek(0, io.SEEK_END)
        self._file.write(json.dumps(point).encode() + b"\n")
        self._starts.append(start)
        before = self._numbers[-1] if self._numbers else -1
        self._numbers.append(before if frame.number is None else frame.number)

    def points(self) -> Iterator[Point]:
        """Return the events, in the order in which they were taken."""
        numbers = self._numbers
        # An event that waited for a document comes later than it was taken.
        for n in sorted(range(len(numbers)), key=numbers.__getitem__):
            self._file.seek(self._starts[n])
            yield Point(*json.loads(self._file.readline()))

    def chunks(
        self,
        rows_of: Callable[[Point], Iterable[Row]],
        iso_time: Callable[[float], str | None],
    ) -> Iterator[bytes]:
        """Return the table as RFC 4180 has it, in UTF-8 with a byte order mark.

        Excel takes a file without a mark for one in the code page of the machine, in
        which a µ or an Å is another letter. pandas and LibreOffice expect the mark.
        """
        text = io.StringIO()
        text.write("\N{BYTE ORDER MARK}")
        writer = csv.writer(text)
        writer.writerow([*COLUMNS, *map(_cell, self._columns)])
        for point in self.points():
            time = (iso_time(point.time), point.time) if point.time else (None, None)
            values = [_cell(point.values.get(column)) for column in self._columns]
            for row in rows_of(point):
                which = (row.page, point.seq_num, row.i, row.number, point.kind)
                writer.writerow([_cell(row.file), *which, *time, row.status, *values])
            if text.tell() > AT_ONCE:
                yield text.getvalue().encode("utf-8", "backslashreplace")
                text.seek(0)
                text.truncate()
        yield text.getvalue().encode("utf-8", "backslashreplace")

    def close(self) -> None:
        """Remove the temporary file."""
        self._file.close()

    def _values(self, frame: Frame) -> dict[str, Any]:
        """Return the scalars of the event, by their columns."""
        descriptor = str(frame.descriptor.get("uid"))
        columns = self._keys.get(descriptor)
        if columns is None:
            columns = self._keys[descriptor] = _columns_of(frame.descriptor)
            self._columns |= dict.fromkeys(columns.values())
        values, data = {}, follow(frame.event, "data")
        for key, column in columns.items():
            value = plain(follow(data, key))
            if isinstance(value, (str, bool, int, float)):
                values[column] = value
        return values


def _columns_of(descriptor: Mapping[str, Any]) -> dict[str, str]:
    """Return the column of each scalar data key: its name, and its unit if known."""
    columns = {}
    for key in texts_in(follow(descriptor, "data_keys")):
        data_key = follow(descriptor, "data_keys", key)
        shape = elements(follow(data_key, "shape"))
        is_external = follow(data_key, "external") is not MISSING
        if not (shape or is_external or follow(data_key, "dtype") == "array"):
            unit = units_of(key, {"descriptor": descriptor})
            column = f"event.{key}" if key in COLUMNS else key
            columns[key] = f"{column} [{unit}]" if unit else column
    return columns


def _cell(value: Any) -> Any:
    """Return a value as a cell; an apostrophe keeps text from being a formula."""
    if not isinstance(value, str) or not value.startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value
