"""Make a command of a function: settings and groups become options of the shell."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer
from pydantic import BaseModel
from typer.models import ArgumentInfo

from tiffin.errors import SettingsError
from tiffin.options import AllStreams, as_keywords, option_type, without_empty
from tiffin.settings import (
    PANELS,
    PIXELS,
    SERVER,
    Option,
    Settings,
    check_model,
    choices_of,
    description,
    option_of,
)
from tiffin.writers import names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help="Where an export wrote to.")
]

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="A Tiled server's address, or a file of documents."
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print lines of JSON, for programs.")
]
ViaOption = Annotated[
    Literal["auto", "http", "files"],
    typer.Option(
        help="How a server's external images are read.", rich_help_panel=SERVER
    ),
]
CONTEXT = inspect.Parameter(
    "context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context
)


def command(
    *settings: str, **defaults: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function.

    Parameters
    ----------
    *settings : str
        Settings that become options. The function gets those that were given as
        ``**settings``, as `tiffin.export` takes them.
    **defaults
        Of settings that have another default here than in `tiffin.export`.

    Returns
    -------
    callable
        A decorator. A parameter of the function whose type is a pydantic model is a
        group of options: each field becomes an option, and the function gets the group.
    """
    added = _parameters(Settings, settings, **defaults)
    if "streams" in added:
        added |= _parameters(AllStreams, ["all_streams"])

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(function, eval_str=True)
        own = {
            name: parameter.replace(kind=parameter.KEYWORD_ONLY)
            for name, parameter in signature.parameters.items()
            if parameter.kind is not parameter.VAR_KEYWORD
        }
        groups = {name: p.annotation for name, p in own.items() if _is_group(p)}
        parameters = {"context": CONTEXT}
        models = dict.fromkeys(settings, Settings)
        for model in groups.values():
            parameters |= _parameters(model, model.model_fields)
            models |= dict.fromkeys(model.model_fields, model)
        parameters |= added
        parameters |= {name: p for name, p in own.items() if name not in groups}

        def run(context: typer.Context, **given: Any) -> None:
            if "context" in own:
                given["context"] = context
            try:
                chosen = _keywords(context, {name: given.pop(name) for name in added})
                for name, group in groups.items():
                    values = {field: given.pop(field) for field in group.model_fields}
                    given[name] = check_model(group, without_empty(values))
                function(**given, **chosen)
            except SettingsError as error:
                if error.setting in own:
                    text = f"--{error.setting.replace('_', '-')} {error.problem}"
                elif error.setting in models:
                    text = _as_written(error, models[error.setting], context)
                else:
                    raise
                raise SettingsError(text) from error

        changed: Any = run
        changed.__name__, changed.__doc__ = function.__name__, function.__doc__
        ordered = sorted(parameters.values(), key=_place_in_help)
        changed.__signature__ = inspect.Signature(ordered)
        changed.__annotations__ = {p.name: p.annotation for p in ordered}
        return run

    return decorate


def is_typed(context: typer.Context, *parameters: str) -> bool:
    """Whether one of a command's parameters stands on the command line."""
    sources = (context.get_parameter_source(name) for name in parameters)
    return any(source and source.name == "COMMANDLINE" for source in sources)


def _is_group(parameter: inspect.Parameter) -> bool:
    return isinstance(parameter.annotation, type(BaseModel))


def _parameters(
    model: type[BaseModel], names: Iterable[str], **defaults: Any
) -> dict[str, inspect.Parameter]:
    """Return the parameters of settings, or of the fields of a group of options."""
    parameters = {}
    for name in names:
        option, field = option_of(name, model), model.model_fields[name]
        assert option is not None  # noqa: S101 (a command names options)
        kind, default = option_type(option, field), None
        if option.kind is None:
            default = defaults.get(name, field.default)
        choices = choices_of(kind)
        is_flag, long = kind is bool, f"--{option.name}"
        shown = typer.Option(
            f"{long}/--no-{option.name}" if is_flag else long,
            *filter(None, [option.short]),
            metavar=option.metavar or "|".join(choices) or _placeholder(option, kind),
            parser=str if choices else None,  # the schema checks it, with its message
            autocompletion=_completion(name, choices),
            envvar=option.envvar or None,
            help=description(name, model).replace("``", "").replace("[", "\\["),
            show_default=not is_flag,
            rich_help_panel=option.panel or getattr(model, "panel", None),
        )
        hint: Any = kind | None if default is None else kind
        parameters[name] = inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[hint, shown],
        )
    return parameters


def _placeholder(option: Option, kind: Any) -> str | None:
    if kind is bool:
        return None
    is_number = not {int, float}.isdisjoint((kind, *get_args(kind)))
    return "N" if is_number else option.name.upper()


def _place_in_help(parameter: inspect.Parameter) -> int:
    """Return where an option stands: those of a heading together."""
    marks = getattr(parameter.annotation, "__metadata__", ())
    if any(isinstance(mark, ArgumentInfo) for mark in marks):
        return -1
    panel = next((mark.rich_help_panel for mark in marks), None)
    if panel is None:
        return len(PANELS)
    # Corrections come with the pixels.
    return PANELS.index(panel if panel in PANELS else PIXELS)


def _completion(
    name: str, choices: tuple[str, ...]
) -> Callable[[], Sequence[str]] | None:
    if name in ("format", "profile"):  # plug-ins add some
        return lambda: names_of(name)
    return (lambda: choices) if choices else None


def _keywords(context: typer.Context, given: dict[str, Any]) -> dict[str, Any]:
    """Return options as keywords of `tiffin.export`, without those left out."""
    # A stream on the command line overrides a file that asks for all streams.
    every = given.pop("all_streams", False) and (
        is_typed(context, "all_streams") or not is_typed(context, "streams")
    )
    # In a table of a file, unlike in the shell, a key may have a "=".
    for name, value in (context.default_map or {}).items():
        if isinstance(value, dict) and name in given and not is_typed(context, name):
            given[name] = value
    keywords = as_keywords(given)
    return keywords | {"streams": None} if every else keywords


def _as_written(
    error: SettingsError, model: type[BaseModel], context: typer.Context
) -> str:
    """Return a message that names the setting as the user wrote it."""
    option = option_of(error.setting, model)
    name = option.name if option else error.setting
    source = context.get_parameter_source(error.setting)
    if source and source.name == "DEFAULT_MAP":
        return f"{context.params['config']}: {name} {error.problem}"
    return f"--{name} {error.problem}"
