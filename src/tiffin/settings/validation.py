"""Check tables with pydantic, and turn its errors into messages for users.

A message names the setting, what was got, what is allowed, and the nearest name.
"""

from __future__ import annotations

import reprlib
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, create_model

from tiffin.errors import SettingsError, TiffinError, did_you_mean
from tiffin.settings.setting_types import INTERNAL

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

LIMITS = {
    "greater_than": " above {gt:g}",
    "greater_than_equal": " of at least {ge:.0f}",
    "less_than_equal": " of at most {le:.0f}",
}

SYNONYMS = {
    **dict.fromkeys(("overwrite", "force", "clobber", "yes"), "replace"),
    **dict.fromkeys(("keep", "ignore"), "skip"),
    **dict.fromkeys(("continue", "restart"), "resume"),
    **dict.fromkeys(("rename", "number"), "unique"),
    **dict.fromkeys(("fail", "stop", "abort"), "error"),
    **dict.fromkeys(("gzip", "gz", "deflate", "zip"), "zlib"),
}
"""Words that people write for a choice."""

Model = TypeVar("Model", bound=BaseModel)

WORDS: dict[Any, str] = {
    str: "text in quotes",
    Path: "a path in quotes",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
}

FOLDERS = ("folder", "dir", "path", "out", "output", "outdir", "output_dir", "root")
OTHER_WORDS = {
    **dict.fromkeys(FOLDERS, "'directory'"),
    **dict.fromkeys(("name", "names", "filename", "pattern"), "'template'"),
    "overwrite": "existing='replace'",
}
"""What other programs call a setting → ours."""

PLURALS = {"a path in quotes": "paths in quotes", "a whole number": "whole numbers"}


def settings_error(
    error: ValidationError, hints: Mapping[str, Any], what: str = "setting"
) -> TiffinError:
    """Return the first problem that pydantic found, as an error of tiffin.

    `hints` are the settings that there are with their types; `what` is the user's word
    for a setting, such as "option".
    """
    problem = error.errors(include_url=False)[0]
    name = str(problem["loc"][0]) if problem["loc"] else ""
    got, context = problem["input"], problem.get("ctx", {})
    original = context.get("error")
    if isinstance(original, TiffinError):
        return original
    if problem["type"] == "extra_forbidden":
        return no_setting(name, hints, what)
    if problem["type"] == "string_too_short":
        return SettingsError("is empty: give a value, or leave it out", setting=name)
    if problem["type"] == "missing":
        return SettingsError("is missing: give a value", setting=name)
    if original is not None:
        return SettingsError(str(original), setting=name)
    limit = LIMITS.get(problem["type"], "").format(**context)
    message = f"must be {describe_type(hints[name])}{limit}, not {reprlib.repr(got)}"
    hint = _suggestion(got, choices_of(hints[name])) if isinstance(got, str) else ""
    return SettingsError(message + hint, setting=name)


def _suggestion(got: str, choices: tuple[str, ...]) -> str:
    """Return the end of a message with the choice that is likely meant."""
    word = SYNONYMS.get(got.lower())
    if word in choices:
        return f": did you mean {word!r}?"
    return did_you_mean(got, choices, list_all=False)


def no_setting(name: str, names: Iterable[str], what: str) -> SettingsError:
    """Return the error of a setting that does not exist."""
    usual = OTHER_WORDS.get(name.lower())
    hint = f": did you mean {usual}?" if usual else did_you_mean(name, names)
    return SettingsError(f"there is no {what} {name!r}{hint}")


def describe_type(hint: Any) -> str:
    """Return what a type allows, in words.

    Examples
    --------
    >>> describe_type(Literal["error", "skip"] | None), describe_type(list[int])
    ("one of 'error' or 'skip'", 'a list of whole numbers')
    """
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return describe_type(inner[0])
    if origin is Literal and inner == (False,):
        return "false"
    if origin is Literal:
        return f"one of {_either(map(repr, inner))}"
    if origin in (list, tuple):
        item = describe_type(inner[0])
        if item.startswith("one of"):
            return item
        return f"a list of {PLURALS.get(item, item)}"
    if origin in (Union, UnionType):
        kinds = [each for each in inner if each is not NoneType]
        if float in kinds:  # whole numbers are numbers
            kinds = [each for each in kinds if each is not int]
        return _either(map(describe_type, kinds))
    return WORDS.get(hint, "a table")


def table_model(
    name: str, hints: Mapping[str, Any], required: Collection[str] = ()
) -> Any:
    """Return a pydantic model of a table in a TOML file, whose keys have these types.

    Where the type is a list, one value may stand for a list of one.
    """
    fields = {
        f"key_{n}": (_in_toml(hint), Field(... if key in required else None, alias=key))
        for n, (key, hint) in enumerate(hints.items())
    }
    return create_model(name, __base__=_Table, **fields)  # type: ignore[call-overload]


def check_table(
    table: Mapping[str, Any],
    hints: Mapping[str, Any],
    required: Collection[str] = (),
    what: str = "setting",
) -> dict[str, Any]:
    """Return the values of a table, or raise a SettingsError.

    `hints` are the keys that it may have with their types; `what` is the user's word
    for a key, such as "option".
    """
    model = table_model("Table", hints, required)
    try:
        values = model.model_validate(dict(table))
    except ValidationError as error:
        raise settings_error(error, hints, what) from None
    given = {field.alias: name for name, field in model.model_fields.items()}
    return {name: getattr(values, given[name]) for name in table}


def check_model(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Return a model of these values, or raise a SettingsError."""
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        hints = {
            name: field.annotation
            for name, field in model.model_fields.items()
            if INTERNAL not in field.metadata
        }
        raise settings_error(error, hints) from None


class _Table(
    BaseModel,
    extra="forbid",
    strict=True,
    str_min_length=1,
    arbitrary_types_allowed=True,
):
    pass


def _in_toml(hint: Any) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Path:
        return str
    if hint is float:
        return int | float  # a whole number stays one, however large
    if origin in (list, tuple):
        item = _in_toml(inner[0])
        return Annotated[list[item], BeforeValidator(_as_list)]  # type: ignore[valid-type]
    if origin in (Union, UnionType):
        return Union[tuple(map(_in_toml, inner))]  # noqa: UP007 (made at run time)
    return hint


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _either(several: Any) -> str:
    *most, last = several
    return f"{', '.join(most)} or {last}" if most else str(last)


def choices_of(hint: Any) -> tuple[str, ...]:
    """Return the values of a Literal, or of those in a union."""
    if get_origin(hint) is Literal:
        return get_args(hint)
    return tuple(choice for each in get_args(hint) for choice in choices_of(each))
