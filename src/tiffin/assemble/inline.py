"""Images in the event itself: arrays, or nested lists from JSON."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.assemble.data_keys import declared_dtype
from tiffin.assemble.documents import MissingArray, array_shape, estimate_nbytes
from tiffin.assemble.list_images import (
    ListDtypes,
    cast_advice,
    cast_list,
    list_to_array,
)
from tiffin.axes import Hints, place
from tiffin.dtypes import refuse_masked
from tiffin.errors import DtypeError, ReadError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.assemble.list_images import FieldKey

__all__ = ["inline_pixels"]


def inline_pixels(
    value: Any,
    data_key: Mapping[str, Any],
    dtypes: ListDtypes,
    key: FieldKey,
    hints: Hints,
) -> _ArrayPixels | _ListPixels:
    """Return the pixels of a value in an event.

    Parameters
    ----------
    value : array or nested list, shape (..., rows, columns)
    data_key : mapping
        The field's part of the descriptor.
    dtypes : ListDtypes
        Chooses the dtype of lists for which none is declared.
    key : tuple
        Run, stream and field.
    hints : Hints
        What is known of the array's axes.

    Raises
    ------
    DtypeError
        If pixels are masked.
    ReadError
        If arrays in a list differ in shape or dtype, or axes can't be told.
    """
    if not isinstance(value, (list, tuple)):
        refuse_masked(value)
        return _ArrayPixels(value, hints)
    if value and isinstance(value[0], np.ndarray):
        found = {(np.shape(item), getattr(item, "dtype", None)) for item in value}
        if len(found) > 1:
            got = " and ".join(f"{dtype}{list(shape)}" for shape, dtype in found)
            message = f"arrays in a list must have one shape and dtype, not {got}"
            raise ReadError(message)
        return _ArrayPixels(np.stack(value), hints)
    declared = declared_dtype(data_key)
    if declared is None:
        dtypes.see(key, value, data_key.get("dtype_numpy"))
    return _ListPixels(value, hints, declared, dtypes, key)


@dataclass(slots=True, eq=False)
class _ArrayPixels:
    """An array, or something that gives one when it is sliced."""

    array: Any
    hints: Hints
    shape: tuple[int, ...] | None = field(init=False)
    dtype: np.dtype | None = field(init=False)
    held: int = field(init=False)

    def __post_init__(self) -> None:
        shape = tuple(map(int, self.array.shape))
        self.shape, self.hints = _images_first(shape, self.hints)
        self.dtype = np.dtype(self.array.dtype)
        in_memory = isinstance(self.array, (np.ndarray, MissingArray))
        self.held = self.array.nbytes if in_memory else 0

    def open(self) -> Any:
        return self.array.read() if isinstance(self.array, MissingArray) else self.array


@dataclass(slots=True, eq=False)
class _ListPixels:
    """Nested lists."""

    values: Any
    hints: Hints
    declared: np.dtype | None
    dtypes: ListDtypes
    key: FieldKey
    shape: tuple[int, ...] | None = field(init=False)
    held: int = field(init=False)

    def __post_init__(self) -> None:
        shape = array_shape(self.values) or ()
        self.shape, self.hints = _images_first(shape, self.hints)
        self.held = estimate_nbytes(self.values)

    @property
    def dtype(self) -> np.dtype | None:
        # Looked up each time: a survey of later images may change it.
        return self.declared or self.dtypes.dtype(self.key)

    def open(self) -> np.ndarray:
        array, dtype = list_to_array(self.values), self.dtype
        if dtype is None:
            return array
        try:
            return cast_list(self.values, array, dtype)
        except DtypeError as error:
            if self.declared:
                message = f"the descriptor says {dtype}, but {error}"
            else:
                message = f"{error}{cast_advice(array, dtype)}"
            raise DtypeError(message) from None


@lru_cache(256)  # the events of a field have one shape
def _images_first(
    shape: tuple[int, ...], hints: Hints
) -> tuple[tuple[int, ...], Hints]:
    """Return an array's shape with image axes last, and hints of where they are."""
    if len(shape) < 2:
        return shape, hints
    at = place(shape, hints)
    lead = (n for k, n in enumerate(shape) if k not in at)
    from_end = tuple(k - len(shape) for k in at)
    hints = replace(hints, sizes=shape, at=from_end, colour=len(at) > 2)
    return (*lead, *(shape[k] for k in at)), hints
