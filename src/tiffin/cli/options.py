"""What several commands ask for in the same words."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from tiffin.errors import SettingsError, SourceError
from tiffin.sources import (
    ADDRESSES,
    TIMEOUT,
    Documents,
    Selection,
    connect,
    find_runs,
    only,
    open_source,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "AllStreams",
    "ApiKey",
    "AxisNames",
    "Colour",
    "Directory",
    "Fields",
    "First",
    "Frames",
    "FollowLinks",
    "Limit",
    "NamePolicy",
    "Queries",
    "Replacements",
    "Runs",
    "Since",
    "Source",
    "Streams",
    "TemplateText",
    "Timeout",
    "Timezone",
    "Until",
    "axes_of",
    "catalog_of",
    "chosen_runs",
    "is_address",
    "mapping",
    "streams_of",
]

Source = Annotated[
    str, typer.Argument(help="A Tiled server's address, or a file of documents.")
]
TemplateText = Annotated[
    str,
    typer.Option(
        "--template",
        "-t",
        help="Names, such as '{start.scan_id}_{event.seq_num:03d}.tif'.",
    ),
]
Directory = Annotated[
    Path | None, typer.Option("--directory", "-d", help="Where the names begin.")
]
Runs = Annotated[
    list[str] | None,
    typer.Option(
        "--run",
        "-r",
        help="-1 (the last), a scan_id, or a uid or its beginning; may be repeated.",
    ),
]
Queries = Annotated[
    list[str] | None,
    typer.Option(
        "--query", metavar="KEY=VALUE", help="Of the start document; repeatable."
    ),
]
Since = Annotated[str | None, typer.Option("--since", help="Begun at or after.")]
Until = Annotated[str | None, typer.Option("--until", help="Begun before.")]
Limit = Annotated[
    int | None, typer.Option("--limit", help="At most so many, the newest.")
]
Fields = Annotated[
    list[str] | None,
    typer.Option("--field", "-f", help="Only this field; may be repeated."),
]
FollowLinks = Annotated[
    bool,
    typer.Option(
        "--follow-links/--no-follow-links",
        help="Enter folders below the directory that are links.",
        show_default=False,
    ),
]
Streams = Annotated[
    list[str] | None,
    typer.Option("--stream", "-s", help="This stream, not 'primary'; may be repeated."),
]
AllStreams = Annotated[
    bool,
    typer.Option(
        "--all-streams/--no-all-streams", help="Every stream.", show_default=False
    ),
]
Colour = Annotated[
    list[str] | None,
    typer.Option("--colour", help="A field of colour images; repeatable."),
]
AxisNames = Annotated[
    list[str] | None,
    typer.Option(
        "--axes",
        metavar="[FIELD=]NAMES",
        help="An array's last axes, such as yxc, tyx or img=cyx; repeatable.",
    ),
]
Frames = Annotated[
    str | None,
    typer.Option(
        "--frames",
        metavar="SLICE",
        help="Only these frames of each run, stream and field, by their running number "
        "from 0: ::10, 100:200, or 0,5.",
    ),
]
First = Annotated[
    int, typer.Option("--first", help="With which number {frame} and {i} begin.")
]
Timezone = Annotated[
    str | None,
    typer.Option(
        "--timezone", help="Zone of times in names, such as Europe/Zurich; else local."
    ),
]
NamePolicy = Annotated[
    Literal["portable", "strict"],
    typer.Option("--names", help="What values may bring into a name."),
]
Replacements = Annotated[
    list[str] | None,
    typer.Option(
        "--replace", metavar="OLD=NEW", help="In values of names; repeatable."
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="TILED_API_KEY",
        help="For the Tiled server; one in its address counts before.",
        show_default=False,
    ),
]
Timeout = Annotated[
    float,
    typer.Option(metavar="SECONDS", help="How long a server's reply may take, whole."),
]


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
            chosen.append(Documents(partial(only, part, here)))
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


def streams_of(streams: Sequence[str] | None, *, every: bool) -> tuple[str, ...] | None:
    """Tell which streams are meant; None for all."""
    return None if every else tuple(streams or ("primary",))


def axes_of(given: Sequence[str] | None) -> dict[str, str] | None:
    """Read names of axes: of a field, or, under "", of all others."""
    split = (item.rpartition("=") for item in given or ())
    return {field: names for field, _, names in split} or None


def mapping(option: str, pairs: Sequence[str] | None) -> dict[str, str]:
    """Read what was given as OLD=NEW."""
    for pair in pairs or ():
        if "=" not in pair[1:]:
            message = f"{option} {pair!r} is not OLD=NEW"
            raise SettingsError(message)
    return {p[0] + p[1:].split("=", 1)[0]: p[1:].split("=", 1)[1] for p in pairs or ()}
