"""``tiffin init``: a configuration file for a beamline, after a few questions."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiffin.cli.command import JsonOption, command
from tiffin.cli.new_config import TEMPLATE, Answers, config_text, export_names
from tiffin.cli.printing import escape, print_error, print_json, print_line
from tiffin.cli.program import program
from tiffin.errors import (
    ExistsError,
    SettingsError,
    TemplateError,
    TiffinError,
    did_you_mean,
)
from tiffin.options import (
    FILE_NAME,
    CorrectionOptions,
    RunOptions,
    refuse_secrets,
)
from tiffin.settings import Settings, check_model
from tiffin.sources import is_address, summaries

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.sources import RunSummary

ALL, NONE = "all", "none"
"""Answers in place of names of fields, and of a dark."""


@command()
def init(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Where to write tiffin.toml.", show_default=True
        ),
    ] = Path(),
    source: Annotated[
        str, typer.Option(help="A Tiled server's address, or a file of documents.")
    ] = "",
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Ask nothing: take what is proposed.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace a tiffin.toml that exists.")
    ] = False,
    json_lines: JsonOption = False,
) -> None:
    """Write a configuration file for a beamline, after a few questions.

    Examples
    --------
    tiffin init
    tiffin init --source http://localhost:8000 --yes
    """
    path = folder / FILE_NAME
    is_free = overwrite or not path.exists()
    asked = f"There is already a file at {path}. Replace it?"
    if not is_free and (yes or not typer.confirm(asked, err=True)):
        message = f"there is already a file at {path}: --overwrite replaces it"
        raise ExistsError(message)
    ask: Callable[..., str] = _take_default if yes else _ask
    asked = "Source: a Tiled server's address, or a file of documents; may be blank"
    source = ask(asked, source, refuse_secrets)
    refuse_secrets(source)
    run = _newest_run(source) if source else None
    if source and not is_address(source):
        source = os.path.relpath(source, folder)
    answers = _propose(source, run)
    answers = answers if yes else _questions(answers, run, ask)
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(config_text(answers), encoding="utf-8")
    first = next(iter(export_names(answers.templates).values()), "")
    chosen = f" --as {first}" if len(answers.templates) > 1 else ""
    given = "" if answers.source else " SOURCE"
    if path.resolve() != Path(FILE_NAME).resolve():
        given += f" --config {shlex.quote(str(path))}"
    following = f"{program()} export{given}{chosen} --dry-run"
    if json_lines:
        print_json({"path": str(path), "next": following})
        return
    sys.stdout.write(f"{escape(path)} is written. Look at it, then type:\n\n")
    sys.stdout.write(f"  {escape(following)}\n")


def _newest_run(source: str) -> RunSummary | None:
    """Return what the newest run has; say it if the source does not answer."""
    try:
        options = RunOptions(limit=1)
        (run,) = summaries(options.open(source), timeout=options.timeout)
    except TiffinError as error:
        print_error(error)
        print_line("the file is written without the fields of the source", "yellow")
        return None
    fields = ", ".join(
        f"{each.name} in {each.stream} ({each.shape or '?'}, {each.dtype or '?'})"
        for each in run.images.values()
    )
    scan = run.start.get("scan_id", "?")
    print_line(f"run {escape(scan)} has {escape(fields or 'no images')}", "green")
    return run


def _propose(source: str, run: RunSummary | None) -> Answers:
    """Return answers that fit a run: its fields, and darks in a stream of their own."""
    answers = Answers(source=source)
    if run is None:
        return answers
    darks = [stream for stream, _ in run.images if "dark" in stream.lower()]
    lights = {key: run.images[key] for key in run.images if key[0] not in darks}
    streams = tuple(dict.fromkeys(stream for stream, _ in lights))
    fields = dict.fromkeys(name for _, name in lights)
    return replace(
        answers,
        templates={name: _template(name, run, streams) for name in fields},
        streams=streams or answers.streams,
        dark=f"stream:{darks[0]}" if darks else "",
    )


def _template(field: str, run: RunSummary, streams: tuple[str, ...]) -> str:
    """Return names that differ for all images of a run."""
    parts = ["{start.scan_id}"]
    parts += ["{stream}"] if len(streams) > 1 else []
    parts += ["{event.seq_num:03d}"]
    of_field = [each for each in run.images.values() if each.name == field]
    parts += ["{i:03d}"] if any(each.per_event > 1 for each in of_field) else []
    return "{start.scan_id}/" + "_".join(parts) + ".tif"


def _questions(
    proposed: Answers, run: RunSummary | None, ask: Callable[..., str]
) -> Answers:
    """Ask for what can't be found out; what is proposed is a default."""
    directory = ask("Folder for images", proposed.directory)
    known = ", ".join(proposed.templates) or ALL
    images = run.images if run else ()
    check = _notice_unknown([ALL, *(name for _, name in images)])
    fields = _words(ask("Fields, with commas, or all", known, check))
    templates = {}
    for name in () if fields == [ALL] else fields:
        default = proposed.templates.get(name, TEMPLATE)
        asked = f"Template for the names of {name}"
        templates[name] = ask(asked, default, partial(_check_template, run))
    check = _notice_unknown([stream for stream, _ in images])
    streams = _words(ask("Streams, with commas", ", ".join(proposed.streams), check))
    asked = "Dark to subtract: stream:NAME, start.KEY, file:PATH, or none"
    dark = ask(asked, proposed.dark or NONE, _check_dark)
    profile = ask("Program that reads the files", proposed.profile, _check("profile"))
    asked = "If a file exists: error, skip, replace, unique or resume"
    existing = ask(asked, proposed.existing, _check("existing"))
    return Answers(
        source=proposed.source,
        directory=directory,
        templates=templates,
        streams=tuple(streams) or proposed.streams,
        dark="" if dark == NONE else dark,
        profile=profile,
        existing=existing,
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _take_default(_question: str, default: str, _check: Any = None) -> str:
    return default


def _ask(
    question: str, default: str, check: Callable[[str], object] | None = None
) -> str:
    """Ask until the answer can be used."""
    while True:
        answer: str = typer.prompt(
            question, default=default, show_default=bool(default), err=True
        ).strip()
        try:
            if check is not None:
                check(answer)
        except (SettingsError, TemplateError) as error:
            print_error(error)
        else:
            return answer


def _check_template(run: RunSummary | None, text: str) -> None:
    """Refuse names that the run at hand does not allow."""
    template = Settings.of(text, directory=".").template
    if run is not None:
        template.check_start(run.start)


def _notice_unknown(known: list[str]) -> Callable[[str], None]:
    """Return a function that tells of names that the run at hand does not have."""

    def check(text: str) -> None:
        for word in _words(text):
            if known not in ([], [ALL]) and word not in known:
                hint = did_you_mean(word, known)
                print_line(f"images of the newest run have no {word!r}{hint}", "yellow")

    return check


def _check(setting: str) -> Callable[[str], object]:
    return lambda text: Settings.of("{frame}.tif", **{setting: text})


def _check_dark(text: str) -> None:
    if text != NONE:
        options = check_model(CorrectionOptions, {"dark": text})
        for table in options.tables():
            table.make(str)
