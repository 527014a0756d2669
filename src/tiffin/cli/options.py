"""What several commands ask for in the same words."""

from __future__ import annotations

import inspect
from functools import lru_cache, partial
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    TypeVar,
    get_args,
    get_origin,
)

import typer

from tiffin.errors import SettingsError, SourceError
from tiffin.settings import Settings, description, option_of
from tiffin.sources import (
    ADDRESSES,
    TIMEOUT,
    Documents,
    Selection,
    connect,
    documents_of_runs,
    find_runs,
    open_source,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Command = TypeVar("Command", bound="Callable[..., None]")

__all__ = [
    "AllStreams",
    "ApiKey",
    "Limit",
    "Queries",
    "Runs",
    "Since",
    "Source",
    "FollowLinks",
    "TemplateText",
    "Timeout",
    "Until",
    "catalog_of",
    "chosen_runs",
    "is_address",
    "keywords",
    "mapping",
    "with_settings",
]

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
Runs = Annotated[
    list[str] | None,
    typer.Option(
        "--run",
        "-r",
        help="The run: -1 (the last), a scan_id, or (the beginning of) a uid; may be "
        "repeated.",
    ),
]
Queries = Annotated[
    list[str] | None,
    typer.Option(
        "--query",
        metavar="KEY=VALUE",
        help="Runs whose start document says so, such as plan_name=count; may be "
        "repeated.",
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since", help="Runs that began then or later: 2026-11-22, 2026-11-22T08:30."
    ),
]
Until = Annotated[str | None, typer.Option("--until", help="Runs that began earlier.")]
Limit = Annotated[
    int | None, typer.Option("--limit", help="No more runs than this, the newest.")
]
FollowLinks = Annotated[
    bool,
    typer.Option(
        "--follow-links/--no-follow-links",
        help="Enter folders below the directory that are links.",
        show_default=False,
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
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="TILED_API_KEY",
        help="The key of the Tiled server; a key in its address comes first.",
        show_default=False,
    ),
]

Timeout = Annotated[
    float,
    typer.Option(metavar="SECONDS", help="How long a server's whole reply may take."),
]


def with_settings(*names: str) -> Callable[[Command], Command]:
    """Add options to a command: settings, which it takes as ``**settings``."""

    def decorate(command: Command) -> Command:
        changed: Any = command
        signature = inspect.signature(command, eval_str=True)
        parameters: list[inspect.Parameter] = []
        for parameter in signature.parameters.values():
            if parameter.kind is parameter.VAR_KEYWORD:
                parameters += map(_parameter, names)
            else:
                parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY))
        changed.__signature__ = signature.replace(parameters=parameters)
        changed.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def _parameter(name: str) -> inspect.Parameter:
    """Return a command's parameter for a setting."""
    option, field = option_of(name), Settings.model_fields[name]
    assert option is not None  # noqa: S101 (commands name settings with an option)
    kind = list[str] if option.kind == dict[str, str] else option.kind
    choices = [
        a
        for a in (field.annotation, *get_args(field.annotation))
        if get_origin(a) is Literal
    ]
    if choices:
        kind = choices[0]
    default = field.default if choices or kind is bool else None
    if default is None:
        kind = kind | None
    long = f"--{option.name}"
    shown = typer.Option(
        f"{long}/--no-{long[2:]}" if option.kind is bool else long,
        *filter(None, [option.short]),
        metavar=option.metavar or None,
        help=description(name).replace("``", "").replace("[", "\\["),
        show_default=option.kind is not bool,
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, shown],
    )


def keywords(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as the keywords of `tiffin.export`, without those left out."""
    given = {}
    for name, value in settings.items():
        option = option_of(name)
        if value is None or value == []:
            continue
        if option is not None and option.kind == dict[str, str]:
            value = mapping(f"--{option.name}", value)
        given[name] = _axes(value) if name == "axes" else value
    return given


def _axes(given: Sequence[str]) -> dict[str, str]:
    """Read names of axes: of a field, or, under "", of all others."""
    split = (item.rpartition("=") for item in given)
    return {field: names for field, _, names in split}


def chosen_runs(
    source: str,
    selection: Selection,
    api_key: str | None,
    timeout: float = TIMEOUT,
) -> Any:
    """Open what the user names, with the runs chosen that were asked for."""
    if _is_server(source):
        client = _client(source, api_key, timeout)
        return find_runs(client, selection, timeout=timeout)
    opened = _documents(source)
    return _chosen(opened, selection) if selection else opened


def _chosen(opened: Documents, selection: Selection) -> Documents:
    """Choose runs of a file, or of each file of a pack; a broken one has some, too."""
    starts: list[list[Mapping[str, Any]]] = []
    reason = None
    for part in opened.parts:
        starts.append([])
        try:
            starts[-1].extend(doc for name, doc in part if name == "start")
        except SourceError as error:  # told by the export, if these runs lack anything
            reason = reason or error
    if reason is not None and not any(starts):
        raise reason
    uids = selection.choose([start for each in starts for start in each])
    chosen = []
    for part, each in zip(opened.parts, starts, strict=True):
        here = {str(start["uid"]) for start in each} & set(uids)
        if here:
            chosen.append(Documents(partial(documents_of_runs, part, here)))
    return Documents.of(chosen)


def catalog_of(source: str, api_key: str | None, timeout: float = TIMEOUT) -> Any:
    """Open where runs are looked up: a server, or all that a file holds."""
    return (
        _client(source, api_key, timeout) if _is_server(source) else _documents(source)
    )


def is_address(source: str) -> bool:
    """Whether a source is a server, by its name."""
    return source.startswith(ADDRESSES)


def _is_server(source: str) -> bool:
    if not is_address(source) and not Path(source).exists():
        message = (
            f"{source!r} is neither a file nor an address that begins with http:// "
            f"or https://"
        )
        raise SettingsError(message)
    return is_address(source)


@lru_cache(maxsize=4)
def _client(address: str, api_key: str | None, timeout: float) -> Any:
    """Connect to a server once, for runs and for their darks."""
    return connect(address, api_key=api_key, timeout=timeout)


@lru_cache(maxsize=4)
def _documents(path: str) -> Documents:
    """Open a file once, for runs and for their darks: a pipe gives its own once."""
    return open_source(path)


def mapping(option: str, pairs: Sequence[str] | None) -> dict[str, str]:
    """Read what was given as OLD=NEW."""
    for pair in pairs or ():
        if "=" not in pair[1:]:
            message = f"{option} {pair!r} is not OLD=NEW"
            raise SettingsError(message)
    return {p[0] + p[1:].split("=", 1)[0]: p[1:].split("=", 1)[1] for p in pairs or ()}
