"""Take documents over from a RunEngine without copying their pixels.

Documents are not to be changed once they were emitted, but some detectors fill one
array again for each event. So the first arrays of a field are copied, until the field
has shown that it makes new ones; then arrays are taken over as they are, each with a
sample of its pixels. Where the sample no longer fits when the image is written, the
frame fails instead of being another's.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tiffin.assemble.documents import PLAIN, inline_shape, own_copy
from tiffin.errors import ReadError

__all__ = ["HandOver", "Lost", "Shared", "images_lost"]

COPIED_FIRST = 2
"""Arrays of a field that are copied in any case: who reuses one shows it by then."""

REMEMBERED = 16
"""Arrays of a field that are remembered, to be known when they come again."""

LARGE = 2**16
"""What is smaller is copied: that takes no longer than to look at it [bytes]."""

ROWS, COLUMNS = 8, 32
"""A sample: so many of an array's rows, so many pixels of each. A row costs a look at
memory that no cache holds; its neighbours come along."""


class Shared:
    """An array that belongs to somebody else as well.

    Parameters
    ----------
    array : ndarray, C-contiguous
    """

    __slots__ = ("_array", "_sample")

    def __init__(self, array: np.ndarray) -> None:
        self._array = array
        self._sample = _sample(array)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self._array.shape

    @property
    def dtype(self) -> np.dtype:
        """Of the array."""
        return self._array.dtype

    @property
    def nbytes(self) -> int:
        """How much memory the array takes [bytes]."""
        return self._array.nbytes

    def whole(self) -> np.ndarray:
        """Give the array, if it is what it was.

        Raises
        ------
        ReadError
            If it was changed since.
        """
        if _sample(self._array) != self._sample:
            message = (
                "the array was changed after its event: a detector, or another "
                "subscriber, works in it; documents must stay as they are"
            )
            raise ReadError(message)
        return self._array


class Lost(Shared):
    """Stands in an event for an array that could not be taken over.

    Parameters
    ----------
    array : ndarray
        Not kept.
    reason : str
        What reading it fails with.
    """

    __slots__ = ("_dtype", "_reason", "_shape")

    def __init__(self, array: Any, reason: str) -> None:
        self._shape = tuple(inline_shape(array) or ())
        self._dtype = np.dtype(getattr(array, "dtype", float))
        self._reason = reason

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the array."""
        return self._shape

    @property
    def dtype(self) -> np.dtype:
        """Of the array."""
        return self._dtype

    @property
    def nbytes(self) -> int:
        """It takes no memory."""
        return 0

    def whole(self) -> np.ndarray:
        """Say why there is nothing.

        Raises
        ------
        ReadError
        """
        raise ReadError(self._reason)


def images_lost(name: str, doc: Mapping[str, Any], reason: str) -> dict[str, Any]:
    """Give a document whose images are `Lost`: its frames fail, each with its name.

    Parameters
    ----------
    name : str
        ``"event"`` or ``"event_page"``; others are given as they are.
    doc : mapping
    reason : str
    """
    data = doc.get("data")
    if not isinstance(data, Mapping) or name not in ("event", "event_page"):
        return dict(doc)
    if name == "event":
        return {
            **doc,
            "data": {key: _lost(value, reason) for key, value in data.items()},
        }
    pages = {key: [_lost(v, reason) for v in values] for key, values in data.items()}
    return {**doc, "data": pages}


def _lost(value: Any, reason: str) -> Any:
    in_memory = isinstance(value, (np.ndarray, Shared, list, tuple))
    is_image = in_memory and len(inline_shape(value) or ()) >= 2
    return Lost(value, reason) if is_image else value


@dataclass(slots=True)
class _Habit:
    """What a field's arrays have shown so far."""

    events: int = 0
    reuses: bool = False
    seen: dict[int, weakref.ref[Any]] = field(default_factory=dict)


class HandOver:
    """Makes documents one's own; large arrays are shared where that is safe.

    Examples
    --------
    >>> take = HandOver()
    >>> events = [{"descriptor": "d", "data": {"img": np.zeros((256, 256))}}] * 3
    >>> [type(take("event", event)["data"]["img"]).__name__ for event in events]
    ['ndarray', 'ndarray', 'ndarray']
    >>> arrays = [np.zeros((256, 256)) for _ in range(3)]
    >>> events = [{"descriptor": "e", "data": {"i": array}} for array in arrays]
    >>> [type(take("event", event)["data"]["i"]).__name__ for event in events]
    ['ndarray', 'ndarray', 'Shared']
    """

    def __init__(self) -> None:
        self._habits: dict[tuple[Any, str], _Habit] = {}

    def __call__(self, name: str, doc: Mapping[str, Any]) -> Any:
        """Copy a document, but for the pixels of an event."""
        if name == "stop":
            self._habits.clear()
        data = doc.get("data") if name == "event" else None
        if not isinstance(data, Mapping):
            return own_copy(doc)
        # Few steps: this is the RunEngine's time, and no cache holds this code then.
        copy, stream = dict(doc), doc.get("descriptor")
        for key, value in copy.items():
            if type(value) not in PLAIN and key != "data":
                copy[key] = own_copy(value)
        copy["data"] = pixels = dict(data)
        for key, value in pixels.items():
            if type(value) not in PLAIN:
                pixels[key] = self._taken(stream, key, value)
        return copy

    def _taken(self, stream: Any, key: str, value: Any) -> Any:
        if type(value) is not np.ndarray or value.nbytes < LARGE:
            return own_copy(value)
        habit = self._habits.get((stream, key))
        if habit is None:
            habit = self._habits[stream, key] = _Habit()
        habit.events += 1
        habit.reuses = habit.reuses or not _is_new(value, habit)
        if habit.reuses or habit.events <= COPIED_FIRST:
            return value.copy()
        return Shared(value)


def _is_new(array: np.ndarray, habit: _Habit) -> bool:
    """Whether an array's memory is none that has come before; remember it."""
    owner: Any = array
    while (base := owner.base) is not None:
        owner = base
        if not isinstance(owner, np.ndarray):
            return False  # nobody knows whose memory it is
    if not array.flags.c_contiguous:
        return False
    if id(owner) in habit.seen and habit.seen[id(owner)]() is owner:
        return False
    habit.seen[id(owner)] = weakref.ref(owner)
    if len(habit.seen) > REMEMBERED:
        del habit.seen[next(iter(habit.seen))]
    return True


def _sample(array: np.ndarray) -> bytes:
    rows = array.reshape(-1, array.shape[-1])
    step, middle = max(len(rows) // ROWS, 1), rows.shape[1] // 2
    return rows[step // 2 :: step, middle : middle + COLUMNS].tobytes()
