"""Whether a value that a file holds is of the type that a setting wants.

What is wanted is read off the code: the annotations of a command's options, or of a
correction's settings.
"""

from __future__ import annotations

import reprlib
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from tiffin.errors import SettingsError, did_you_mean

__all__ = ["check"]

IN_WORDS: dict[Any, str] = {
    str: "text in quotes",
    Path: "a path in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}


def check(name: str, value: Any, hint: Any) -> None:
    """Refuse a value of another type than a setting's.

    Parameters
    ----------
    name : str
        Of the setting.
    value : object
        As `tomllib` gives it.
    hint : type
        The setting's annotation. One text stands for a list of one.

    Raises
    ------
    SettingsError
        Saying what was got and what is wanted.

    Examples
    --------
    >>> check("limit", 5, int | None)
    >>> check("limit", "5", int | None)
    Traceback (most recent call last):
      ...
    tiffin.errors.SettingsError: limit is a whole number, not '5'
    >>> check("existing", "skp", Literal["error", "skip"])
    Traceback (most recent call last):
      ...
    tiffin.errors.SettingsError: existing is 'error' or 'skip', not 'skp': \
did you mean 'skip'?
    """
    if _fits(value, hint):
        return
    message = f"{name} is {_in_words(hint)}, not {reprlib.repr(value)}"
    near = did_you_mean(value, _choices(hint)) if isinstance(value, str) else ""
    raise SettingsError(message + (near if near.startswith(":") else ""))


def _fits(value: Any, hint: Any) -> bool:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is Literal:
        return value in inner
    if origin in (list, tuple):
        items = value if isinstance(value, list) else [value]
        return all(_fits(item, inner[0]) for item in items)
    if isinstance(value, bool):  # which Python takes for a whole number
        return hint is bool
    wanted: Any = {float: (int, float), Path: str}.get(hint, hint)
    return isinstance(value, wanted)


def _in_words(hint: Any) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return _either(map(repr, inner))
    if origin in (list, tuple):
        return f"a list of {_in_words(inner[0])}"
    if origin in (Union, UnionType):
        kinds = [each for each in inner if each is not NoneType]
        if float in kinds:  # of which whole numbers are some
            kinds = [each for each in kinds if each is not int]
        return _either(map(_in_words, kinds))
    return IN_WORDS.get(hint, "a table")


def _either(several: Any) -> str:
    *most, last = several
    return f"{', '.join(most)} or {last}" if most else str(last)


def _choices(hint: Any) -> tuple[str, ...]:
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(choice for each in get_args(hint) for choice in _choices(each))
