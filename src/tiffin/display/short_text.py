"""Values of any length as one short line."""

from __future__ import annotations

__all__ = ["shortened"]

LENGTH = 300
"""The most characters of a value."""


def shortened(text: str, most: int = LENGTH) -> str:
    r"""Return a text on one line that can be printed, cut to a length.

    Examples
    --------
    >>> shortened("a\x1b[2Jb\nc")
    'a\\x1b[2Jb c'
    """
    line = "".join(map(_printable, text[: most + 1]))
    return line if len(line) <= most else f"{line[:most]}…"


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else ascii(character)[1:-1]
