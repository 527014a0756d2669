"""Make a command of a function: settings and groups become options of the shell."""

from __future__ import annotations

import dataclasses
import inspect
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin
from typing import get_type_hints as hints_of

import typer

from tiffin.errors import SettingsError
from tiffin.settings import Settings, description, option_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["Source", "TemplateText", "command", "is_typed", "split_words"]

Source = Annotated[
    str, typer.Argument(help="A Tiled server's address, or a file of documents.")
]
TemplateText = Annotated[
    str,
    typer.Option(
        "--template",
        "-t",
        help="File names, such as '{start.scan_id}_{event.seq_num:03d}.tif'.",
    ),
]
AllStreams = Annotated[
    bool,
    typer.Option(
        "--all-streams/--no-all-streams",
        help="Export every stream.",
        show_default=False,
    ),
]


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
        A decorator. A parameter of the function whose type is a dataclass is a group
        of options: each field becomes an option, and the function gets the group.
    """
    added = {name: _parameter(name) for name in settings}
    if "streams" in added:
        added["all_streams"] = _keyword("all_streams", AllStreams, default=False)

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(function, eval_str=True).parameters
        groups: dict[str, Any] = {}
        parameters = {"context": _keyword("context", typer.Context)}
        for name, parameter in own.items():
            if dataclasses.is_dataclass(parameter.annotation):
                groups[name] = parameter.annotation
                parameters |= _fields(parameter.annotation)
            elif parameter.kind is parameter.VAR_KEYWORD:
                parameters |= added
            else:
                parameters[name] = parameter.replace(kind=parameter.KEYWORD_ONLY)

        def run(context: typer.Context, **given: Any) -> None:
            chosen = _keywords(context, {name: given.pop(name) for name in added})
            for name, group in groups.items():
                fields = [field.name for field in dataclasses.fields(group)]
                given[name] = group(**{field: given.pop(field) for field in fields})
            if "context" in own:
                given["context"] = context
            try:
                function(**given, **chosen)
            except SettingsError as error:
                error.args = (_as_written(error, context),)
                raise

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


def _keyword(name: str, kind: Any, **default: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, **default
    )


def _fields(group: Any) -> dict[str, inspect.Parameter]:
    """Return the parameters of a group of options."""
    hints = hints_of(group, include_extras=True)
    return {
        field.name: _keyword(field.name, hints[field.name], default=field.default)
        for field in dataclasses.fields(group)
    }


def _parameter(name: str) -> inspect.Parameter:
    """Return the parameter of a setting."""
    option, field = option_of(name), Settings.model_fields[name]
    assert option is not None  # noqa: S101 (commands name settings with an option)
    kind = list[str] if option.kind == dict[str, str] else option.kind
    for annotation in (field.annotation, *get_args(field.annotation)):
        if get_origin(annotation) is Literal:
            kind = annotation
    is_default = kind is bool or get_origin(kind) is Literal
    default = field.default if is_default else None
    long = f"--{option.name}"
    shown = typer.Option(
        f"{long}/--no-{option.name}" if kind is bool else long,
        *filter(None, [option.short]),
        metavar=option.metavar or None,
        help=description(name).replace("``", "").replace("[", "\\["),
        show_default=kind is not bool,
    )
    annotated = kind | None if default is None else kind
    return _keyword(name, Annotated[annotated, shown], default=default)


def _keywords(context: typer.Context, given: dict[str, Any]) -> dict[str, Any]:
    """Return options as keywords of `tiffin.export`, without those left out."""
    # A stream on the command line overrides a file that asks for all streams.
    every = given.pop("all_streams", False) and (
        is_typed(context, "all_streams") or not is_typed(context, "streams")
    )
    keywords: dict[str, Any] = {}
    for name, value in given.items():
        option = option_of(name)
        if value is None or value == []:
            continue
        if option is not None and option.kind == dict[str, str]:
            value = _mapping(option.name, value)
        keywords[name] = CONVERSIONS.get(name, lambda same: same)(value)
    return keywords | {"streams": None} if every else keywords


def _mapping(option: str, pairs: Sequence[str]) -> dict[str, str]:
    """Return a mapping that is given as OLD=NEW; OLD may begin with "="."""
    mapping = {}
    for pair in pairs:
        old, equals, new = pair[1:].partition("=")
        if not equals:
            message = f"--{option} must be OLD=NEW, not {pair!r}"
            raise SettingsError(message)
        mapping[pair[0] + old] = new
    return mapping


def _axes(given: Sequence[str]) -> dict[str, str]:
    """Return names of axes by field; "" stands for all other fields."""
    split = (item.rpartition("=") for item in given)
    return {field: names for field, _, names in split}


CONVERSIONS: Mapping[str, Callable[[Any], Any]] = {
    "axes": _axes,
    "memory": lambda megabytes: megabytes * 10**6,
    "save": split_words,
}
"""Settings that the shell writes otherwise than Python."""


def _as_written(error: SettingsError, context: typer.Context) -> str:
    """Return a message that names the setting as the user wrote it."""
    option = option_of(error.setting) if error.setting in context.params else None
    if option is None:
        return str(error)
    source = context.get_parameter_source(error.setting)
    if source and source.name == "DEFAULT_MAP":
        return f"{context.params['config']}: {option.name} {error.problem}"
    return f"--{option.name} {error.problem}"
