"""Keep what people type into metadata from doing harm in a path.

A value may hold anything; what comes of it stands inside one component of a path, on
Linux, macOS and Windows alike. Windows' rules are those of "Naming Files, Paths, and
Namespaces" (learn.microsoft.com).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import Literal, get_args

from tiffin.errors import TemplateError

__all__ = [
    "POLICIES",
    "Policy",
    "check_literal",
    "is_blank",
    "is_reserved",
    "joins",
    "length_of",
    "portable_text",
    "safe_component",
    "split_suffix",
    "strict",
    "with_number",
]

Policy = Literal["portable", "strict"]
POLICIES: tuple[Policy, ...] = get_args(Policy)

REPLACEMENT = "_"

LONGEST_COMPONENT = 255
"""Bytes; the limit of ext4, XFS, NTFS (characters) and APFS."""

LONGEST_PATH = 4000
"""Bytes; Linux takes 4,096, of which the root needs a part."""

CUT_MARK = "~"
"""Stands before the hash of a component that was cut."""

_NOT_PORTABLE = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\ud800-\udfff]')
"""Separators, control characters, what Windows refuses, and half characters."""

_NOT_STRICT = re.compile(r"[^A-Za-z0-9\-_.=+]")

_UNSEEN = frozenset(["Cc", "Cs", "Cn", "Co", "Zl", "Zp"])
"""Categories of characters that no name should hold: control, half, unassigned, private
and line separators."""

_UNREADABLE = frozenset(
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060"
    "\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\u206a\u206b\u206c\u206d"
    "\u206e\u206f\ufeff\ufff9\ufffa\ufffb"
)
"""Marks of direction, and what has no width: a name would not read as it is."""

_EMPTY = re.compile(
    "[.\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""What shows nothing, though its category is a letter's or a mark's; and dots."""

_LEADING_DOTS = re.compile(r"^\.+")

_RESERVED = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])"
    r"(?= *(?:\.|$))",
    re.IGNORECASE,
)
"""Names of devices; Windows takes them for these whatever follows the first dot."""


def portable_text(value: str) -> str:
    """Make a value fit to stand inside a file name.

    Examples
    --------
    >>> portable_text("a/b:c*? ../../x")
    'a_b_c__ .._.._x'
    """
    text = unicodedata.normalize("NFC", value)
    text = _NOT_PORTABLE.sub(REPLACEMENT, text)
    if not text.isascii():
        text = "".join(map(_seen, text))
        if joins(text[0]):
            return REPLACEMENT + text
    return _LEADING_DOTS.sub(REPLACEMENT, text)


def strict(value: str) -> str:
    """Make a value of ASCII letters, digits and ``-_.=+`` only.

    Examples
    --------
    >>> strict("Béton/a b")
    'Beton_a_b'
    """
    plain = unicodedata.normalize("NFKD", value)
    plain = "".join(c for c in plain if not unicodedata.combining(c))
    return _LEADING_DOTS.sub(REPLACEMENT, _NOT_STRICT.sub(REPLACEMENT, plain))


def is_blank(value: str) -> bool:
    """Whether nothing of a text is seen but dots.

    Examples
    --------
    >>> is_blank(" . "), is_blank("\u200b"), is_blank("-")
    (True, True, False)
    """
    if value.isascii():
        return not value.strip(" .\t\n\r\x0b\x0c\x1c\x1d\x1e\x1f")
    return not any(map(_is_visible, value))


def joins(character: str) -> bool:
    """Whether a character joins the letter before it, as an accent does."""
    if unicodedata.category(character).startswith("M"):
        return True
    return "\u1161" <= character <= "\u1175" or "\u11a8" <= character <= "\u11c2"


def check_literal(character: str) -> str:
    """Say why a character can't stand in a template's own text; ``""`` if it can."""
    if character == "\0":
        return "a NUL character, which no file name can hold"
    if character == "\\":
        return "a '\\': folders are parted by '/'"
    if character and character in '*?"|:':
        return f"{character!r} can't stand in a name on Windows"
    if character and unicodedata.category(character) in _UNSEEN:
        return f"the character {character!r} can't stand in a name"
    return ""


def safe_component(component: str) -> str:
    """Mend one component of a path as a whole.

    Trailing dots and spaces go, Windows' reserved names get a mark, and what is too
    long for a file system is cut, with a hash of all of it.

    Examples
    --------
    >>> safe_component("aux.tif"), safe_component("a. ")
    ('aux_.tif', 'a')
    >>> cut = safe_component("x" * 300 + ".tif")
    >>> len(cut), cut[-14:]
    (255, 'x~74dfec51.tif')
    """
    mended = component.rstrip(". ")
    if not mended.isascii():
        mended = unicodedata.normalize("NFC", mended)
    mended = mended.lstrip(" ")
    if mended.startswith("."):
        mended = REPLACEMENT + mended.lstrip(".")
    reserved = _RESERVED.match(mended)
    if reserved:
        mended = mended[: reserved.end()] + REPLACEMENT + mended[reserved.end() :]
    return mended if length_of(mended) <= LONGEST_COMPONENT else _cut(mended)


def is_reserved(component: str) -> bool:
    """Whether Windows takes a name for that of a device."""
    return _RESERVED.match(component) is not None


def split_suffix(component: str) -> tuple[str, str]:
    """Part the ending of a name, its dot with it, from the rest."""
    stem, dot, suffix = component.rpartition(".")
    if not dot or not 0 < len(suffix) <= 8 or not suffix.isalnum():
        return component, ""
    return stem, dot + suffix


def with_number(name: str, n: int) -> str:
    """Put a number behind the stem of a name, for where the name itself is taken.

    Examples
    --------
    >>> with_number("Ni foil/7_001.tif", 2)
    'Ni foil/7_001-2.tif'
    """
    folder, slash, component = name.rpartition("/")
    stem, dot, suffix = component.rpartition(".")
    if not dot or not stem:
        stem, suffix = component, ""
    return folder + slash + safe_component(f"{stem}-{n}{dot}{suffix}")


def check_length(path: str) -> None:
    """Refuse a path that no file system would take."""
    if length_of(path) > LONGEST_PATH:
        message = (
            f"the name {path[:40]!r}… has {length_of(path)} bytes; a path may have "
            f"{LONGEST_PATH}: shorten its values, as in '{{start.comment:.40}}'"
        )
        raise TemplateError(message)


def _cut(component: str) -> str:
    stem, suffix = split_suffix(component)
    digest = hashlib.sha256(component.encode("utf-8")).hexdigest()[:8]
    tail = CUT_MARK + digest + suffix
    room = LONGEST_COMPONENT - length_of(tail)
    return stem.encode("utf-8")[:room].decode("utf-8", "ignore") + tail


def _seen(character: str) -> str:
    if character in _UNREADABLE or unicodedata.category(character) in _UNSEEN:
        return REPLACEMENT
    return character


def _is_visible(character: str) -> bool:
    if unicodedata.category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp"):
        return False
    return not _EMPTY.match(character)


def length_of(text: str) -> int:
    """Return how many bytes a text takes on a disk."""
    return len(text.encode("utf-8", "surrogatepass"))
