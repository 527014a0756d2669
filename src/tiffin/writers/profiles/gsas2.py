r"""Files for GSAS-II.

Its importer G2img_1TIF reads raw pixels from byte 8 of a file with a Model tag and one
strip: 16 bits as uint16, 32 bits as uint32. Beside an image it looks for a file of the
same name and ``.metadata``, with lines ``key = value``; so does the importer of any
other TIFF, G2img_PILTIF, which has other keys for the pixel size. Both get theirs.

Source: https://github.com/AdvancedPhotonSource/GSAS-II, GSASII/imports.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tiffin.writers.beamline import ENTRIES, beamline
from tiffin.writers.profile import Profile, Promise, Sidecar
from tiffin.writers.tiff_layout import MODEL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiffin.writers.profile import PageInfo
    from tiffin.writers.tiff_layout import Tag

OURS = {name.lower() for names in ENTRIES.values() for name in names} | {"datatype"}
"""Keys that mean something to an importer, in lower case."""

INTEGERS = "dataType = 0"
"""Any number but 5 stands for integers. G2img_1TIF asks for it where a 32-bit image
without a Model tag may be float32."""


def _tags(_: PageInfo) -> list[Tag]:
    return [MODEL]


def _sidecar(page: PageInfo) -> bytes:
    """Return the lines, in ASCII: GSAS-II reads them in the encoding of its machine."""
    return "".join(f"{line}\n" for line in _lines(page)).encode("ascii")


def _lines(page: PageInfo) -> Iterator[str]:
    yield INTEGERS
    for name, value in beamline(page.metadata)._asdict().items():
        if value is not None:
            yield from (f"{key} = {value!r}" for key in ENTRIES[name])
    for key, value in page.metadata.items():  # GSAS-II shows them as comments
        if key.lower() not in OURS:
            yield f"{_text(key)} = {_text(value)}"


def _text(value: Any) -> str:
    text = json.dumps(value)
    return text[1:-1] if isinstance(value, str) else text


PROFILE = Profile(
    name="gsas2",
    program="GSAS-II",
    dtypes=("uint16", "uint32", "int32"),
    compressions=(None,),
    holds_stacks=False,
    colours=(),
    least=0,
    tags=_tags,
    sidecar=Sidecar(".metadata", _sidecar),
    promises=(Promise("fabio"), Promise("tifffile"), Promise("Bio-Formats")),
)
