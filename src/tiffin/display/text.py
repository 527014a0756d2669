"""Values of any length as one short line."""

from __future__ import annotations

__all__ = ["shortened"]

LENGTH = 300
"""The most characters of a value."""


def shortened(text: str) -> str:
    r"""Return a text on one line that can be printed, cut to a length.

    Examples
    --------
    >>> shortened("a\x1b[2Jb\nc")
    'a\\x1b[2Jb c'
    """
    line = " ".join(text[: 2 * LENGTH].split())
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    return line if len(line) <= LENGTH else f"{line[:LENGTH]}…"
