"""Read values of a start document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiffin.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping


def start_time(start: Mapping[str, Any]) -> float:
    """Return when a run began [s since 1970]."""
    try:
        return float(start.get("time", 0))
    except (TypeError, ValueError):
        message = f"a start document's time must be a number, not {start['time']!r}"
        raise SourceError(message) from None


def get_nested(start: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key, or of a dotted path of keys; None if it is missing.

    Examples
    --------
    >>> get_nested({"sample": {"name": "Ni"}}, "sample.name")
    'Ni'
    """
    value: Any = start
    for part in key.split("."):
        value = value.get(part) if hasattr(value, "get") else None
    return value


def equal_values(one: Any, other: Any) -> bool:
    """Return whether two values are equal. Arrays, tuples and lists may be equal.

    Examples
    --------
    >>> import numpy as np
    >>> equal_values(np.array([1, 2]), [1, 2]), equal_values("1", 1)
    (True, False)
    """
    return bool(_to_list(one) == _to_list(other))


def _to_list(value: Any) -> Any:
    if hasattr(value, "tolist"):  # msgpack keeps arrays
        return value.tolist()
    return list(value) if isinstance(value, tuple) else value
