"""Reports, records and exporters as HTML, for notebooks.

The values may come from anywhere, so all of them are escaped and cut to a length.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiffin.display.short_text import shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from tiffin.records import Record, Report

    Draw = Callable[[Record], bytes | None]

ROWS = 10
"""The most rows of a table: failed frames first."""

THUMBNAILS = 6

_draw: Draw | None = None


def draw_thumbnails_with(draw: Draw) -> None:
    """Set the function that draws the file of a record as a small PNG."""
    global _draw
    _draw = draw


def report_html(report: Report) -> str:
    """Return a summary, some images, and a table of some frames."""
    shown = [*report.failed[:ROWS]]
    shown += [record for record in report if record.status != "failed"][
        : ROWS - len(shown)
    ]
    more = len(report) - len(shown)
    tail = f"<p>… and {more} more, in <code>.records</code></p>" if more > 0 else ""
    return (
        f"<div><p>{_summary(report)}</p>{_images(report)}"
        f"{_table(HEADS, map(_cells, shown)) if shown else ''}{tail}</div>"
    )


def record_html(record: Record) -> str:
    """Return the row of a record, and its image."""
    return f"<div>{_thumbnail(record)}{_table(HEADS, [_cells(record)])}</div>"


def exporter_html(what: str, reports: Mapping[str, Report]) -> str:
    """Return the settings of an exporter, its newest runs, and the last report.

    `what` is the exporter on one line; `reports` are by run, the newest last.
    """
    newest = list(reports)[-ROWS:]
    rows = [(run[:8], reports[run]) for run in reversed(newest)]
    last = report_html(rows[0][1]) if rows else "<p>no run so far</p>"
    table = _table(("run", "images"), rows[1:]) if rows[1:] else ""
    return f"<div><p>{_text(what)}</p>{last}{table}</div>"


HEADS = ("file", "status", "stream", "field", "seq_num", "i", "shape", "dtype", "error")


def _cells(record: Record) -> tuple[object, ...]:
    return (
        "" if record.path is None else record.path.name,
        record.status,
        *record.id[1:],
        " x ".join(map(str, record.shape or ())),
        record.dtype,
        record.error,
    )


def _summary(report: Report) -> str:
    folders = {record.path.parent for record in report.written if record.path}
    where = f" in <code>{_text(folders.pop())}</code>" if len(folders) == 1 else ""
    colour = "" if report.ok else ' style="color: #e03131"'
    return f"<b{colour}>{_text(report)}</b>{where}"


def _images(report: Report) -> str:
    written = report.written
    step = -(-len(written) // THUMBNAILS) or 1
    images = "".join(map(_thumbnail, written[::step]))
    return (
        f'<div style="display: flex; gap: 8px; margin-bottom: 8px">{images}</div>'
        if images
        else ""
    )


def _thumbnail(record: Record) -> str:
    from base64 import b64encode

    png = None if _draw is None or record.status != "written" else _draw(record)
    if png is None or record.path is None:
        return ""
    name = _text(record.path.name)
    data = b64encode(png).decode()
    return (
        f'<figure style="margin: 0; width: 96px">'
        f'<img src="data:image/png;base64,{data}" alt="{name}">'
        f'<figcaption style="overflow-wrap: anywhere">{name}</figcaption></figure>'
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{_text(name)}</th>" for name in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _text(value: object) -> str:
    from html import escape

    return "" if value is None else escape(shortened(str(value)))
