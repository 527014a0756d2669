"""``tiffin doctor``: what works here, what does not, and what to do about it."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from tiffin.cli.command import command
from tiffin.cli.printing import escape, print_json, print_line, with_options
from tiffin.doctor import CheckResult, check_folder, check_installation, check_source
from tiffin.errors import SettingsError
from tiffin.options import ConfigFile, RunOptions, find_config, read_exports

if TYPE_CHECKING:
    from collections.abc import Iterable

STYLES = {"ok": "green", "note": "yellow", "problem": "bold red"}


@command()
def doctor(
    runs: RunOptions,
    source: Annotated[
        str | None,
        typer.Argument(
            metavar="SOURCE", help="A Tiled server, or a file of documents."
        ),
    ] = None,
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="Where images are to go.")
    ] = None,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each finding.")
    ] = False,
) -> None:
    """Say what is installed, what a source has, and what a folder allows.

    Each line says what to do.

    Examples
    --------
    tiffin doctor
    tiffin doctor http://localhost:8000 /data/images
    """
    if folder is None and source is not None and Path(source).is_dir():
        folder = Path(source)
        source = None
    exports, findings = _configured()
    findings = check_installation() + findings
    sources = _those_of(exports, "source") if source is None else [source]
    for each in sources:
        findings += check_source(each, runs)
    if not sources:
        todo = "tiffin doctor http://localhost:8000 tells whether a server answers"
        findings.append(CheckResult("source", "note", "no source is given", todo))
    folders = _those_of(exports, "directory") if folder is None else [folder]
    for each in folders or ["."]:
        findings += check_folder(Path(each))
    states = [each.state for each in findings]
    if json_lines:
        for each in findings:
            print_json(asdict(each))
    else:
        for about, part in groupby(findings, lambda each: each.about):
            _print(about, part)
        counts = f"problems: {states.count('problem')}, notes: {states.count('note')}"
        print_line(counts, "red" if "problem" in states else "green")
    raise typer.Exit(1 if "problem" in states else 0)


def _configured() -> tuple[list[ConfigFile], list[CheckResult]]:
    """Return the exports of the configuration file, if there is one."""
    path = find_config()
    if path is None:
        return [], []
    try:
        exports = read_exports(path)
    except SettingsError as error:
        text = str(error)
        return [], [CheckResult("configuration", "problem", text, "mend the file")]
    names = ", ".join(filter(None, exports)) or "one, without a name"
    text = f"{path} can be read; its exports: {names}"
    return [*exports.values()], [CheckResult("configuration", "ok", text)]


def _those_of(exports: list[ConfigFile], option: str) -> list[Any]:
    """Return the values of an option, each once."""
    found = (each.values.get(option) for each in exports)
    return [*dict.fromkeys(value for value in found if value is not None)]


def _print(about: str, findings: Iterable[CheckResult]) -> None:
    """Print a part; what to do stands below what was found."""
    console = Console(soft_wrap=True)
    console.print(Text(about, "bold"))
    for finding in findings:
        state = Text(f"  {finding.state:8}", STYLES[finding.state])
        console.print(state + Text(escape(with_options(finding.text))))
        if finding.todo:
            console.print(Text(f"{'':10}→ {escape(with_options(finding.todo))}"))
