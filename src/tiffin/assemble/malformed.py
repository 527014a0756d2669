"""What documents say, where they may say anything."""

from __future__ import annotations

from typing import Any

from tiffin.errors import SourceError, TiffinError

__all__ = ["MALFORMED_OR_OURS", "MALFORMED", "malformed_error", "parse_int"]

MALFORMED = (
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    ArithmeticError,
    RecursionError,
)
"""What comes of documents that lack what they must have, or hold something else."""

MALFORMED_OR_OURS = (*MALFORMED, TiffinError)
"""The same, and what we say of it ourselves."""


def malformed_error(what: str, error: Exception) -> TiffinError:
    """Return the error to record: one of ours as it is, else with what it was about.

    Parameters
    ----------
    what : str
        What was read, as the beginning of a sentence.
    error : Exception
    """
    if isinstance(error, TiffinError):
        return error
    told = SourceError(f"{what} can't be understood: {type(error).__name__}: {error}")
    told.__cause__ = error
    return told


def parse_int(said: Any) -> int:
    """Read a whole number, as text too; never rounded.

    Raises
    ------
    TypeError, ValueError or OverflowError
        If it is none.

    Examples
    --------
    >>> parse_int("3"), parse_int(3.0)
    (3, 3)
    >>> parse_int(3.5)
    Traceback (most recent call last):
      ...
    ValueError: 3.5 is no whole number
    """
    number = int(said)
    if number != said and not isinstance(said, str):
        message = f"{said!r} is no whole number"
        raise ValueError(message)
    return number
