"""``tiffin runs``: the runs of a source, their images, and what names may use."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiffin.cli.command import Source, command
from tiffin.cli.printing import print_json, print_line
from tiffin.cli.table import print_table
from tiffin.display import shortened
from tiffin.errors import SourceError
from tiffin.options import RunOptions
from tiffin.sources import summaries
from tiffin.start_document import start_time
from tiffin.template import fields_with_values, sample_of

if TYPE_CHECKING:
    from tiffin.sources import ImageField, RunSummary

LONGEST = 80
"""How much of a value is printed [characters]."""

NEWEST = 10
"""How many runs are listed unless a limit is given."""

RUN_HEADS = ("scan_id", "uid", "time", "plan", "sample")
IMAGE_HEADS = ("stream", "field", "shape", "dtype", "frames")

LESS_USEFUL = ("dtype", "uid", "shape", "plan", "sample")
"""What a narrow terminal does without, in this order: names need fields and streams."""


@command()
def runs(
    source: Source,
    chosen: RunOptions,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each run.")
    ] = False,
) -> None:
    """List runs, their images, and what names may use.

    With --run it also prints each field that a name may use, and its text.

    Examples
    --------
    tiffin runs http://localhost:8000
    tiffin runs run.jsonl --run -1
    """
    limit = NEWEST if chosen.limit is None and not chosen.run else chosen.limit
    opened = chosen.model_copy(update={"limit": limit}).open(source)
    found = summaries(opened, timeout=chosen.timeout)
    found.sort(key=lambda run: -_time(run))
    for run in found if json_lines else ():
        print_json(_described(run, keys=bool(chosen.run)))
    if json_lines:
        return
    rows = [row for run in found for row in _rows(run)]
    print_table((*RUN_HEADS, *IMAGE_HEADS), rows, less_useful=LESS_USEFUL)
    for run in found if chosen.run else ():
        sys.stdout.write("\n")
        keys = fields_with_values(run.names)
        texts = [(name, shortened(value, LONGEST)) for name, value in keys]
        print_table((f"in a name, run {_uid(run)}", "gives"), texts)
    for run in found:
        for problem in run.problems:
            print_line(f"run {_uid(run)}: {problem}", "yellow")
    if len(found) == limit == NEWEST:
        print_line(f"the newest {limit} runs; --limit 100 shows more", "dim")


def _rows(run: RunSummary) -> list[list[str]]:
    """Return a row for each field with images; only the first names the run."""
    about = [_text(run.start.get("scan_id")), _uid(run), _clock(run)]
    about += [_text(run.start.get("plan_name")), _text(sample_of(run.start))]
    images = [
        ["?" if cell is None else str(cell) for cell in _cells(each)]
        for each in run.images.values()
    ]
    if not images:
        streams = "; ".join(f"{s}: {', '.join(f)}" for s, f in run.fields.items())
        images = [["", f"no image ({streams})" if streams else "no image"]]
    return [(about if not n else [""] * 5) + row for n, row in enumerate(images)]


def _cells(images: ImageField) -> tuple[Any, ...]:
    return images.stream, images.name, images.shape, images.dtype, images.frames


def _described(run: RunSummary, *, keys: bool) -> dict[str, Any]:
    scan_id = run.start.get("scan_id")
    described = {
        "scan_id": scan_id if isinstance(scan_id, int) else _text(scan_id),
        "uid": _text(run.start.get("uid")),
        "time": datetime.fromtimestamp(_time(run)).astimezone().isoformat(),
        "plan": _text(run.start.get("plan_name")),
        "sample": _text(sample_of(run.start)),
        "images": [
            dict(zip(IMAGE_HEADS, _cells(each), strict=True))
            for each in run.images.values()
        ],
        "fields": run.fields,
        "problems": run.problems,
    }
    return described | ({"names": dict(fields_with_values(run.names))} if keys else {})


def _time(run: RunSummary) -> float:
    try:
        return start_time(run.start)
    except SourceError:
        return 0.0


def _clock(run: RunSummary) -> str:
    return f"{datetime.fromtimestamp(_time(run)).astimezone():%Y-%m-%d %H:%M:%S}"


def _uid(run: RunSummary) -> str:
    return _text(run.start.get("uid"))[:8]


def _text(value: Any) -> str:
    return "" if value is None else str(value)
