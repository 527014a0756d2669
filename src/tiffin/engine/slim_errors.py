"""Remove images from errors, because records are kept for a long time."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from tiffin.errors import TiffinError

LONGEST = 10_000
"""The longest text or bytes in an error [characters]."""

MOST_NOTES = 10

SMALL = (bool, int, float, complex, PurePath, type(None))


def slim(error: BaseException) -> None:
    """Remove tracebacks, arrays and other large objects from an error.

    This includes its causes and contexts and the members of a group, which may refer to
    each other in circles.

    Examples
    --------
    >>> error = ValueError(bytearray(10**6), "too large")
    >>> slim(error)
    >>> [len(str(argument)) for argument in error.args]
    [10001, 9]
    """
    seen: set[int] = set()
    left: list[BaseException | None] = [error]
    while left:
        one = left.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        left += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            left += one.exceptions
        one.__traceback__ = None
        if not isinstance(one, BaseExceptionGroup):
            one.args = tuple(map(_small, one.args))
        if not isinstance(one, TiffinError):
            _empty(one)


def _empty(error: BaseException) -> None:
    """Remove large attributes from an error of another library."""
    for name in [n for n, value in vars(error).items() if not _is_small(value)]:
        if name == "__notes__":
            error.__notes__ = [_small(note) for note in error.__notes__[:MOST_NOTES]]
        else:
            del vars(error)[name]
    if isinstance(error, OSError):
        for name in ("filename", "filename2"):
            if not _is_small(getattr(error, name)):  # None would appear in the message
                setattr(error, name, _small(getattr(error, name)))
    if isinstance(error, AttributeError):
        error.obj = None  # it may be an image
    if isinstance(error, StopIteration):
        error.value = None
    if isinstance(error, (UnicodeDecodeError, UnicodeEncodeError)):
        error.object = error.object[:LONGEST]


def _is_small(value: Any) -> bool:
    if isinstance(value, (str, bytes)):
        return len(value) <= LONGEST
    return isinstance(value, SMALL)


def _small(value: Any) -> Any:
    if _is_small(value):
        return value
    try:
        text = value if isinstance(value, str) else repr(value)
    except Exception:  # noqa: BLE001 (an object of another library; its type is enough)
        text = f"<{type(value).__name__}>"
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
