"""``tiffin verify``: whether files are what was exported."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiffin.cli.command import Folder, JsonOption, command
from tiffin.cli.printing import (
    describe,
    escape,
    print_json,
    print_summary,
    with_options,
)
from tiffin.options import RunOptions
from tiffin.recorded_settings import recorded_runs
from tiffin.sources import is_address
from tiffin.verify import WRONG, compare
from tiffin.verify import verify as verify_folder

if TYPE_CHECKING:
    from pathlib import Path

    from tiffin.records import Report
    from tiffin.verify import Verification


@command("follow_links")
def verify(
    folder: Folder,
    runs: RunOptions,
    against: Annotated[
        str | None,
        typer.Option(metavar="SOURCE", help="Compare with the runs themselves."),
    ] = None,
    json_lines: JsonOption = False,
    **settings: Any,
) -> None:
    """Check that exported files are there and intact.

    Examples
    --------
    tiffin verify out
    tiffin verify out --against run.jsonl
    """
    verification = verify_folder(folder, **settings)
    (_print_lines if json_lines else _print)(verification)
    ok = verification.ok
    if against is not None:
        comparison = compare(folder, _open(against, runs, folder), **settings)
        _print_comparison(comparison, json_lines=json_lines)
        ok = ok and comparison.ok
    raise typer.Exit(0 if ok else 1)


def _open(source: str, runs: RunOptions, folder: Path) -> Any:
    """Return the chosen runs; of a server, by default those that the folder lists."""
    if is_address(source) and not runs.selection(source):
        runs = runs.model_copy(update={"run": recorded_runs(folder)})
    return runs.open(source)


def _print_lines(verification: Verification) -> None:
    for finding in verification.findings:
        found = {"state": finding.state, "reason": finding.reason}
        print_json({"path": str(finding.path), **found})
    for text in verification.failed:
        print_json({"path": None, "state": "failed", "reason": text})
    print_summary(str(verification), ok=verification.ok)


def _print(verification: Verification) -> None:
    for finding in verification.of(*WRONG, "foreign", "leftover"):
        reason = f"  ({with_options(finding.reason)})" if finding.reason else ""
        sys.stdout.write(f"{finding.state:10}  {escape(f'{finding.path}{reason}')}\n")
    for text in verification.failed:
        sys.stdout.write(f"{'failed':10}  {escape(text)}\n")
    print_summary(str(verification), ok=verification.ok)


def _print_comparison(report: Report, *, json_lines: bool) -> None:
    for record in report.failed:
        if json_lines:
            print_json(describe(record))
            continue
        reason = escape(with_options(str(record.error)))
        sys.stdout.write(f"{'differs':10}  {reason}\n")
    counts = f"{len(report.skipped)} the same, {len(report.failed)} not"
    print_summary(f"against the source: {counts}", ok=report.ok)
