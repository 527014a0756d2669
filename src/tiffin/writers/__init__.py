"""Write an image as a file that is there whole or not at all.

`SeriesWriter` lays one image out as a plain TIFF; `publish` gives it its name.
"""

from tiffin.writers.publish import clear_leftovers, publish
from tiffin.writers.series import WRITABLE, SeriesWriter, Writer, file_size

__all__ = [
    "WRITABLE",
    "SeriesWriter",
    "Writer",
    "clear_leftovers",
    "file_size",
    "publish",
]
