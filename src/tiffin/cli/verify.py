"""``tiffin verify`` and ``tiffin checksums``: whether files are what was exported."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from tiffin.cli.options import ApiKey, FollowLinks, Runs, chosen_runs
from tiffin.cli.wording import in_shell, shown
from tiffin.sources import Selection
from tiffin.verify import WRONG
from tiffin.verify import checksums as checksums_of
from tiffin.verify import compare as compare_with
from tiffin.verify import verify as verify_folder

if TYPE_CHECKING:
    from tiffin.records import Report
    from tiffin.verify import Verification

__all__ = ["checksums", "verify"]

Folder = Annotated[Path, typer.Argument(help="Where an export wrote to.")]


def verify(
    folder: Folder,
    against: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Compare with the runs themselves."),
    ] = None,
    run: Runs = None,
    follow_links: FollowLinks = False,
    api_key: ApiKey = None,
) -> None:
    """Check that exported files are there and whole."""
    found = verify_folder(folder, follow_links=follow_links)
    _tell(found)
    ok = found.ok
    if against is not None:
        source = chosen_runs(against, Selection.of(runs=run or ()), api_key)
        compared = compare_with(folder, source, follow_links=follow_links)
        ok = _tell_comparison(compared) and ok
    raise typer.Exit(0 if ok else 1)


def checksums(folder: Folder, follow_links: FollowLinks = False) -> None:
    """Print the SHA-256 of files, for sha256sum -c."""
    for digest, name in checksums_of(folder, follow_links=follow_links):
        sys.stdout.write(_sum_line(digest, name))


def _sum_line(digest: str, name: str) -> str:
    """Return a line as GNU sha256sum writes it, which marks an escaped name."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"


def _tell(found: Verification) -> None:
    for finding in found.of(*WRONG, "foreign", "leftover"):
        reason = f"  ({finding.reason})" if finding.reason else ""
        told = shown(f"{finding.path}{reason}")
        sys.stdout.write(f"{finding.state:10}  {told}\n")
    for text in found.failed:
        sys.stdout.write(f"{'failed':10}  {shown(text)}\n")
    _sum_up(str(found), ok=found.ok)


def _tell_comparison(report: Report) -> bool:
    for record in report.failed:
        sys.stdout.write(f"{'differs':10}  {shown(in_shell(str(record.error)))}\n")
    same = len(report.skipped)
    text = f"against the source: {same} the same, {len(report.failed)} not"
    _sum_up(text, ok=report.ok)
    return report.ok


def _sum_up(text: str, *, ok: bool) -> None:
    Console(stderr=True).print(
        text,
        style="green" if ok else "red",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
