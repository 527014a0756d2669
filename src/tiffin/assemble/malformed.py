"""Handle documents that lack a key, or hold a value of another type than expected."""

from __future__ import annotations

from typing import Any

from tiffin.errors import SourceError, TiffinError

MALFORMED = (
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    ArithmeticError,
    RecursionError,
)
"""The exceptions that reading a malformed document raises."""

MALFORMED_OR_OURS = (*MALFORMED, TiffinError)


def malformed_error(what: str, error: Exception) -> TiffinError:
    """Return the error to record for `what`, such as "this event document".

    A `TiffinError` explains itself and is returned as it is.
    """
    if isinstance(error, TiffinError):
        return error
    new = SourceError(f"{what} is malformed: {type(error).__name__}: {error}")
    new.__cause__ = error
    return new


def parse_int(value: Any) -> int:
    """Convert a value, which may be text, to an integer. Nothing is rounded.

    Examples
    --------
    >>> parse_int("3"), parse_int(3.0)
    (3, 3)
    """
    if type(value) is int:
        return value
    number = int(value)
    if number != value and not isinstance(value, str):
        message = f"{value!r} is not an integer"
        raise ValueError(message)
    return number
