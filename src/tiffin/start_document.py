"""What a start document tells of its run: when it began, and what it holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiffin.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["equal_values", "get_nested", "start_time"]


def start_time(start: Mapping[str, Any]) -> float:
    """Return the time at which a run began [s since 1970].

    Raises
    ------
    SourceError
        If what stands there is no number.
    """
    try:
        return float(start.get("time", 0))
    except (TypeError, ValueError):
        message = f"a start document's time is no number: {start['time']!r}"
        raise SourceError(message) from None


def get_nested(start: Mapping[str, Any], key: str) -> Any:
    """Return what stands under a key, or under a key inside a key; None for nothing.

    Examples
    --------
    >>> get_nested({"sample": {"name": "Ni"}}, "sample.name")
    'Ni'
    """
    value: Any = start
    for part in key.split("."):
        value = value.get(part) if hasattr(value, "get") else None
    return value


def equal_values(held: Any, wanted: Any) -> bool:
    """Whether a document's value is the one wanted; an array is as good as a list.

    Examples
    --------
    >>> import numpy as np
    >>> equal_values(np.array([1, 2]), [1, 2]), equal_values("1", 1)
    (True, False)
    """
    return bool(_plain(held) == _plain(wanted))


def _plain(value: Any) -> Any:
    if hasattr(value, "tolist"):  # msgpack keeps arrays
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value
