"""What a command prints of an export that is over: counts, places, what to type."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tiffin.cli.printing import describe, escape, print_json, print_line, print_summary
from tiffin.cli.program import program
from tiffin.display import count_text, size_text
from tiffin.obstacles import obstacle

if TYPE_CHECKING:
    from tiffin.records import Report


def print_report(report: Report, seconds: float, *, json_lines: bool) -> None:
    """Print the names of a dry run, the counts, and what to type next."""
    for record in report.records if json_lines else ():
        print_json(describe(record))
    for record in report.planned if not json_lines else ():
        sys.stdout.write(f"{escape(record.path)}\n")
    paths = list(dict.fromkeys(each.path for each in report.written if each.path))
    text = str(report)
    if paths:
        nbytes = sum(record.nbytes for record in report.written)
        text += f" in {_places(paths)}; {size_text(nbytes)} in {seconds:.1f} s"
    if report.waits:
        text += f"; waited {count_text(report.waits, 'time')} for room in memory"
    print_summary(text, ok=report.ok)
    if report.planned and report.planned[0].path:
        problem = obstacle(report.planned[0].path.parent, write=True)
        if problem:
            print_line(f"warning: they can't be written: {escape(problem)}", "yellow")
    if paths:
        _print_next(_root(paths[0]), ok=report.ok)


def _print_next(root: Path, *, ok: bool) -> None:
    """Print commands to copy, each at the end of a line."""
    folder, tiffin = _as_argument(root), program()
    if not ok:
        print_line("retry the rest:   the same command with --existing resume", "dim")
    print_line(f"see the images:   {tiffin} report {folder}", "dim")
    print_line(f"check the files:  {tiffin} verify {folder}", "dim")


def _as_argument(folder: Path) -> str:
    """Return a folder as an argument of a command that is typed here."""
    here = Path.cwd()
    path = str(folder.relative_to(here) if folder.is_relative_to(here) else folder)
    return escape(shlex.quote(f"./{path}" if path.startswith("-") else path))


def _places(paths: list[Path]) -> str:
    """Return the folder of files, with the first and the last name."""
    folders = {path.parent for path in paths}
    if len(folders) > 1:
        return f"{escape(_root(paths[0]))} ({len(folders)} folders)"
    names = dict.fromkeys([escape(paths[0].name), escape(paths[-1].name)])
    return f"{escape(paths[0].parent)} ({' … '.join(names)})"


def _root(path: Path) -> Path:
    """Return the folder of an export: the one with the manifests."""
    return next((p for p in path.parents if (p / ".tiffin").is_dir()), path.parent)
