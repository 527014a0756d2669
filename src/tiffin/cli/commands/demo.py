"""``tiffin demo``: an experiment to try things on, without a beamline or a server."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from tiffin.cli.command import command
from tiffin.cli.new_config import Answers, config_text
from tiffin.cli.printing import escape, print_json
from tiffin.cli.program import program
from tiffin.display import size_text
from tiffin.errors import ExistsError
from tiffin.options import FILE_NAME, read_config
from tiffin.replay import export
from tiffin.report import make_page
from tiffin.testing import heating_scan
from tiffin.verify import verify

if TYPE_CHECKING:
    from tiffin.records import Report

DOCUMENTS = "documents.jsonl"
ANSWERS = Answers(
    source=DOCUMENTS,
    templates={
        "pe1_image": "{start.sample_name}/{start.scan_id:04d}_{event.seq_num:03d}_"
        "{event.data.temperature:.0f}K.tif"
    },
    dark="stream:dark",
)

DARKS = "{start.sample_name}/{start.scan_id:04d}_dark_{event.seq_num:03d}.tif"
"""Names of the dark frames, which the page shows beside the images."""

NEXT = """
Type next:

  cd {folder}
  {tiffin} runs {documents}
  {tiffin} export --directory again --dtype int32
  {tiffin} verify {images}
  {tiffin} show {first}
  {tiffin} report again

{config} has the options of the export. For your beamline, one is written by

  {tiffin} init
"""


@command()
def demo(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="A new or empty folder.", show_default=True
        ),
    ] = Path("tiffin-demo"),
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON with what was made.")
    ] = False,
) -> None:
    """Make a simulated experiment, export it, and say what to type next.

    It is a heating scan with dark frames.

    Examples
    --------
    tiffin demo
    tiffin demo /tmp/demo
    """
    _make(folder)
    config = folder / FILE_NAME
    settings = read_config(config).keywords()
    images = folder / settings.pop("directory")
    source = folder / DOCUMENTS
    report = export(source, on_error="report", directory=images, **settings)
    darks = export(source, DARKS, on_error="report", directory=images, streams="dark")
    checked = verify(images)
    ok = report.ok and darks.ok and checked.ok
    page = make_page(images).path
    if json_lines:
        made = {"folder": folder, "documents": source, "config": config, "page": page}
        paths = {name: str(path.absolute()) for name, path in made.items()}
        files = [str(record.path) for record in report.written + darks.written]
        print_json(paths | {"ok": ok, "files": files})
    else:
        _print(folder, report, darks, str(checked), page)
    raise typer.Exit(0 if ok else 1)


def _make(folder: Path) -> None:
    """Write the documents of the experiment, and the options of its export."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        message = (
            f"{str(folder)!r} is not empty: name a new folder, as in tiffin demo "
            f"{shlex.quote(f'{folder}-2')}"
        )
        raise ExistsError(message)
    with (folder / DOCUMENTS).open("w", encoding="utf-8") as file:
        for name, doc in heating_scan():
            line: dict[str, Any] = {"name": name, "doc": doc}
            file.write(json.dumps(line, default=np.ndarray.tolist) + "\n")
    (folder / FILE_NAME).write_text(config_text(ANSWERS), encoding="utf-8")


def _print(
    folder: Path, report: Report, darks: Report, checked: str, page: Path
) -> None:
    """Print what was made, and what to type next."""
    images = folder / ANSWERS.directory
    size = (folder / DOCUMENTS).stat().st_size
    sys.stdout.write(
        "A simulated experiment: a heating scan of 6 points, with 2 dark frames\n\n"
        f"  documents  {escape(folder / DOCUMENTS)} ({size_text(size)})\n"
        f"  options    {escape(folder / FILE_NAME)}\n"
        f"  images     {report} in {escape(images)}\n"
        f"  darks      {darks}\n"
        f"  verified   {checked}\n"
        f"  page       {escape(images / page.name)}\n\n"
        f"Look at the images: open this page in a browser\n\n"
        f"  {page.as_uri()}\n"
    )
    if report.written and report.written[0].path:
        first = report.written[0].path.relative_to(folder.absolute())
        sys.stdout.write(
            NEXT.format(
                folder=escape(shlex.quote(str(folder))),
                tiffin=escape(program()),
                documents=DOCUMENTS,
                images=ANSWERS.directory,
                first=escape(shlex.quote(str(first))),
                config=FILE_NAME,
            )
        )
