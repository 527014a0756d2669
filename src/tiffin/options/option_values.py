"""Settings as the shell and the configuration file write them, for Python."""

from __future__ import annotations

from functools import reduce
from operator import or_
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel

from tiffin.errors import SettingsError
from tiffin.settings import WHAT, Option, Settings, choices_of, option_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pydantic.fields import FieldInfo


class AllStreams(BaseModel, use_attribute_docstrings=True):
    """An option that goes with ``--stream``."""

    all_streams: Annotated[bool, Option(panel=WHAT)] = False
    """Export every stream."""


def option_type(option: Option, field: FieldInfo) -> Any:
    """Return the type of an option's value, as the shell and TOML write it."""
    kind: Any = field.annotation if option.kind is None else option.kind
    written: dict[Any, Any] = {Any: str, dict[str, str]: list[str]}
    return written.get(kind, _bare(kind))


def _bare(hint: Any) -> Any:
    """Return a type without its checks, which the schema makes.

    Examples
    --------
    >>> _bare(Annotated[int, "from 1"] | None)
    int | None
    """
    if get_origin(hint) is Annotated:
        return _bare(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return reduce(or_, map(_bare, get_args(hint)))
    return hint


def split_words(texts: Sequence[str]) -> list[str]:
    """Return words that are repeated, or separated by commas.

    Examples
    --------
    >>> split_words(["sub,light", "dark"])
    ['sub', 'light', 'dark']
    """
    return [word.strip() for text in texts for word in text.split(",")]


def without_empty(given: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out options that were not given: None, or an empty list."""
    return {name: value for name, value in given.items() if value not in (None, [])}


def as_keywords(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as keywords of `tiffin.export`, without those left out.

    Examples
    --------
    >>> as_keywords({"memory": 100, "axes": ["yxc"], "level": None})
    {'memory': 100000000, 'axes': {'': 'yxc'}}
    """
    keywords: dict[str, Any] = {}
    for name, value in without_empty(given).items():
        option = option_of(name)
        if is_off(Settings, name, value):
            if name == "metadata":
                keywords[name] = None
        elif isinstance(value, dict):
            keywords[name] = {key: new or "" for key, new in value.items()}
        elif option is not None and option.kind == dict[str, str]:
            keywords[name] = _mapping(name, option.metavar, value)
        else:
            keywords[name] = CONVERSIONS.get(name, lambda same: same)(value)
    return keywords


def is_off(model: type[BaseModel], name: str, value: Any) -> bool:
    """Whether ``none`` turns off an option that a configuration file may have."""
    field = model.model_fields[name]
    if name == "directory" or "none" in choices_of(field.annotation):
        return False
    return value in ("none", ["none"]) and field.default in (None, (), {})


def _mapping(setting: str, form: str, pairs: Sequence[str]) -> dict[str, str]:
    """Return a mapping that is given as OLD=NEW; OLD may begin with "="."""
    mapping = {}
    for pair in pairs:
        old, equals, new = pair[1:].partition("=")
        if not equals:
            example = ""
            if setting == "metadata":
                example = (
                    ", such as temperature=event.data.T, or NAME= to leave an entry out"
                )
            message = f"must be {form}{example}, not {pair!r}"
            raise SettingsError(message, setting=setting)
        mapping[pair[0] + old] = new
    return mapping


def _axes(given: Sequence[str]) -> dict[str, str]:
    """Return names of axes by field; "" stands for all other fields."""
    split = (item.rpartition("=") for item in given)
    return {field: names for field, _, names in split}


CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "axes": _axes,
    "memory": lambda megabytes: megabytes * 10**6 if megabytes > 0 else megabytes,
    "save": split_words,
    "sidecars": split_words,
}
"""Settings that the shell writes otherwise than Python."""
