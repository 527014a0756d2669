"""Write an image as an npy file, which has any dtype and no metadata."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.lib import format as npy

from tiffin.errors import DtypeError, ReadError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.array_images import Encoded
    from tiffin.writers.checksums import Buffer

DTYPES = (
    *("bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64"),
    *("float16", "float32", "float64", "complex64", "complex128"),
)
"""The dtypes that are the same on every machine, and need no pickle."""


@dataclass(frozen=True, slots=True)
class NpyWriter:
    """Writes each image as an npy file, little-endian (NEP 1, version 1.0)."""

    format: ClassVar[str] = "npy"
    suffixes: ClassVar[tuple[str, ...]] = (".npy",)
    options: ClassVar[tuple[str, ...]] = ()
    dtypes: ClassVar[tuple[str, ...]] = DTYPES
    most_frames: ClassVar[int | None] = 1
    makes_folder: ClassVar[bool] = False

    def takes(self, codec: str | None) -> bool:
        """Return whether pixels are stored as here: plain and little-endian."""
        return codec is None

    def size(self, shape: tuple[int, ...], dtype: np.dtype) -> int:
        """Return the size of a file [bytes]."""
        return len(_header(shape, dtype)) + math.prod(shape) * dtype.itemsize

    def buffers(
        self, image: np.ndarray | Encoded, metadata: Mapping[str, Any]
    ) -> list[Buffer]:
        """Return the file of an image: header and pixels.

        Parameters
        ----------
        image : ndarray or Encoded, shape (rows, columns[, samples]) [counts]
        metadata : mapping
            Not written.

        Raises
        ------
        DtypeError
            If the file would need a pickle.
        ReadError
            If plain pixels are not as many as the image has.
        """
        del metadata
        dtype = image.dtype.newbyteorder("<")
        if dtype.name not in DTYPES:
            message = f"pixels of dtype {dtype} can't be written as plain numbers"
            raise DtypeError(message)
        if isinstance(image, np.ndarray):
            pixels: Buffer = np.ascontiguousarray(image, dtype=dtype).data
        else:
            pixels = image.data
        size = math.prod(image.shape) * dtype.itemsize
        if memoryview(pixels).nbytes != size:
            message = f"{memoryview(pixels).nbytes} bytes are not an image of {size}"
            raise ReadError(message)
        return [_header(image.shape, dtype), pixels]


def _header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    file = io.BytesIO()
    described = npy.dtype_to_descr(dtype.newbyteorder("<"))
    head = {"descr": described, "fortran_order": False, "shape": tuple(shape)}
    npy.write_array_header_1_0(file, head)
    return file.getvalue()
