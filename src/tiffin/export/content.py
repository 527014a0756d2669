"""What goes into one file: an image to be laid out, or bytes as they are stored."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np

    from tiffin.frames import Encoded
    from tiffin.writers import SeriesWriter, Written

__all__ = ["Content", "of_image", "of_strip"]


class Content(NamedTuple):
    """The content of a file, to be written or compared.

    Attributes
    ----------
    write : callable
        Writes it to an open descriptor; gives size and checksum.
    buffers : callable
        Gives all of its bytes, in buffers.
    shape : tuple of int
        (rows, columns), samples behind them if colour.
    dtype : numpy.dtype
        Of the pixels, in this machine's byte order.
    """

    write: Callable[[int], Written]
    buffers: Callable[[], Sequence[Any]]
    shape: tuple[int, ...]
    dtype: np.dtype


def of_image(writer: SeriesWriter, image: np.ndarray) -> Content:
    """Lay an image out, shape (rows, columns[, samples]) [counts]."""
    dtype = image.dtype if image.dtype.isnative else image.dtype.newbyteorder("=")
    write, buffers = partial(writer.write, image=image), partial(writer.buffers, image)
    return Content(write, buffers, image.shape, dtype)


def of_strip(writer: SeriesWriter, strip: Encoded) -> Content:
    """Take an image as it is stored, without decoding it and encoding it again."""
    how: dict[str, Any] = {
        "strip": strip.data,
        "shape": strip.shape,
        "dtype": strip.dtype,
    }
    return Content(
        partial(writer.write_strip, **how),
        partial(writer.strip_buffers, **how),
        strip.shape,
        strip.dtype.newbyteorder("="),
    )
