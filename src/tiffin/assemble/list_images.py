"""Convert nested lists, as JSON has them, to arrays without changing a number."""

from __future__ import annotations

import logging
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.dtypes import cast_exactly, dtypes_that_hold
from tiffin.errors import DtypeError, ReadError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiffin.axes import ArrayHints

logger = logging.getLogger("tiffin")

INTEGERS = np.dtype("int32")
FLOATS = np.dtype("float64")

FieldKey = tuple[str, str, str]
"""(run, stream, field)."""


@dataclass(slots=True)
class _Choice:
    dtype: np.dtype | None = None
    invalid: object = None
    is_logged: bool = False


class ListDtypes:
    """Chooses the dtype of lists without ``dtype_numpy``, one for all of a field.

    It is int32 if all numbers are integers, else float64. A replay looks at all images
    beforehand, in a `survey`; live, the first image decides. The choice is logged once.
    The user's choice, `chosen`, overrides the rule. With `cast_later`, images are cast
    to it after other corrections, not here.
    """

    def __init__(
        self, chosen: np.dtype | None = None, *, cast_later: bool = False
    ) -> None:
        self._chosen = chosen
        self._cast_later = cast_later
        self._surveying = False
        self._runs: dict[str, dict[FieldKey, _Choice]] = defaultdict(dict)

    @contextmanager
    def survey(self) -> Iterator[None]:
        """Let all images that are seen meanwhile take part in the choice."""
        self._surveying = True
        try:
            yield
        finally:
            self._surveying = False

    def forget(self, run: str) -> None:
        """Forget the choices of a run."""
        self._runs.pop(run, None)

    def see(self, key: FieldKey, values: Any, invalid: object = None) -> None:
        """Note one event's list, and the `invalid` dtype that is declared for it."""
        if self._chosen is not None:
            return
        choice = self._runs[key[0]].setdefault(key, _Choice())
        if choice.dtype is None or (self._surveying and choice.dtype != FLOATS):
            choice.invalid = choice.invalid if invalid is None else invalid
            choice.dtype = _wider(choice.dtype, _dtype_of_list(values))

    def dtype(self, key: FieldKey) -> np.dtype | None:
        """Return the dtype of a field's images, None if it is not known."""
        if self._chosen is not None:
            return None if self._cast_later else self._chosen
        choice = self._runs.get(key[0], {}).get(key)
        if choice is None or choice.dtype is None:
            return None
        if not self._surveying and not choice.is_logged:
            choice.is_logged = True
            wrong = f" (dtype_numpy={choice.invalid!r} is not a dtype)"
            logger.warning(
                "run %s: field %r came as lists without dtype_numpy%s, so its images "
                "become %s (dtype= chooses another)",
                key[0][:8],
                key[-1],
                "" if choice.invalid is None else wrong,
                choice.dtype,
            )
        return choice.dtype


@dataclass(slots=True, eq=False)
class ListPixels:
    """Nested lists of numbers."""

    values: Any
    shape: tuple[int, ...] | None
    hints: ArrayHints
    memory: int
    declared: np.dtype | None
    dtypes: ListDtypes
    key: FieldKey

    @property
    def dtype(self) -> np.dtype | None:
        """The dtype of the images; a survey of later images may change it."""
        return self.declared or self.dtypes.dtype(self.key)

    def open(self) -> np.ndarray:
        """Return an array of exactly the numbers in the lists."""
        array, dtype = _to_array(self.values), self.dtype
        if dtype is None:
            return array
        try:
            cast = cast_exactly(array, dtype)
            if array.dtype.kind == dtype.kind == "f" and dtype.itemsize < 8:
                _check_no_rounding(self.values, array, dtype)
        except DtypeError as error:
            message = f"the descriptor says {dtype}, but {error}"
            if not self.declared:
                message = f"{error}{_advice(array, dtype)}"
            raise DtypeError(message) from None
        return cast


def _to_array(values: Any) -> np.ndarray:
    try:
        array = np.asarray(values)
        if array.dtype == object:  # null among numbers becomes NaN
            _check_numbers(array)
            array = np.asarray(values, dtype=np.float64)
    except OverflowError as error:
        message = f"the lists hold a number that no dtype= of a TIFF can hold: {error}"
        raise DtypeError(message) from None
    except (ValueError, TypeError) as error:
        message = f"the lists are not an image: {error}"
        raise ReadError(message) from None
    if array.dtype.kind in "US":
        raise ReadError("the lists hold text, not an image")
    if array.dtype.kind == "f":
        _check_no_rounding(values, array, FLOATS)
    return array


def _advice(array: np.ndarray, dtype: np.dtype) -> str:
    """Name a dtype for an array that can't be cast to `dtype`."""
    if array.dtype.kind == "f" and dtype.kind in "iu":
        return "; dtype='float64' holds them"
    if array.dtype.kind not in "iu" or dtype.kind not in "iu":
        return ""
    for name in dtypes_that_hold(array):
        return f": name the detector's own, as in dtype={name!r}"
    return "; no dtype that a TIFF holds has all of them exactly"


def _dtype_of_list(values: Any) -> np.dtype | None:
    """Return the dtype that one image needs; None if it can't be read or is empty."""
    try:
        array = _to_array(values)
    except (ReadError, DtypeError):
        return None
    if not array.size:
        return None
    if array.dtype.kind in "iu":
        return INTEGERS
    if array.dtype.kind in "bc":
        return array.dtype
    large = array.dtype.kind == "f" and (np.abs(array) >= 2.0**63).any()
    if large and all(isinstance(value, Integral) for value in _numbers_in(values)):
        return INTEGERS  # of more than 64 bits
    return FLOATS


def _wider(one: np.dtype | None, other: np.dtype | None) -> np.dtype | None:
    """Return the one of bool, int32, float64 and complex that holds both."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda dtype: "bifc".index(dtype.kind))


def _check_numbers(array: np.ndarray) -> None:
    for value in array.flat:
        if value is not None and not isinstance(value, (int, float, np.number)):
            message = f"the lists hold {type(value).__name__}, not an image"
            raise ReadError(message)


def _check_no_rounding(values: Any, array: np.ndarray, dtype: np.dtype) -> None:
    """Refuse integers, among fractions, that a float dtype would round."""
    if not (np.abs(array) >= 2.0 ** (np.finfo(dtype).nmant + 1)).any():
        return
    for value in _numbers_in(values):
        if isinstance(value, Integral) and float(dtype.type(value)) != int(value):
            other = "no dtype= of a TIFF can hold all of them"
            if float(value) == int(value):
                other = "dtype='float64' can hold all of them"
            message = f"{dtype} would round {value}, one of the numbers listed: {other}"
            raise DtypeError(message)


def _numbers_in(values: Any) -> Iterator[Any]:
    return np.asarray(values, dtype=object).flat
