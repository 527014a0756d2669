"""Write an image as a file that is there whole or not at all.

`SeriesWriter` lays one image out as a plain TIFF; `publish` gives it its name;
`same_bytes` and `checksum_of` look at what is there.
"""

from tiffin.writers.checksums import (
    Buffer,
    Checksum,
    Written,
    checksum_of,
    difference,
    same_bytes,
)
from tiffin.writers.codecs import Compression
from tiffin.writers.leftovers import clear_leftovers, is_leftover
from tiffin.writers.publish import dated, publish
from tiffin.writers.series import (
    WRITABLE,
    SeriesWriter,
    Writer,
    check_writable,
    file_size,
)

__all__ = [
    "WRITABLE",
    "Buffer",
    "Checksum",
    "Compression",
    "SeriesWriter",
    "Writer",
    "Written",
    "check_writable",
    "checksum_of",
    "clear_leftovers",
    "difference",
    "file_size",
    "is_leftover",
    "dated",
    "publish",
    "same_bytes",
]
