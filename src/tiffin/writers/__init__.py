"""Turn images into files that are complete or do not exist.

A `Writer` turns an image into bytes; `make_writer` makes one by the name of its format.
`publish` writes a file and names it. `same_bytes` and `checksum_of` check files.
"""

from tiffin.writers.checksums import (
    Buffer,
    Written,
    checksum_of,
    checksum_over,
    difference,
    same_bytes,
    same_content,
    write_buffers,
)
from tiffin.writers.codecs import Compression
from tiffin.writers.leftovers import clear_leftovers, is_leftover
from tiffin.writers.new_file import NewFile, ScratchFile, UnnamedFile
from tiffin.writers.notes import find_notes
from tiffin.writers.png_file import PngWriter
from tiffin.writers.profile import PageInfo, Profile, Promise, Sidecar
from tiffin.writers.protocol import EncodedPage, StackingWriter, StackWriter, Writer
from tiffin.writers.publishing import dated, publish, write_error
from tiffin.writers.registry import (
    WriterOptions,
    find_profile,
    format_of,
    make_writer,
    names_of,
)
from tiffin.writers.tiff_layout import LARGEST as LARGEST_CLASSIC
from tiffin.writers.tiff_series import TiffWriter, file_size
from tiffin.writers.tiff_stack import TiffStack
from tiffin.writers.tifffile_pages import TifffilePages

__all__ = [
    "same_content",
    "write_error",
    "LARGEST_CLASSIC",
    "StackWriter",
    "StackingWriter",
    "NewFile",
    "ScratchFile",
    "UnnamedFile",
    "PageInfo",
    "PngWriter",
    "Profile",
    "Promise",
    "Sidecar",
    "WriterOptions",
    "find_notes",
    "find_profile",
    "format_of",
    "make_writer",
    "names_of",
    "Buffer",
    "Compression",
    "EncodedPage",
    "TiffStack",
    "TiffWriter",
    "TifffilePages",
    "Writer",
    "Written",
    "checksum_of",
    "checksum_over",
    "clear_leftovers",
    "difference",
    "file_size",
    "is_leftover",
    "dated",
    "publish",
    "same_bytes",
    "write_buffers",
]
