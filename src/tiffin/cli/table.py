"""Tables on stdout, which fit a terminal."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

from tiffin.cli.printing import escape, print_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["print_table"]

GAP = "  "


def print_table(
    heads: Sequence[str],
    rows: Iterable[Sequence[object]],
    less_useful: Sequence[str] = (),
) -> None:
    """Print columns on stdout, each as wide as it needs; the last of a row wraps.

    A terminal that is too narrow gets fewer of the columns that are `less_useful`, the
    first of them first. Then only a short row, which ends with a text, may wrap.
    """
    table = [[escape(cell) for cell in row] for row in (heads, *rows)]
    left_out = []
    room = 0
    if less_useful and sys.stdout.isatty():
        room = shutil.get_terminal_size().columns
        for head in less_useful:
            if sum(_widths(table)) + len(GAP) * (len(table[0]) - 1) <= room:
                break
            n = table[0].index(head)
            table = [row[:n] + row[n + 1 :] for row in table]
            left_out.append(head)
    widths = _widths(table)
    for row in table:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=False))
        line = GAP.join(cells).rstrip()
        is_cut = 0 < room < len(line) and len(row) == len(widths)
        sys.stdout.write(f"{line[: room - 1]}…\n" if is_cut else f"{line}\n")
    if left_out:
        names = ", ".join(left_out)
        print_line(f"a wider terminal, or --json, also shows: {names}", "dim")


def _widths(table: Sequence[Sequence[str]]) -> list[int]:
    """Return the width of each column. The last cell of a short row needs no room."""
    count = len(table[0])
    widths = [0] * count
    for row in table:
        for n, cell in enumerate(row if len(row) == count else row[:-1]):
            widths[n] = max(widths[n], len(cell))
    return widths
