"""Files for any program that reads TIFF: the default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiffin.dtypes import dtype_name
from tiffin.writers.profile import Profile, Promise
from tiffin.writers.tiff_layout import MODEL

if TYPE_CHECKING:
    from tiffin.writers.profile import PageInfo
    from tiffin.writers.tiff_layout import Tag


def _tags(page: PageInfo) -> list[Tag]:
    """With a Model tag GSAS-II reads these dtypes, and no other, correctly from byte 8.

    Without one it declines the file, or leaves it to its PIL importer. It does not ask
    whether pixels are compressed.
    """
    is_read = dtype_name(page.dtype) in ("uint16", "uint32", "int32")
    is_raw = page.compression is None and len(page.shape) == 2
    return [MODEL] if is_read and is_raw else []


PROFILE = Profile(
    name="plain",
    program="any program that reads TIFF",
    tags=_tags,
    is_uniform=True,
    promises=(
        Promise("tifffile"),
        Promise("libtiff"),
        Promise("Bio-Formats"),
        Promise("OpenCV", compressions=(None, "zlib", "lzw")),
        Promise("fabio", compressions=(None,), colours=False, bigtiff=False),
    ),
)
