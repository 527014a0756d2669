"""``tiffin show``: the metadata in files, of any profile."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from tiffin.cli.command import command
from tiffin.cli.printing import escape, print_error, print_json
from tiffin.errors import ReadError
from tiffin.file_metadata import read_metadata


@command()
def show(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE…", help="TIFF or PNG files.")
    ],
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON for each file.")
    ] = False,
    page: Annotated[
        int | None, typer.Option(help="Only this image of a stack, from 0.")
    ] = None,
) -> None:
    """Print the metadata in files.

    Examples
    --------
    tiffin show out/7_001.tif
    tiffin show out/*.tif --json
    """
    failed = False
    for file in files:
        try:
            found: Any = read_metadata(file, page)
        except ReadError as error:
            print_error(error)
            found, failed = None, True
        if json_lines:
            print_json(found)
        elif found is not None:
            sys.stdout.writelines(_lines(file, found, page))
    raise typer.Exit(1 if failed else 0)


def _lines(file: Path, found: Any, page: int | None) -> list[str]:
    """Return a heading for each image, and a line for each entry."""
    images = found if isinstance(found, list) else [found]
    lines = []
    for n, metadata in enumerate(images):
        number = n if isinstance(found, list) else page
        place = "" if number is None else f", page {number}"
        lines.append(f"{escape(file)}{place}\n")
        width = max(map(len, metadata), default=0)
        lines += [
            f"  {escape(key):{width}}  {escape(_shown(key, value))}\n"
            for key, value in metadata.items()
        ] or ["  no metadata\n"]
    return lines


def _shown(key: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if key == "motors" and isinstance(value, dict):
        return ", ".join(_motor(name, motor) for name, motor in value.items())
    return json.dumps(value, ensure_ascii=False)


def _motor(name: str, motor: Any) -> str:
    if not isinstance(motor, dict):
        return f"{name} = {json.dumps(motor, ensure_ascii=False)}"
    value = json.dumps(motor.get("value"), ensure_ascii=False)
    return f"{name} = {value} {motor.get('unit') or ''}".rstrip()
