"""The names of numbered files, from templates: ``{:06d}`` and ``%06d``."""

from __future__ import annotations

import re
from string import Formatter

from tiffin.errors import ReadError

__all__ = ["numbered"]

_PERCENT = re.compile(r"%s|%[-+#0 ]*\d{0,3}(?:\.\d{1,3})?d")
_SPEC = re.compile(r"(?:.?[<>=^])?[-+ ]?#?0?\d{0,3}[,_]?d?")
"""Widths have three digits at most: a name is no place for a megabyte of zeros."""


def numbered(template: str, number: int, filename: str = "") -> str:
    """Put a number into a template of either kind, or of both.

    Parameters
    ----------
    template : str
        As Python formats, or as C prints. Its first ``%s`` is the filename, further
        ones (C's folder) are nothing.
    number : int
    filename : str, optional

    Raises
    ------
    ReadError
        If the template asks for what is not there.

    Examples
    --------
    >>> numbered("ad_{:06d}.tiff", 7), numbered("%s%s_%6.6d.tiff", 7, "scan")
    ('ad_000007.tiff', 'scan_000007.tiff')
    >>> numbered("{filename}_{:>04d}{{a}}.tiff", 7, "scan")
    'scan_0007{a}.tiff'
    """
    names = [filename]

    def percent(found: re.Match[str]) -> str:
        if found[0] == "%s":
            return names.pop() if names else ""
        return found[0] % number

    def field(name: str, spec: str) -> str:
        if name == "filename" and not spec:
            return filename
        if spec == "s" and not name:
            return names.pop() if names else ""
        if name not in ("", "0") or not _SPEC.fullmatch(spec):
            raise ValueError(f"{{{name}:{spec}}}")
        return format(number, spec)

    text = ""
    try:
        for literal, name, spec, conversion in Formatter().parse(template):
            text += _PERCENT.sub(percent, literal)
            if name is not None:
                text += field(name + (conversion or ""), spec or "")
    except ValueError as error:
        message = f"the template {template!r} can't number files: {error}"
        raise ReadError(message) from error
    return text
