"""Make a command of a function: settings and groups become options of the shell."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import BaseModel

from tiffin.errors import SettingsError
from tiffin.settings import (
    Option,
    Settings,
    check_model,
    choices_of,
    description,
    option_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

__all__ = ["Source", "command", "is_off", "is_typed", "split_words"]

Source = Annotated[
    str, typer.Argument(help="A Tiled server's address, or a file of documents.")
]
CONTEXT = inspect.Parameter(
    "context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context
)


class AllStreams(BaseModel, use_attribute_docstrings=True):
    """An option that goes with ``--stream``."""

    all_streams: Annotated[bool, Option()] = False
    """Export every stream."""


def command(*settings: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of a function.

    Parameters
    ----------
    *settings : str
        Settings that become options. The function gets those that were given as
        ``**settings``, as `tiffin.export` takes them.

    Returns
    -------
    callable
        A decorator. A parameter of the function whose type is a pydantic model is a
        group of options: each field becomes an option, and the function gets the group.
    """
    added = _parameters(Settings, settings)
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
        parameters = {"context": CONTEXT} | added
        models = dict.fromkeys(settings, Settings)
        for model in groups.values():
            parameters |= _parameters(model, model.model_fields)
            models |= dict.fromkeys(model.model_fields, model)
        parameters |= {name: p for name, p in own.items() if name not in groups}

        def run(context: typer.Context, **given: Any) -> None:
            if "context" in own:
                given["context"] = context
            try:
                chosen = _keywords(context, {name: given.pop(name) for name in added})
                for name, group in groups.items():
                    values = {field: given.pop(field) for field in group.model_fields}
                    given[name] = check_model(group, _without_empty(values))
                function(**given, **chosen)
            except SettingsError as error:
                if error.setting not in models:
                    raise
                text = _as_written(error, models[error.setting], context)
                raise SettingsError(text) from error

        changed: Any = run
        changed.__name__, changed.__doc__ = function.__name__, function.__doc__
        changed.__signature__ = inspect.Signature([*parameters.values()])
        changed.__annotations__ = {p.name: p.annotation for p in parameters.values()}
        return run

    return decorate


def is_typed(context: typer.Context, *parameters: str) -> bool:
    """Whether one of a command's parameters stands on the command line."""
    sources = (context.get_parameter_source(name) for name in parameters)
    return any(source and source.name == "COMMANDLINE" for source in sources)


def split_words(texts: Sequence[str]) -> list[str]:
    """Return words that are repeated, or separated by commas.

    Examples
    --------
    >>> split_words(["sub,light", "dark"])
    ['sub', 'light', 'dark']
    """
    return [word.strip() for text in texts for word in text.split(",")]


def _is_group(parameter: inspect.Parameter) -> bool:
    return isinstance(parameter.annotation, type(BaseModel))


def _parameters(
    model: type[BaseModel], names: Iterable[str]
) -> dict[str, inspect.Parameter]:
    """Return the parameters of settings, or of the fields of a group of options."""
    parameters = {}
    for name in names:
        option, field = option_of(name, model), model.model_fields[name]
        assert option is not None  # noqa: S101 (a command names options)
        kind, default = option.kind, None
        if kind is None:
            kind, default = field.annotation, field.default
        if field.is_required():
            default = inspect.Parameter.empty
        kind = {Any: str, dict[str, str]: list[str]}.get(kind, kind)
        choices = choices_of(kind)
        is_flag, long = kind is bool, f"--{option.name}"
        shown = typer.Option(
            f"{long}/--no-{option.name}" if is_flag else long,
            *filter(None, [option.short]),
            metavar=option.metavar or "|".join(choices) or None,
            parser=str if choices else None,  # the schema checks it, with its message
            autocompletion=_completion(choices) if choices else None,
            envvar=option.envvar or None,
            help=description(name, model).replace("``", "").replace("[", "\\["),
            show_default=not is_flag,
            rich_help_panel=getattr(model, "panel", None),
        )
        hint: Any = kind | None if default is None else kind
        parameters[name] = inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[hint, shown],
        )
    return parameters


def _completion(choices: tuple[str, ...]) -> Callable[[], Sequence[str]]:
    return lambda: choices


def _keywords(context: typer.Context, given: dict[str, Any]) -> dict[str, Any]:
    """Return options as keywords of `tiffin.export`, without those left out."""
    # A stream on the command line overrides a file that asks for all streams.
    every = given.pop("all_streams", False) and (
        is_typed(context, "all_streams") or not is_typed(context, "streams")
    )
    keywords: dict[str, Any] = {}
    for name, value in _without_empty(given).items():
        if is_off(Settings, name, value):
            if name == "metadata":
                keywords[name] = None
            continue
        # In a table of a file, unlike in the shell, a key may have a "=".
        table = (context.default_map or {}).get(name)
        if isinstance(table, dict) and not is_typed(context, name):
            keywords[name] = {key: new or "" for key, new in table.items()}
            continue
        option = option_of(name)
        if option is not None and option.kind == dict[str, str]:
            value = _mapping(name, option.metavar, value)
        keywords[name] = CONVERSIONS.get(name, lambda same: same)(value)
    return keywords | {"streams": None} if every else keywords


def is_off(model: type[BaseModel], name: str, value: Any) -> bool:
    """Whether ``none`` turns off an option that a configuration file may have."""
    field = model.model_fields[name]
    if name == "directory" or "none" in choices_of(field.annotation):
        return False
    return value in ("none", ["none"]) and field.default in (None, (), {})


def _without_empty(given: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out options that were not given: None, or an empty list."""
    return {name: value for name, value in given.items() if value not in (None, [])}


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
}
"""Settings that the shell writes otherwise than Python."""


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
