"""Look items up in documents without running code of a document's own classes.

Dicts, lists, tuples and arrays of any subclass are read with the methods of the base
class, so that a ``defaultdict`` gets no new key. Other mappings and sequences are read
only if their class belongs to one of `LIBRARIES`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

MISSING: Any = object()
"""Returned in place of a value that is not there; exceptions would be slower."""

LIBRARIES = frozenset({"builtins", "collections", "tiled", "databroker"})

_INDEX = re.compile(r"-?[0-9]{1,9}", re.ASCII)

_PLAIN = frozenset({str, int, float, bool, type(None)})

_CONVERSIONS: tuple[tuple[type, Any], ...] = (
    (str, str.__str__),
    (float, float.__float__),
    (int, int.__int__),
    (complex, complex.__complex__),
    (np.longdouble, np.longdouble.__float__),
)

_NUMPY_NUMBERS: tuple[type, ...] = (np.bool_, np.integer, np.floating, np.complex64)


def item(value: Any, key: str) -> Any:
    """Return the value of a key, or of an index written as text; or `MISSING`."""
    kind = type(value)
    if kind is dict and key in value:  # nearly always
        return value[key]
    if issubclass(kind, dict):
        found = dict.get(value, key, MISSING)
        if found is MISSING and _INDEX.fullmatch(key):
            return dict.get(value, int(key), MISSING)
        return found
    for base in (list, tuple, np.ndarray):
        if issubclass(kind, base):
            return _element(base, value, key)
    if not _is_from_library(kind):
        return MISSING
    if issubclass(kind, Mapping):
        # Asking for a key that is not there might add it.
        keys = {each for each in value if type(each) in (str, int)}
        index = int(key) if _INDEX.fullmatch(key) else key
        found = next((each for each in (key, index) if each in keys), MISSING)
        return MISSING if found is MISSING else value[found]
    return _element(kind, value, key)


def follow(value: Any, *keys: str) -> Any:
    """Look up keys one inside the other; or return `MISSING`."""
    for key in keys:
        value = item(value, key)
    return value


def elements(value: Any) -> list[Any]:
    """Return the keys of a mapping or the items of a sequence; else an empty list."""
    kind: Any = type(value)
    if kind is list or kind is dict:
        return list(value)
    for base in (dict, list, tuple):
        if issubclass(kind, base):
            return list(base.__iter__(value))
    return list(value) if _is_from_library(kind) else []


def texts_in(value: Any) -> list[str]:
    """Return the keys of a mapping, or the items of a sequence, that are text."""
    return [
        each if type(each) is str else str.__str__(each)
        for each in elements(value)
        if issubclass(type(each), str)
    ]


def is_container(value: Any) -> bool:
    """Return whether `item` can look into a value."""
    kind = type(value)
    return issubclass(kind, (dict, list, tuple, np.ndarray)) or _is_from_library(kind)


def plain(value: Any) -> Any:
    """Return text and numbers of a subclass, or of numpy, as Python's own types.

    Anything else is returned as it is. That includes numpy's times, which have no zone.

    Examples
    --------
    >>> plain(np.int8(3)), plain(np.str_("a")), plain(np.array(1.5))
    (3, 'a', 1.5)
    """
    kind = type(value)
    if kind in _PLAIN:
        return value
    for base, convert in _CONVERSIONS:
        if issubclass(kind, base):
            return convert(value)
    if issubclass(kind, np.ndarray) and np.ndarray.ndim.__get__(value) == 0:
        return plain(np.ndarray.view(value, np.ndarray)[()])
    # A timedelta64 is an integer by its base class.
    if issubclass(kind, _NUMPY_NUMBERS) and not issubclass(kind, np.timedelta64):
        return np.generic.item(value)
    return value


def _is_from_library(kind: type) -> bool:
    """Return whether a class is a mapping or a sequence of one of `LIBRARIES`."""
    module = kind.__module__
    return (
        type(module) is str
        and module.partition(".")[0] in LIBRARIES
        and issubclass(kind, (Mapping, Sequence))
        and not issubclass(kind, (str, bytes, bytearray))
    )


def _element(base: Any, value: Any, key: str) -> Any:
    if not _INDEX.fullmatch(key):
        return MISSING
    if base is np.ndarray:
        value = np.ndarray.view(value, np.ndarray)
    try:
        return base.__getitem__(value, int(key))
    except (LookupError, TypeError, ValueError):
        return MISSING
