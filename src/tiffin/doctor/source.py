"""Check whether a source answers, and which images it has."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tiffin.doctor.check_result import CheckResult
from tiffin.errors import MissingLibraryError, TiffinError
from tiffin.sources import is_address, summaries

if TYPE_CHECKING:
    from tiffin.options import RunOptions
    from tiffin.sources import RunSummary

NEWEST = 3
"""How many runs are looked at."""

SLOW = 2.0
"""An answer that takes longer is said to be slow [s]."""


def check_source(source: str, options: RunOptions) -> list[CheckResult]:
    """Return whether a server or a file can be read, and what its newest runs have."""
    began = time.monotonic()
    limited = options.model_copy(update={"limit": options.limit or NEWEST})
    try:
        found = summaries(limited.open(source), timeout=options.timeout)
    except MissingLibraryError as error:
        todo = "install it, then try again"
        return [CheckResult("source", "problem", str(error), todo)]
    except TiffinError as error:
        return [CheckResult("source", "problem", str(error), _advice(source))]
    seconds = time.monotonic() - began
    what = "the Tiled server answers" if is_address(source) else "it can be read"
    said = f"{what}: {len(found)} of its newest runs in {seconds:.1f} s"
    answer = CheckResult("source", "ok", said)
    if seconds > SLOW * max(len(found), 1):
        todo = "exports from here will be slow: run tiffin nearer to the source"
        answer = CheckResult("source", "note", said, todo)
    return [answer, *map(_of_run, found)]


def _of_run(run: RunSummary) -> CheckResult:
    start = run.start
    name = f"run {start.get('scan_id', '?')} ({str(start.get('uid'))[:8]})"
    fields = ", ".join(
        f"{each.name} in {each.stream} ({each.frames} of {each.shape or '?'} "
        f"{each.dtype or '?'})"
        for each in run.images.values()
    )
    if run.problems:
        text = f"{name}: {fields or 'no images'}: {'; '.join(run.problems)}"
        todo = "see which files or handlers are missing here (--root-map, extras)"
        return CheckResult("source", "problem", text, todo)
    if not fields:
        text = f"{name} has no images: {', '.join(run.fields) or 'no streams'}"
        return CheckResult("source", "note", text, "choose another run, with --run")
    return CheckResult("source", "ok", f"{name} has {fields}")


def _advice(source: str) -> str:
    if is_address(source):
        return "see whether the server runs, and whether the address and key are right"
    return "name a file of documents, or the address of a Tiled server"
