"""The options that a configuration file may set: all of ``tiffin export``, but keys."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import Field

from tiffin.options.correction_options import CorrectionOptions
from tiffin.options.option_values import AllStreams, option_type
from tiffin.options.run_options import RunOptions
from tiffin.settings import Settings, option_of
from tiffin.sources import Via

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["PAIRS", "SECRET", "file_hints", "file_options"]

SECRET = "api-key"
"""An option that has no place in a file."""

AnyText = Annotated[str, Field(min_length=0)]

PAIRS: dict[str, Any] = {
    "axes": dict[str, AnyText],
    "metadata": dict[str, AnyText | Literal[False]] | Literal[False],
    "replace": dict[str, AnyText],
    "root-map": dict[str, AnyText],
}
"""Options that are pairs with "=" in the shell, and what else they may be in TOML."""


class FileOption(NamedTuple):
    """An option in a file: the parameter that it sets, and its type."""

    parameter: str
    hint: Any


@lru_cache(1)
def file_options() -> Mapping[str, FileOption]:
    """Return the options that a file may have, by their long names."""
    options = {"source": FileOption("source", str), "via": FileOption("via", Via)}
    for model in (Settings, AllStreams, RunOptions, CorrectionOptions):
        for name, field in model.model_fields.items():
            option = option_of(name, model)
            if option is not None and option.name != SECRET:
                options[option.name] = FileOption(name, option_type(option, field))
    for name, pairs in PAIRS.items():
        options[name] = options[name]._replace(hint=options[name].hint | pairs)
    return options


def file_hints() -> dict[str, Any]:
    """Return the types of the options in a file, by their long names."""
    return {name: option.hint for name, option in file_options().items()}
