"""The pattern of a template's names, for `pathlib.Path.glob`."""

from __future__ import annotations

import re
from unicodedata import normalize

from tiffin.template.grammar import Field, Part

__all__ = ["glob_of"]

MOST = 64
"""So many ways in which optional folders may stand are put side by side."""


def glob_of(parts: tuple[Part, ...]) -> str:
    """Return one pattern for all names.

    Where a folder may be there or not, ``**`` stands for what differs.

    Examples
    --------
    >>> from tiffin.template.grammar import parse
    >>> glob_of(parse("raw/<{start.project}/>{i}.tif"))
    'raw/**/*.tif'
    """
    patterns = [""]
    for part in parts:
        choices = _choices(part)
        patterns = [before + choice for before in patterns for choice in choices]
        if len(patterns) > MOST:
            patterns = [patterns[0], patterns[-1]]
    return _merged([_tidy(pattern).split("/") for pattern in patterns])


def _choices(part: Part) -> list[str]:
    if isinstance(part, str):
        return [_escaped(part)]
    if isinstance(part, Field):
        return ["*"]
    there = "".join(_choices(inner)[0] for inner in part.parts)
    return ["", there] if "/" in there else ["*"]


def _escaped(literal: str) -> str:
    return re.sub(r"[*?\[]", r"[\g<0>]", normalize("NFC", literal))


def _tidy(pattern: str) -> str:
    return re.sub(r"\*+", "*", pattern)


def _merged(patterns: list[list[str]]) -> str:
    """Return what patterns have in common at both ends, and ``**`` between."""
    if all(pattern == patterns[0] for pattern in patterns):
        return "/".join(patterns[0])
    shortest = min(map(len, patterns))
    first = last = 0
    while first < shortest - 1 and _agree(patterns, first):
        first += 1
    while last < shortest - first and _agree(patterns, -1 - last):
        last += 1
    tail = patterns[0][len(patterns[0]) - last :] or [_ending(patterns)]
    return "/".join([*patterns[0][:first], "**", *tail])


def _agree(patterns: list[list[str]], n: int) -> bool:
    return all(pattern[n] == patterns[0][n] for pattern in patterns)


def _ending(patterns: list[list[str]]) -> str:
    """Return a pattern for last components that differ: the end of all of them."""
    ends = [re.findall(r"\[.\]|.", pattern[-1], re.DOTALL) for pattern in patterns]
    common: list[str] = []
    for pieces in zip(*map(reversed, ends), strict=False):
        if any(piece != pieces[0] for piece in pieces):
            break
        common.insert(0, pieces[0])
    return _tidy("*" + "".join(common))
