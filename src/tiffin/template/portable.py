"""Which characters may be in a name on Linux, macOS and Windows alike.

The rules of Windows are those of "Naming Files, Paths, and Namespaces"
(learn.microsoft.com).
"""

from __future__ import annotations

import os
import re
import unicodedata
from typing import Literal, get_args

Policy = Literal["portable", "strict"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

REPLACEMENT = "_"

LEADING_DOTS = re.compile(r"^\.+")

_NOT_PORTABLE = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\ud800-\udfff]')
"""Separators, control characters, what Windows refuses, and lone surrogates."""

_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\[^\\]")
"""The beginning of a path with a drive, or of a server's."""

_NOT_STRICT = re.compile(r"[^A-Za-z0-9\-_.=+]")

_UNPRINTABLE = frozenset(["Cc", "Cs", "Cn", "Co", "Zl", "Zp"])
"""Categories of control, surrogate, unassigned, private and separator characters."""

_UNREADABLE = frozenset(
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060"
    "\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d"
    "\u206e\u206f\ufeff\ufff9\ufffa\ufffb"
)
"""Direction marks and characters without width: a name would not read as it is."""

_INVISIBLE = re.compile(
    "[.\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that show nothing; and dots."""


def portable_text(value: str) -> str:
    """Replace all characters of a value that a file name can't have everywhere.

    Examples
    --------
    >>> portable_text("a/b:c*? ../../x")
    'a_b_c__ .._.._x'
    """
    text = _NOT_PORTABLE.sub(REPLACEMENT, unicodedata.normalize("NFC", value))
    if not text.isascii():
        text = "".join(map(_readable, text))
        if joins_previous(text[0]):
            return REPLACEMENT + text
    return LEADING_DOTS.sub(REPLACEMENT, text)


def strict_text(value: str) -> str:
    """Replace all characters of a value but ASCII letters, digits and ``-_.=+``.

    Examples
    --------
    >>> strict_text("Béton/a b")
    'Beton_a_b'
    """
    plain = unicodedata.normalize("NFKD", value)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return LEADING_DOTS.sub(REPLACEMENT, _NOT_STRICT.sub(REPLACEMENT, plain))


def is_blank(value: str) -> bool:
    """Return whether a text shows nothing but dots.

    Examples
    --------
    >>> is_blank(" . "), is_blank("\u200b"), is_blank("-")
    (True, True, False)
    """
    if value.isascii():
        return not value.strip(" .\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f")
    return not any(map(_is_visible, value))


def joins_previous(character: str) -> bool:
    """Return whether a character joins the letter before it, as an accent does."""
    if unicodedata.category(character).startswith("M"):
        return True
    return "\u1161" <= character <= "\u1175" or "\u11a8" <= character <= "\u11c2"


def check_literal(character: str) -> str:
    """Return why a template can't have a character as literal text, or ``""``."""
    if character == "\0":
        return "no file name can have a NUL character"
    if character == "\\":
        return "a '\\': folders are separated by '/'"
    if character in '*?"|:<>':
        return f"{character!r} can't be part of a name on Windows"
    if unicodedata.category(character) in _UNPRINTABLE:
        return f"the character {character!r} can't be part of a name"
    return ""


def foreign_path(path: str) -> str:
    """Return why a path is not one of this system, or ``""``.

    Examples
    --------
    >>> foreign_path("/data/out"), foreign_path("a/b")
    ('', '')
    """
    matched = _WINDOWS_PATH.match(path)
    if matched is None or (os.name == "nt" and matched[0][1:] == ":/"):
        return ""
    shown = path.partition("{")[0]
    if os.name == "nt":
        return f"folders are separated by '/': write {shown.replace(chr(92), '/')!r}"
    return (
        f"{shown} is a path of Windows, and this system has none: write where the "
        f"folder is here, with '/', such as /data/out"
    )


def _readable(character: str) -> str:
    if character in _UNREADABLE or unicodedata.category(character) in _UNPRINTABLE:
        return REPLACEMENT
    return character


def _is_visible(character: str) -> bool:
    category = unicodedata.category(character)
    return category not in ("Cc", "Cf", "Zs", "Zl", "Zp") and not _INVISIBLE.match(
        character
    )
