"""Make paths that every file system takes, one component at a time.

Values may be changed for that, the template's literal text never: a name that would
need it is refused.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING
from unicodedata import is_normalized, normalize

from tiffin.errors import TemplateError
from tiffin.template.messages import parse_error, shortened
from tiffin.template.portable import LEADING_DOTS, REPLACEMENT

if TYPE_CHECKING:
    from tiffin.template.parser import Parsed

Piece = tuple[str, bool]
"""A part of a name: its text, and whether that is a value and so may be changed."""

LONGEST_COMPONENT = 255
"""Bytes: the limit of ext4, XFS, NTFS (characters) and APFS."""

LONGEST_PATH = 4000
"""Bytes: Linux takes 4,096, and the root needs a part of them."""

CUT_MARK = "~"
"""Comes before the hash in a name that was cut."""

_SPACE_FOR_VALUES = len(CUT_MARK) + 8
"""Bytes that literal text leaves to values: enough for the hash of a name."""

_RESERVED = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])"
    r"(?= *(?:\.|$))",
    re.IGNORECASE,
)
"""Names of devices. Windows ignores whatever follows the first dot."""

_RESERVED_BEGIN = frozenset({"con", "prn", "aux", "nul", "com", "lpt"})


def is_safe(path: str) -> bool:
    """Return whether a path is fine as it is, as nearly all are, by quick checks."""
    if not path.isascii() and not is_normalized("NFC", path):
        return False
    length = len(path) if path.isascii() else _length(path)
    if not 0 < length <= LONGEST_COMPONENT:
        return False
    if path[0] in "./ " or path[-1] in ". /":
        return False
    if "/" not in path:
        return path[:3].lower() not in _RESERVED_BEGIN or not _RESERVED.match(path)
    if "/." in path or "./" in path or "//" in path or " /" in path or "/ " in path:
        return False
    for part in path.split("/"):
        if part[:3].lower() in _RESERVED_BEGIN and _RESERVED.match(part):
            return False
    return True


def safe_path(pieces: list[Piece]) -> str:
    """Change values so that each component of a path is a name everywhere.

    Dots and spaces at its ends are removed. The longest values of a component that is
    too long are cut, and a hash of the whole keeps different names apart. A name that
    Windows reserves gets an underscore. A component that is still no name is refused.

    Examples
    --------
    >>> long = [("raw/x", False), ("a" * 300, True), ("_", False), ("7", True)]
    >>> safe_path(long)[-13:]
    'aa~53ea9e6c_7'
    >>> safe_path([("co", True), ("n.tif", False)])
    'co_n.tif'
    """
    components: list[list[Piece]] = [[]]
    for text, is_value in pieces:
        first, *rest = text.split("/")  # no value has a slash
        components[-1].append((first, is_value))
        components += [[(piece, False)] for piece in rest]
    names = [_safe_component(component) for component in components]
    path = "/".join(names)
    for name in names:
        reason = _reason_against(name)
        if reason:
            message = f"{shortened(path, quoted=True)} can't be the name here: {reason}"
            raise TemplateError(message)
    return path


def with_number(name: str, n: int, form: str = "-{}") -> str:
    """Add a number to the stem of a name that is taken.

    Examples
    --------
    >>> with_number("Ni foil/7_001.tif", 2)
    'Ni foil/7_001-2.tif'
    """
    folder, slash, component = name.rpartition("/")
    stem, dot, suffix = component.rpartition(".")
    if not dot or not stem:
        stem, suffix = component, ""
    return (
        folder + slash + _safe_component([(stem + form.format(n) + dot + suffix, True)])
    )


def check_path_length(path: str) -> None:
    """Refuse a path that is too long for any file system."""
    if _length(path) > LONGEST_PATH:
        message = (
            f"the name {path[:40]!r}… has {_length(path)} bytes, and a path may have "
            f"{LONGEST_PATH}: shorten its values, as in '{{start.comment:.40}}'"
        )
        raise TemplateError(message)


def check_outline(template: Parsed, text: str) -> None:
    """Refuse a template whose literal text can't be part of any name."""
    outline, columns = template.outline, template.columns
    if outline[outline.rfind("/") + 1 :] in ("", ".", ".."):
        message = f"template {shortened(text, quoted=True)} ends without a file name"
        raise TemplateError(message, column=max(len(text), 1))
    leading = template.lead.count("/")
    begin = 0
    for n, component in enumerate(outline.split("/")):
        if n >= leading or _RESERVED.match(component):
            reason = _reason_against(component)
            if reason:
                raise parse_error(reason, columns[begin])
        begin += len(component) + 1


def _reason_against(component: str) -> str:
    """Return why a component can't be a name, or ``""``; NUL stands for a value."""
    if not component:
        return "a name is empty; put the '/' of an optional folder inside '<…/>'"
    if component in (".", ".."):
        return f"{component!r} is only allowed at the beginning of a template"
    if component[0] == ".":
        return "a name that begins with a dot is hidden"
    if component[0] == " ":
        return "a name begins with a space"
    if _RESERVED.match(component):
        return f"Windows reserves {component.partition('.')[0]!r} for a device"
    if component[-1] in ". ":
        return "a name ends with a dot or a space, which Windows refuses"
    literal = component.replace("\0", "")
    space = _SPACE_FOR_VALUES if literal != component else 0
    if _length(literal) <= LONGEST_COMPONENT - space:
        return ""
    return (
        f"{literal[:20]!r}… has {_length(literal)} bytes, and a name may have "
        f"{LONGEST_COMPONENT} bytes, with its values"
    )


def _safe_component(pieces: list[Piece]) -> str:
    pieces = _trimmed(pieces)
    text = "".join(piece for piece, _ in pieces)
    if _RESERVED.match(text):
        pieces = _marked(pieces, text)
    return normalize("NFC", _cut(pieces))


def _trimmed(pieces: list[Piece]) -> list[Piece]:
    """Remove spaces and dots of values at both ends."""
    pieces = [piece for piece in pieces if piece[0]]
    while pieces and pieces[0][1]:
        text = LEADING_DOTS.sub(REPLACEMENT, pieces[0][0].lstrip(" "))
        pieces[:1] = [(text, True)] if text else []
        if text:
            break
    while pieces and pieces[-1][1]:
        text = pieces[-1][0].rstrip(". ")
        pieces[-1:] = [(text, True)] if text else []
        if text:
            break
    return pieces


def _marked(pieces: list[Piece], text: str) -> list[Piece]:
    """Add an underscore to the last value before the first dot."""
    stem = len(text.partition(".")[0].rstrip(" "))
    begin, changed = 0, pieces
    for n, (piece, is_value) in enumerate(pieces):
        if is_value and begin <= stem:
            at = min(len(piece), stem - begin)
            marked = piece[:at] + REPLACEMENT + piece[at:]
            changed = [*pieces[:n], (marked, True), *pieces[n + 1 :]]
        begin += len(piece)
    return changed


def _cut(pieces: list[Piece]) -> str:
    """Join pieces. Cut the longest values of a name that is too long; add a hash."""
    texts = [text for text, _ in pieces]
    whole = "".join(texts)
    if _length(whole) <= LONGEST_COMPONENT:
        return whole
    digest = hashlib.sha256(whole.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    mark = CUT_MARK + digest
    excess = _length(whole) + len(mark) - LONGEST_COMPONENT
    values = [n for n, (_, is_value) in enumerate(pieces) if is_value]
    for n in sorted(values, key=lambda n: -_length(texts[n])):
        stem, suffix = _split_suffix(texts[n])
        cut = stem.encode("utf-8")[: max(_length(stem) - excess, 0)]
        shorter = cut.decode("utf-8", "ignore").rstrip(". ")
        excess -= _length(stem) - _length(shorter)
        texts[n], mark = shorter + mark + suffix, ""
        if excess <= 0:
            break
    return "".join(texts)


def _split_suffix(component: str) -> tuple[str, str]:
    stem, dot, suffix = component.rpartition(".")
    if not dot or not 0 < len(suffix) <= 8 or not suffix.isalnum():
        return component, ""
    return stem, dot + suffix


def _length(text: str) -> int:
    """Return the number of bytes of a text on disk."""
    return len(text.encode("utf-8", "surrogatepass"))
