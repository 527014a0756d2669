"""``tiffin report``: a page to look at the images of a folder."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from tiffin.cli.command import Folder, command
from tiffin.cli.printing import escape, print_json, print_summary
from tiffin.display import count_text
from tiffin.report import make_page


@command("follow_links")
def report(
    folder: Folder,
    full: Annotated[
        bool,
        typer.Option("--full", help="Keep all pixels: a folder instead of a file."),
    ] = False,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print the result as a line of JSON.")
    ] = False,
    **settings: Any,
) -> None:
    """Write a page to look at the images of a folder.

    Open it in a browser; it needs no network.

    Examples
    --------
    tiffin report out
    tiffin report out --full
    """
    page = make_page(folder, full=full, **settings)
    if json_lines:
        print_json(page._asdict() | {"path": str(page.path)})
        return
    sys.stdout.write(f"{escape(page.path)}\n")
    found = count_text(page.images, "image")
    if page.problems:
        found += f", {count_text(page.problems, 'problem')}"
    print_summary(f"{found}: open the page in a browser", ok=not page.problems)
