"""Words and values for error messages, all of bounded length."""

from __future__ import annotations

from typing import Any

from tiffin.errors import TemplateError, did_you_mean
from tiffin.template.items import plain, texts_in

LONGEST_SHOWN = 60
"""The most characters of a value or a key in a message."""

ENOUGH = 3
"""The shortest beginning of a key that is taken for it."""

MOST_KEYS = 1000
"""The most keys that are compared to find the nearest one."""


def parse_error(message: str, column: int) -> TemplateError:
    """Return the error for a template that is wrong at a column, counted from 1."""
    return TemplateError(f"template, column {column}: {message}", column=column)


def kind_of(value: Any) -> str:
    """Return the name of a value's class with its article, such as ``"a list"``."""
    name = type(value).__name__
    return f"{'an' if name[:1] in 'AEIOaeio' else 'a'} {name[:LONGEST_SHOWN]}"


def shown(value: Any) -> str:
    """Return a value as Python writes it, shortened if it is long."""
    value = plain(value)
    kind = type(value)
    if kind is int and value.bit_length() > 4 * LONGEST_SHOWN:
        return f"a number of {value.bit_length()} bits"
    if kind is str:
        return shortened(value, quoted=True)
    return (
        repr(value)
        if kind in (int, float, bool, complex, type(None))
        else kind_of(value)
    )


def shortened(text: str, *, quoted: bool = False) -> str:
    """Return the beginning of a text that is too long for a message.

    Examples
    --------
    >>> len(shortened("x" * 100_000))
    61
    """
    cut = text[:LONGEST_SHOWN]
    return (repr(cut) if quoted else cut) + ("…" if len(text) > len(cut) else "")


def unbraced(message: str) -> str:
    """Return a message about templates for a place where fields have no brackets.

    Examples
    --------
    >>> unbraced("'{T}' is not there: did you mean {event.data.T}?")
    "'T' is not there: did you mean 'event.data.T'?"
    """
    bare = message.replace("'{", "'").replace("}'", "'")
    return bare.replace("{", "'").replace("}", "'")


def label(value: Any, length: int = LONGEST_SHOWN) -> str:
    """Return a document's uid or number for a message; ``"?"`` without one."""
    value = plain(value)
    if type(value) is int:
        return shown(value)
    return value[:length] if type(value) is str else "?"


def nearest(wrong: str, choices: Any) -> str:
    """Return the end of a message that suggests a key with a similar spelling.

    Examples
    --------
    >>> nearest("UID", {"uid": 1, "scan_id": 2})
    ": did you mean 'uid'?"
    """
    keys = [k for k in texts_in(choices)[:MOST_KEYS] if len(k) <= LONGEST_SHOWN]
    letters = _letters(wrong)
    same = [key for key in keys if _letters(key) == letters]
    if not same and len(letters) >= ENOUGH:
        same = [key for key in keys if _letters(key).startswith(letters)][:1]
    return did_you_mean(same[0], same) if same else did_you_mean(shortened(wrong), keys)


def _letters(key: str) -> str:
    return key.casefold().replace("_", "")
