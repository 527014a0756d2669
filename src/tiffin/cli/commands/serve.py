"""``tiffin serve``: export every run by itself."""

from __future__ import annotations

import logging
import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from tiffin.cli.command import command
from tiffin.cli.printing import escape, print_json, print_line
from tiffin.display import count_text, log_as_json
from tiffin.errors import SettingsError
from tiffin.options import FILE_NAME
from tiffin.service import Journal, Service, WebPage, http_address, read_service

logger = logging.getLogger("tiffin")


@command()
def serve(
    config: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="The configuration file, with a table [service]."
        ),
    ] = Path(FILE_NAME),
    retry: Annotated[
        bool, typer.Option("--retry", help="Try all runs again now that have failed.")
    ] = False,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print the state of each run, and end.")
    ] = False,
    log_json: Annotated[
        bool, typer.Option("--log-json", help="Write the log as lines of JSON.")
    ] = False,
) -> None:
    """Export every run by itself, as a configuration file says.

    Examples
    --------
    tiffin serve tiffin.toml
    """
    found, exports = read_service(config)
    if retry or json_lines:
        _print_journal(found.journal, retry=retry, json_lines=json_lines)
        return
    if log_json:
        log_as_json()
    service = Service(found, exports)
    web = _web(service)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    service.start()
    names = ", ".join(filter(None, exports)) or "one export"
    _say(f"tiffin serves {found.source}: {names}", log_json=log_json)
    if web is not None:
        _say(f"see {web.address}", log_json=log_json)
    ended.wait()
    finished = service.stop()
    if not finished:  # without waiting for its threads: as SIGKILL, it loses nothing
        logging.shutdown()
        os._exit(1)
    if web is not None:
        web.close()
    service.close()


def _web(service: Service) -> WebPage | None:
    """Start the page. Runs are exported without one, if its address is in use."""
    where = http_address(service.config.http)
    if where is None:
        return None
    try:
        web = WebPage(service, *where)
    except SettingsError as error:
        logger.error("there is no page: %s", error)  # noqa: TRY400 (it is no bug)
        return None
    web.start()
    return web


def _say(line: str, *, log_json: bool) -> None:
    """Print a line, or log it."""
    if log_json:
        logger.info("%s", line)
    else:
        print_line(escape(line), "dim")


def _print_journal(path: Path, *, retry: bool, json_lines: bool) -> None:
    """Print what is in the journal, or change it; a running service sees it."""
    journal = Journal(path)
    try:
        if retry:
            runs = count_text(journal.retry(), "run")
            print_line(f"trying {runs} again", "dim")
        for run in journal.newest(1_000_000) if json_lines else ():
            print_json(run._asdict())
    finally:
        journal.close()
