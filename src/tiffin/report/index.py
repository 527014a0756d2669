"""Write a page that links the pages of many runs: ``report_index.html``.

It is plain HTML without a script. Runs that failed come first.
"""

from __future__ import annotations

import html
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tiffin.display import count_text
from tiffin.folders import Folders
from tiffin.report.page import GENERATOR, INVISIBLE, hash_of, publish_page
from tiffin.report.writing import page_of_run

if TYPE_CHECKING:
    from collections.abc import Iterable

NAME = "report_index.html"

STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 70rem; padding: 1rem 1.5rem;
  font: 15px/1.45 system-ui, sans-serif; background: Canvas; color: CanvasText; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid GrayText; padding: 0.3rem 0.6rem; text-align: left;
  overflow-wrap: anywhere; }
.failed { font-weight: bold; }
"""


class IndexedRun(NamedTuple):
    """A run of the page, and why it failed."""

    uid: str
    scan_id: int | None
    state: str
    images: int
    why: str = ""


def write_index(
    folder: str | os.PathLike[str],
    runs: Iterable[IndexedRun],
    *,
    follow_links: bool = False,
    mode: int | None = None,
) -> Path:
    """Write the page of many runs; a run is linked if it has a page of its own.

    Parameters
    ----------
    folder : path
        The root folder of the exports.
    runs : iterable of IndexedRun
    follow_links, mode
        As for `write_page`.

    Returns
    -------
    pathlib.Path

    Raises
    ------
    ExistsError
        If there is a file with that name that is no such page.
    WriteError
        If the page can't be written.
    """
    root = Path(folder).absolute()
    folders = Folders(os.fspath(root), follow_links)
    listed = sorted(runs, key=lambda run: (run.state != "failed", run.scan_id or 0))
    return publish_page(folders, NAME, _page(root, listed), mode)


def _page(root: Path, runs: list[IndexedRun]) -> bytes:
    title = f"Runs of {root.name or root}"
    failed = sum(run.state == "failed" for run in runs)
    images = count_text(sum(run.images for run in runs), "image")
    counts = f"{count_text(len(runs), 'run')}, {failed} failed, {images}"
    policy = f"default-src 'none'; style-src {hash_of(STYLE)}; base-uri 'none'"
    rows = "\n".join(_row(root, run) for run in runs)
    text = f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
{GENERATOR}
<meta name="viewport" content="width=device-width">
<title>{_text(title)}</title>
<style>{STYLE}</style>
<h1>{_text(title)}</h1>
<p>{counts}</p>
<table>
<thead><tr><th>scan<th>run<th>state<th>images<th>why</tr></thead>
<tbody>
{rows}
</tbody>
</table>
</html>
"""
    return text.encode("utf-8", "backslashreplace")


def _row(root: Path, run: IndexedRun) -> str:
    scan = "" if run.scan_id is None else str(run.scan_id)
    page, uid = page_of_run(root, run.uid, run.scan_id), _text(run.uid)
    if page is not None:
        uid = f'<a href="{_text(page)}">{uid}</a>'
    cells = [_text(scan), uid, _text(run.state), str(run.images), _text(run.why)]
    return f'<tr class="{_text(run.state)}"><td>{"<td>".join(cells)}</tr>'


def _text(text: str) -> str:
    shown = INVISIBLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return html.escape(shown)
