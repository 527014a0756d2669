"""What goes into one file: an image to be laid out, or bytes as they are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from tiffin.frames import Encoded
    from tiffin.writers import Buffer, SeriesWriter, Written

__all__ = ["Content", "ImageContent", "StripContent"]


class Content(Protocol):
    """The content of a file, to be written or compared."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns), samples behind them if colour."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """Of the pixels, in this machine's byte order."""
        ...

    def write(self, descriptor: int) -> Written:
        """Write the file to an open descriptor; give its size and checksum."""
        ...

    def buffers(self) -> list[Buffer]:
        """Return all bytes of the file."""
        ...


@dataclass(slots=True)
class ImageContent:
    """An image to lay out, shape (rows, columns[, samples]) [counts], and a note."""

    writer: SeriesWriter
    image: np.ndarray
    note: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns), samples behind them if colour."""
        return self.image.shape

    @property
    def dtype(self) -> np.dtype:
        """Of the pixels, in this machine's byte order."""
        dtype = self.image.dtype
        return dtype if dtype.isnative else dtype.newbyteorder("=")

    def write(self, descriptor: int) -> Written:
        """Write the file to an open descriptor; give its size and checksum."""
        return self.writer.write(descriptor, self.image, self.note)

    def buffers(self) -> list[Buffer]:
        """Return all bytes of the file."""
        return self.writer.buffers(self.image, self.note)


@dataclass(slots=True)
class StripContent:
    """An image as it is stored, without decoding it and encoding it again."""

    writer: SeriesWriter
    strip: Encoded

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, columns), samples behind them if colour."""
        return self.strip.shape

    @property
    def dtype(self) -> np.dtype:
        """Of the pixels, in this machine's byte order."""
        return self.strip.dtype.newbyteorder("=")

    def write(self, descriptor: int) -> Written:
        """Write the file to an open descriptor; give its size and checksum."""
        strip = self.strip
        return self.writer.write_strip(descriptor, strip.data, strip.shape, strip.dtype)

    def buffers(self) -> list[Buffer]:
        """Return all bytes of the file."""
        strip = self.strip
        return self.writer.strip_buffers(strip.data, strip.shape, strip.dtype)
