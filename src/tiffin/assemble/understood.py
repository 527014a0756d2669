"""What documents say, where they may say anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from tiffin.errors import SourceError, TiffinError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["WILD", "not_understood", "understood", "whole"]

T = TypeVar("T")

WILD = (
    LookupError,
    TypeError,
    AttributeError,
    ValueError,
    ArithmeticError,
    RecursionError,
)
"""What comes of documents that lack what they must have, or hold something else."""


def not_understood(what: str, error: Exception) -> TiffinError:
    """Give the error to record: one of ours as it is, else what it was about."""
    if isinstance(error, TiffinError):
        return error
    told = SourceError(f"{what} can't be understood: {type(error).__name__}: {error}")
    told.__cause__ = error
    return told


def understood(what: str, read: Callable[[], T]) -> T | TiffinError:
    """Read something in documents; or give the error that says why that can't be.

    Parameters
    ----------
    what : str
        What is read, as the beginning of a sentence.
    read : callable
    """
    try:
        return read()
    except WILD as error:
        return not_understood(what, error)
    except TiffinError as error:
        return error


def whole(said: Any) -> int:
    """Read a whole number, as text too; never rounded.

    Raises
    ------
    TypeError, ValueError or OverflowError
        If it is none.

    Examples
    --------
    >>> whole("3"), whole(3.0)
    (3, 3)
    >>> whole(3.5)
    Traceback (most recent call last):
      ...
    ValueError: 3.5 is no whole number
    """
    number = int(said)
    if number != said and not isinstance(said, str):
        message = f"{said!r} is no whole number"
        raise ValueError(message)
    return number
