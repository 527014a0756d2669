"""Give images another dtype, or refuse."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tiffin.exact import cast_exactly

if TYPE_CHECKING:
    from tiffin.frames import Frame

__all__ = ["Cast"]


@dataclass(frozen=True, slots=True)
class Cast:
    """Give images another dtype, if it can hold every value.

    Parameters
    ----------
    dtype : dtype-like
        Such as ``"uint16"``.

    Examples
    --------
    >>> image = np.array([[0, 70000]], dtype="uint32")
    >>> Cast("uint16")(image, None)
    Traceback (most recent call last):
      ...
    tiffin.errors.DtypeError: uint16 holds 0 to 65535, the image goes from 0 to 70000
    """

    dtype: str | np.dtype | type

    def __call__(self, image: np.ndarray, _frame: Frame | None, /) -> np.ndarray:
        """Cast one image, shape (rows, columns)."""
        return cast_exactly(image, np.dtype(self.dtype))
