"""Images in the event itself: arrays, or nested lists from JSON."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.assemble.data_keys import declared_dtype
from tiffin.assemble.document_copies import MissingArray, array_shape, estimate_nbytes
from tiffin.assemble.list_images import ListPixels
from tiffin.axes import ArrayHints, place
from tiffin.dtypes import refuse_masked
from tiffin.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.assemble.list_images import FieldKey, ListDtypes


def inline_pixels(
    value: Any,
    data_key: Mapping[str, Any],
    dtypes: ListDtypes,
    key: FieldKey,
    hints: ArrayHints,
) -> ArrayPixels | ListPixels:
    """Return the pixels of an array or nested list of shape (..., rows, columns)."""
    if not isinstance(value, (list, tuple)):
        refuse_masked(value)
    elif value and isinstance(value[0], np.ndarray):
        value = _stack(value)
    else:
        declared = declared_dtype(data_key)
        if declared is None:
            dtypes.see(key, value, data_key.get("dtype_numpy"))
        shape, hints = _image_axes_last(array_shape(value) or (), hints)
        nbytes = estimate_nbytes(value)
        return ListPixels(value, shape, hints, nbytes, declared, dtypes, key)
    shape, hints = _image_axes_last(tuple(map(int, value.shape)), hints)
    in_memory = isinstance(value, (np.ndarray, MissingArray))
    nbytes = value.nbytes if in_memory else 0
    return ArrayPixels(value, shape, hints, nbytes, np.dtype(value.dtype))


@dataclass(slots=True, eq=False)
class ArrayPixels:
    """An array, or something that gives one when it is sliced."""

    array: Any
    shape: tuple[int, ...] | None
    hints: ArrayHints
    memory: int
    dtype: np.dtype | None

    def open(self) -> Any:
        """Return the array."""
        return self.array.read() if isinstance(self.array, MissingArray) else self.array


def _stack(arrays: list[Any] | tuple[Any, ...]) -> np.ndarray:
    found = {(np.shape(array), getattr(array, "dtype", None)) for array in arrays}
    if len(found) > 1:
        got = " and ".join(f"{dtype}{list(shape)}" for shape, dtype in found)
        message = f"arrays in a list must have one shape and dtype, not {got}"
        raise ReadError(message)
    return np.stack(arrays)


@lru_cache(256)  # the events of a field have one shape
def _image_axes_last(
    shape: tuple[int, ...], hints: ArrayHints
) -> tuple[tuple[int, ...], ArrayHints]:
    """Return an array's shape with image axes last, and hints of where they are."""
    if len(shape) < 2:
        return shape, hints
    at = place(shape, hints)
    lead = (n for k, n in enumerate(shape) if k not in at)
    from_end = tuple(k - len(shape) for k in at)
    hints = replace(hints, sizes=shape, image_axes=from_end, colour=len(at) > 2)
    return (*lead, *(shape[k] for k in at)), hints
