"""Keep what people type into metadata from doing harm in a path."""

from __future__ import annotations

import re
import unicodedata

from tiffin.errors import TemplateError

__all__ = ["portable", "safe_path"]

REPLACEMENT = "_"

LONGEST_COMPONENT = 255
"""Bytes; the limit of ext4, XFS, NTFS (characters) and APFS."""

_NOT_PORTABLE = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\ud800-\udfff]')
"""Separators, control characters, what Windows refuses, and half characters."""

_LEADING_DOTS = re.compile(r"^\.+")


def portable(value: str) -> str:
    """Make a value fit to stand inside a file name.

    Examples
    --------
    >>> portable("a/b:c*? ../../x")
    'a_b_c__ .._.._x'
    """
    text = unicodedata.normalize("NFC", value)
    text = _NOT_PORTABLE.sub(REPLACEMENT, text)
    return _LEADING_DOTS.sub(REPLACEMENT, text)


def safe_path(path: str, template: str) -> str:
    """Check a rendered relative path, component by component.

    Raises
    ------
    TemplateError
        If a component would leave the folder or is too long for a file system.

    Examples
    --------
    >>> safe_path("a//b.tif", "a//{start.name}.tif")
    'a/b.tif'
    """
    components = [
        component for component in path.split("/") if component not in ("", ".")
    ]
    for component in components:
        if component == "..":
            message = f"template {template!r} leaves its folder ('..' after a field)"
            raise TemplateError(message)
        length = len(component.encode("utf-8", "surrogatepass"))
        if length > LONGEST_COMPONENT:
            message = (
                f"the name {component[:40]!r}… has {length} bytes; a file system takes "
                f"{LONGEST_COMPONENT}: shorten it, as in '{{start.comment:.40}}'"
            )
            raise TemplateError(message)
    return "/".join(components)
