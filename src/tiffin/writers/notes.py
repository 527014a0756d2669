"""Find the metadata in a file of any of our formats, by its first bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from tiffin.errors import ReadError
from tiffin.writers.png_notes import SIGNATURE, notes_in_png
from tiffin.writers.tiff_notes import is_tiff, notes_in_tiff

if TYPE_CHECKING:
    from collections.abc import Iterator

NPY = b"\x93NUMPY"


def find_notes(file: BinaryIO) -> Iterator[bytes]:
    """Yield the metadata of each image of a file, ``b""`` where there are none.

    A ReadError is raised if it is no such file, or is damaged.
    """
    head = file.read(8)
    if is_tiff(head):
        yield from notes_in_tiff(file)
    elif head == SIGNATURE:
        yield from notes_in_png(file)
    elif head.startswith(NPY):  # it holds an array and nothing else
        yield b""
    else:
        message = f"it is no TIFF, PNG or npy file, as it begins with {head!r}"
        raise ReadError(message if head else "it is empty")
