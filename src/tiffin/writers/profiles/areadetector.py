"""Files as the TIFF plug-in of areaDetector writes them.

Tags 65000 to 65003 hold the time stamps and the number of the array, those from 65010
one attribute each, as text ``name:value``. Numbers are written with all their digits,
where areaDetector writes six decimals.

Source: https://github.com/areaDetector/ADCore, ADApp/pluginSrc/NDFileTIFF.cpp; for the
epoch ADApp/ADSrc/NDArray.h.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tiffin.dtypes import TIFF_DTYPES, dtype_name
from tiffin.writers.profile import Profile, Promise
from tiffin.writers.tiff_layout import ASCII, DOUBLE, LONG, MODEL, NOTE_TAG, SHORT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiffin.writers.profile import PageInfo
    from tiffin.writers.tiff_layout import Tag

TIME_STAMP, UNIQUE_ID, SECONDS, NANOSECONDS = 65000, 65001, 65002, 65003

FIRST_ATTRIBUTE = 65010
"""NDFileTIFF goes to 65535; here the `NOTE_TAG` ends them, which has everything."""

EPOCH = 631_152_000
"""EPICS counts from 1990, in UTC [seconds since 1970]."""

LARGEST = 2**32 - 1


def _tags(page: PageInfo) -> list[Tag]:
    numbers = range(FIRST_ATTRIBUTE, NOTE_TAG)
    attributes: list[Tag] = [
        (number, ASCII, f"{name}:{_text(value)}".replace("\0", "").encode() + b"\0")
        for number, (name, value) in zip(numbers, _attributes(page), strict=False)
    ]
    is_read = dtype_name(page.dtype) in ("uint16", "uint32", "int32")  # as plain has it
    is_raw = page.compression is None and len(page.shape) == 2
    model = [MODEL] if is_read and is_raw else []
    return [*model, (284, SHORT, 1), *_stamps(page), *attributes]


def _stamps(page: PageInfo) -> Iterator[Tag]:
    time = page.metadata.get("timestamp")
    if isinstance(time, (int, float)) and 0 <= time - EPOCH <= LARGEST:
        nanoseconds = round((time - EPOCH) * 10**6) * 1000
        yield TIME_STAMP, DOUBLE, float(time - EPOCH)
        yield SECONDS, LONG, nanoseconds // 10**9
        yield NANOSECONDS, LONG, nanoseconds % 10**9
    number = page.metadata.get("frame", page.metadata.get("seq_num"))
    if isinstance(number, int) and 0 <= number <= LARGEST:
        yield UNIQUE_ID, LONG, number


def _attributes(page: PageInfo) -> Iterator[tuple[str, Any]]:
    """Yield names and values, those of the scanned motors on their own."""
    for name, value in page.metadata.items():
        if name == "motors" and isinstance(value, dict):
            for motor, reading in value.items():
                yield motor, reading.get("value")
        else:
            yield name, value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


PROFILE = Profile(
    name="areadetector",
    program="programs that read the TIFF files of areaDetector",
    dtypes=TIFF_DTYPES,
    compressions=(None, "zlib"),
    holds_stacks=False,
    tags=_tags,
    promises=(
        Promise("tifffile"),
        Promise("libtiff"),
        Promise("OpenCV"),
        Promise("fabio", compressions=(None,), colours=False),
    ),
)
