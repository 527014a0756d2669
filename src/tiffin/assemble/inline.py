"""Images that stand in the event itself: arrays, or nested lists out of JSON."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.assemble.documents import MissingArray, array_shape, estimate_nbytes
from tiffin.axes import Hints, place
from tiffin.dtypes import cast_exactly, dtypes_that_hold, refuse_masked
from tiffin.errors import DtypeError, ReadError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping

__all__ = ["ArrayPixels", "ListDtypes", "ListPixels", "inline_pixels"]

logger = logging.getLogger("tiffin")

WHOLE = np.dtype("int32")
OTHER = np.dtype("float64")


@dataclass(slots=True, eq=False)
class ArrayPixels:
    """An array in the event, or something with a shape that gives one when sliced."""

    array: Any
    hints: Hints
    shape: tuple[int, ...] | None = field(init=False)
    dtype: np.dtype | None = field(init=False)
    held: int = field(init=False)

    def __post_init__(self) -> None:
        shape = tuple(map(int, self.array.shape))
        self.shape, self.hints = _placed(shape, self.hints)
        self.dtype = np.dtype(self.array.dtype)
        in_memory = isinstance(self.array, (np.ndarray, MissingArray))
        self.held = self.array.nbytes if in_memory else 0

    def open(self) -> Any:
        """Return the array itself."""
        return self.array.read() if isinstance(self.array, MissingArray) else self.array


class ListDtypes:
    """The rule for lists whose dtype nobody recorded.

    Whole numbers become int32, others float64, the same for every frame of a field:
    a survey of all of them decides, or, where there is none (live), the first frame.
    It is said once a run and field.

    Parameters
    ----------
    chosen : numpy.dtype, optional
        What the user asked for, which overrides the rule.
    cast_later : bool
        Whether corrections act before the cast to `chosen`: the lists then become what
        holds their numbers, and the cast is not made here.
    """

    def __init__(
        self, chosen: np.dtype | None = None, *, cast_later: bool = False
    ) -> None:
        self.chosen = chosen
        self._cast_later = cast_later
        self._surveying = False
        self._dtypes: dict[tuple[Hashable, ...], np.dtype] = {}
        self._said: set[tuple[Hashable, ...]] = set()
        self._wrong: dict[tuple[Hashable, ...], object] = {}

    @contextmanager
    def survey(self) -> Iterator[None]:
        """Let every frame that is seen meanwhile have a say; nothing is said yet."""
        self._surveying = True
        try:
            yield
        finally:
            self._surveying = False

    def forget(self, run: Hashable) -> None:
        """Forget what was decided for a run: it is over."""
        for known in (self._dtypes, self._wrong):
            for where in [where for where in known if where[0] == run]:
                del known[where]
        self._said = {where for where in self._said if where[0] != run}

    def see(
        self, where: tuple[Hashable, ...], values: Any, wrong: object = None
    ) -> None:
        """Let a list have its say.

        Parameters
        ----------
        where : tuple
            Run, stream and field.
        values : nested list
            One event's; they are looked at only while that can change something.
        wrong : object
            What stands as their dtype and is none.
        """
        if self.chosen is not None:
            return
        decided = self._dtypes.get(where)
        if decided is None or (self._surveying and decided != OTHER):
            if wrong is not None:
                self._wrong[where] = wrong
            decided = _wider(decided, _dtype_of_list(values))
            if decided is not None:
                self._dtypes[where] = decided

    def dtype(self, where: tuple[Hashable, ...]) -> np.dtype | None:
        """Give the dtype of a field's images, as far as it is decided; say it once."""
        if self.chosen is not None:
            return None if self._cast_later else self.chosen
        decided = self._dtypes.get(where)
        if decided is not None and not self._surveying and where not in self._said:
            self._said.add(where)
            wrong = self._wrong.get(where)
            logger.warning(
                "run %s: field %r came as lists without dtype_numpy%s, so its images "
                "become %s (dtype= chooses another)",
                str(where[0])[:8],
                where[-1],
                "" if wrong is None else f" (dtype_numpy={wrong!r} is no dtype)",
                decided,
            )
        return decided


@dataclass(slots=True, eq=False)
class ListPixels:
    """Nested lists in the event; their dtype is declared, or asked of the rule."""

    values: Any
    hints: Hints
    declared: np.dtype | None
    rule: ListDtypes
    where: tuple[Hashable, ...]
    shape: tuple[int, ...] | None = field(init=False)
    held: int = field(init=False)

    def __post_init__(self) -> None:
        self.shape, self.hints = _placed(array_shape(self.values) or (), self.hints)
        self.held = estimate_nbytes(self.values)

    @property
    def dtype(self) -> np.dtype | None:
        """What the images are to have; a survey of all frames may still change it."""
        return self.declared or self.rule.dtype(self.where)

    def open(self) -> np.ndarray:
        """Return an array of exactly the numbers in the lists."""
        array, dtype = _array_of_list(self.values), self.dtype
        if dtype is None:
            return array
        try:
            cast = cast_exactly(array, dtype)
            if array.dtype.kind == dtype.kind == "f" and dtype.itemsize < 8:
                _check_no_rounding(self.values, array, dtype)
        except DtypeError as error:
            if self.declared:
                message = f"the descriptor says {dtype}, but {error}"
            else:
                message = f"{error}{_advice(array, dtype)}"
            raise DtypeError(message) from None
        return cast


@lru_cache(256)  # the events of a field are alike
def _placed(
    shape: tuple[int, ...], hints: Hints
) -> tuple[tuple[int, ...] | None, Hints]:
    """See the shape of an array that is there in the order of images.

    Returns
    -------
    shape, hints
        The hints say what has been found, so that the array is seen so, too.
    """
    if len(shape) < 2:
        return shape, hints
    at = place(shape, hints)
    lead = (n for k, n in enumerate(shape) if k not in at)
    found = tuple(k - len(shape) for k in at)
    names = hints.names
    hints = replace(hints, sizes=shape, at=found, colour=len(found) > 2, names=names)
    return (*lead, *(shape[k] for k in at)), hints


def _advice(array: np.ndarray, dtype: np.dtype) -> str:
    """Name a dtype that holds the numbers which another does not."""
    if array.dtype.kind == "f" and dtype.kind in "iu":
        return "; dtype='float64' holds them"
    if array.dtype.kind not in "iu" or dtype.kind not in "iu":
        return ""
    (name, *_) = [*dtypes_that_hold(array), ""]
    if not name:
        return "; no dtype that a TIFF holds has all of them exactly"
    return f": name the detector's own, as in dtype={name!r}"


def inline_pixels(
    value: Any,
    data_key: Mapping[str, Any],
    dtypes: ListDtypes,
    where: tuple[Hashable, ...],
    hints: Hints,
) -> ArrayPixels | ListPixels:
    """See a value in an event as pixels.

    Parameters
    ----------
    value : array or nested list, shape (..., rows, columns)
    data_key : mapping
        Of the event's descriptor.
    dtypes : ListDtypes
        Asked where `value` is a list and the data key does not declare ``dtype_numpy``.
    where : tuple
        Run, stream and field.
    hints : Hints
        What is known of the array's axes.

    Raises
    ------
    DtypeError
        If pixels are masked.
    ReadError
        If arrays are not alike, or their axes can't be told.
    """
    if not isinstance(value, (list, tuple)):
        refuse_masked(value)
        return ArrayPixels(value, hints)
    if value and isinstance(value[0], np.ndarray):
        kinds = {(np.shape(item), getattr(item, "dtype", None)) for item in value}
        if len(kinds) > 1:
            told = " and ".join(f"{dtype}{list(shape)}" for shape, dtype in kinds)
            message = f"arrays of several shapes or dtypes are no stack: {told}"
            raise ReadError(message)
        return ArrayPixels(np.stack(value), hints)
    declared = declared_dtype(data_key)
    if declared is None:
        dtypes.see(where, value, data_key.get("dtype_numpy"))
    return ListPixels(value, hints, declared, dtypes, where)


def declared_dtype(data_key: Mapping[str, Any]) -> np.dtype | None:
    """Read ``dtype_numpy``; None where it is absent or no plain dtype."""
    declared = data_key.get("dtype_numpy")
    if not isinstance(declared, str):
        return None
    try:
        return np.dtype(declared)
    except (TypeError, ValueError, SyntaxError):  # numpy's parser is of many minds
        return None


def _dtype_of_list(values: Any) -> np.dtype | None:
    """Return what one frame's list wants its field to be; None if it has no say."""
    try:
        array = _array_of_list(values)
    except (ReadError, DtypeError):
        return None
    if not array.size:
        return None
    large = array.dtype.kind == "f" and (np.abs(array) >= 2.0**63).any()
    if large and all(isinstance(value, int) for value in _leaves(values)):
        return WHOLE  # of more than 64 bits
    own = {"i": WHOLE, "u": WHOLE, "b": array.dtype, "c": array.dtype}
    return own.get(array.dtype.kind, OTHER)


def _wider(one: np.dtype | None, other: np.dtype | None) -> np.dtype | None:
    """Return the dtype that holds both of bool, int32, float64 and complex numbers."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda dtype: "bifc".index(dtype.kind))


def _array_of_list(values: Any) -> np.ndarray:
    try:
        array = np.asarray(values)
        if array.dtype == object:  # JSON's null among numbers is a NaN
            _check_numbers(array)
            array = np.asarray(values, dtype=np.float64)
    except OverflowError as error:
        message = f"the lists hold a number that no dtype= of a TIFF can hold: {error}"
        raise DtypeError(message) from None
    except (ValueError, TypeError) as error:
        message = f"the lists are no image: {error}"
        raise ReadError(message) from None
    if array.dtype.kind in "US":
        raise ReadError("the lists hold text, no image")
    if array.dtype.kind == "f":
        _check_no_rounding(values, array, OTHER)
    return array


def _check_numbers(array: np.ndarray) -> None:
    """Refuse lists with anything but numbers and null in them: no text is a number."""
    for value in array.flat:
        if value is not None and not isinstance(value, (int, float, np.number)):
            message = f"the lists hold {type(value).__name__}, no image"
            raise ReadError(message)


def _check_no_rounding(values: Any, array: np.ndarray, dtype: np.dtype) -> None:
    """Refuse whole numbers that a dtype of floats would round, beside fractions."""
    if not (np.abs(array) >= 2.0 ** (np.finfo(dtype).nmant + 1)).any():
        return
    for value in _leaves(values):
        if isinstance(value, int) and float(dtype.type(value)) != value:
            other = "no dtype= of a TIFF can hold all of them"
            if float(value) == value:
                other = "dtype='float64' can hold all of them"
            message = f"{dtype} would round {value}, one of the numbers listed: {other}"
            raise DtypeError(message)


def _leaves(values: Any) -> Iterator[Any]:
    """Return what nested lists hold, as Python's numbers."""
    if isinstance(values, (np.ndarray, np.number)):
        values = values.tolist()
    if isinstance(values, (list, tuple)):
        for value in values:
            yield from _leaves(value)
    else:
        yield values
