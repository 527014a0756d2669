"""Take documents for what they are: items of them, and plain values.

No code of a user's is run. A dict, a list, a tuple or an array of whatever subclass is
asked by its base's own look-up, which adds no key to a defaultdict; another mapping or
sequence only where its class is of the standard library or of one that hands documents
out. Texts and numbers of subclasses become Python's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tiffin.errors import did_you_mean

__all__ = [
    "MISSING",
    "elements",
    "follow",
    "item",
    "kind_of",
    "label",
    "nearest",
    "plain",
    "shortened",
    "shown",
    "texts_in",
]

MISSING: Any = object()
"""Stands where there is no value: looking up must not cost an exception."""

LIBRARIES = frozenset({"builtins", "collections", "tiled", "databroker"})
"""Whose mappings and sequences are asked though they are no dict, list or tuple."""

LONGEST_SHOWN = 60
"""Characters of a value, or of a key, that stand in a message."""

MOST_KEYS = 1000
"""So many keys are compared for the nearest one."""

_INDEX = re.compile(r"-?[0-9]{1,9}", re.ASCII)

_PLAIN = frozenset({str, int, float, bool, type(None)})


def item(value: Any, key: str) -> Any:
    """Look one key up, or a whole number of a list or mapping; or `MISSING`."""
    kind = type(value)
    if kind is dict and key in value:  # as nearly always
        return value[key]
    if issubclass(kind, dict):
        found = dict.get(value, key, MISSING)
        if found is MISSING and _INDEX.fullmatch(key):
            return dict.get(value, int(key), MISSING)
        return found
    if issubclass(kind, list):
        return _at(list, value, key)
    if issubclass(kind, tuple):
        return _at(tuple, value, key)
    if issubclass(kind, np.ndarray):
        return _at(np.ndarray, np.ndarray.view(value, np.ndarray), key)
    if not _is_known(kind) or issubclass(kind, (str, bytes, bytearray)):
        return MISSING
    if issubclass(kind, Mapping):
        return _of_mapping(value, key)
    return _at(kind, value, key) if issubclass(kind, Sequence) else MISSING


def follow(value: Any, *keys: str) -> Any:
    """Look keys up one inside the other; or `MISSING`."""
    for key in keys:
        value = item(value, key)
        if value is MISSING:
            return MISSING
    return value


def elements(value: Any) -> list[Any]:
    """Return the keys of a mapping, what a list or tuple holds; of all else nothing."""
    kind = type(value)
    if kind is list:
        return value  # type: ignore[no-any-return]
    if issubclass(kind, dict):
        return list(dict.__iter__(value))
    if issubclass(kind, list):
        return list(list.__iter__(value))
    if issubclass(kind, tuple):
        return list(tuple.__iter__(value))
    if _is_known(kind) and issubclass(kind, (Mapping, Sequence)):
        return [] if issubclass(kind, (str, bytes, bytearray)) else list(value)
    return []


def texts_in(value: Any) -> list[str]:
    """Return the keys of a mapping that are text, or the texts in a list."""
    return [
        each if type(each) is str else str.__str__(each)
        for each in elements(value)
        if issubclass(type(each), str)
    ]


def plain(value: Any) -> Any:
    """Return a text or a number of a subclass, or of numpy, as Python's own.

    All else stays what it is: so do numpy's times, which have no zone.

    Examples
    --------
    >>> plain(np.int8(3)), plain(np.str_("a")), plain(np.array(1.5))
    (3, 'a', 1.5)
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    if issubclass(kind, str):
        return str.__str__(value)
    if issubclass(kind, float):
        return float.__float__(value)
    if issubclass(kind, int):
        return int.__int__(value)
    if issubclass(kind, complex):
        return complex.__complex__(value)
    if issubclass(kind, np.ndarray) and np.ndarray.ndim.__get__(value) == 0:
        return plain(np.ndarray.__getitem__(np.ndarray.view(value, np.ndarray), ()))
    if issubclass(kind, np.longdouble):
        return np.longdouble.__float__(value)
    return np.generic.item(value) if _is_number(kind) else value


def _is_number(kind: Any) -> bool:
    """Whether a class is one of numpy's numbers; its times are such by their base."""
    numbers = (np.bool_, np.integer, np.floating, np.complex64)
    return issubclass(kind, numbers) and not issubclass(kind, np.timedelta64)


def kind_of(value: Any) -> str:
    """Name what a value is, with its article."""
    name = type(value).__name__
    return f"{'an' if name[:1] in 'AEIOaeio' else 'a'} {name[:LONGEST_SHOWN]}"


def shown(value: Any) -> str:
    """Show a value in a message: as Python writes it, and not all of a long one."""
    value = plain(value)
    kind = type(value)
    if kind is int and value.bit_length() > 4 * LONGEST_SHOWN:
        return f"a number of {value.bit_length()} bits"
    if kind is str:
        return shortened(value, quoted=True)
    return repr(value) if kind in _PLAIN or kind is complex else kind_of(value)


def shortened(text: str, *, quoted: bool = False) -> str:
    """Cut a text that is long for a message.

    Examples
    --------
    >>> len(shortened("x" * 100_000))
    61
    """
    cut = text[:LONGEST_SHOWN]
    return (repr(cut) if quoted else cut) + ("…" if len(text) > len(cut) else "")


def label(value: Any, length: int = LONGEST_SHOWN) -> str:
    """Name a document in a message: by its uid, its number; ``"?"`` without one."""
    value = plain(value)
    if type(value) is int:
        return shown(value)
    return value[:length] if type(value) is str else "?"


def nearest(wrong: str, choices: Any) -> str:
    """Name the nearest key, as the end of a message: in another case, or spelling.

    Examples
    --------
    >>> nearest("UID", {"uid": 1, "scan_id": 2})
    ": did you mean 'uid'?"
    """
    keys = texts_in(choices)[:MOST_KEYS]
    keys = [key for key in keys if len(key) <= LONGEST_SHOWN]
    same = [key for key in keys if _letters(key) == _letters(wrong)]
    return did_you_mean(same[0], same) if same else did_you_mean(shortened(wrong), keys)


def _letters(key: str) -> str:
    return key.casefold().replace("_", "")


def _is_known(kind: type) -> bool:
    module = kind.__module__
    return type(module) is str and module.partition(".")[0] in LIBRARIES


def _of_mapping(value: Mapping[Any, Any], key: str) -> Any:
    """Ask for a key that is there only: to ask for another might add it."""
    keys = list(value)
    for wanted in (key, int(key) if _INDEX.fullmatch(key) else key):
        if any(type(each) is type(wanted) and each == wanted for each in keys):
            return value[wanted]
    return MISSING


def _at(base: Any, value: Any, key: str) -> Any:
    if not _INDEX.fullmatch(key):
        return MISSING
    try:
        return base.__getitem__(value, int(key))
    except (LookupError, TypeError, ValueError):
        return MISSING
