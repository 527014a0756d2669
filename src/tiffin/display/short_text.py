"""Values of any length as one short line, sizes, and numbers of things."""

from __future__ import annotations

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


def count_text(number: int, noun: str) -> str:
    """Return a number of things.

    Examples
    --------
    >>> count_text(1, "run"), count_text(2, "image")
    ('1 run', '2 images')
    """
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size_text(nbytes: float) -> str:
    """Return a size in a unit that people read.

    Examples
    --------
    >>> size_text(324), size_text(1_500), size_text(999_999), size_text(2.5e9)
    ('324 B', '1.5 kB', '1 MB', '2.5 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if nbytes < 999.5:
            return f"{nbytes:.3g} {unit}"
        nbytes /= 1000
    return f"{nbytes:.3g} TB"


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return " " if character.isspace() else ascii(character)[1:-1]
