"""Read names backwards: the values that a name was made of, or an honest refusal.

A name is read from left to right, and for each part all places are kept where it may
end. What can be read in two ways is refused instead of being guessed. That takes time
in proportion to parts times length squared, whatever the name.
"""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple
from unicodedata import normalize

from tiffin.errors import TemplateError
from tiffin.template.components import mended
from tiffin.template.grammar import Field, Part, Segment, fields_of
from tiffin.template.items import kind_of, shortened
from tiffin.template.portable import (
    CUT_MARK,
    LONGEST_COMPONENT,
    length_of,
    without_mark,
)
from tiffin.template.readings import Reading, reading_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tiffin.template.style import Style

__all__ = ["Inverse"]

LONGEST_PATH = 4096
"""Characters; no system takes more."""

MOST_WAYS = 20_000
"""So many half-read names are kept at a time."""

MOST_MARKS = 16
"""So many names are tried that Windows would keep for devices."""

_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")

_CUT = re.compile(re.escape(CUT_MARK) + r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class _Token:
    """A part as the reader sees it: literal text, a field, or what has vanished."""

    literal: str = ""
    field: Field | None = None
    reading: Reading | None = None
    until: str = ""  # literal text that follows a field for sure
    gone: tuple[Field, ...] = ()  # those of a segment: one of them has no value


class _Told(NamedTuple):
    """What was read of a field, and whether that begins or ends a component.

    Without a text its segment has vanished.
    """

    field: Field
    name: str  # the field as it is written
    text: str | None = None
    value: Any = None
    first: bool = False
    last: bool = False

    def agrees(self, other: _Told) -> bool:
        """Whether two can be of one value: blanks and dots at ends may be lost."""
        if self.text is None or other.text is None:
            return True
        if _trimmed(self.text, other) != _trimmed(other.text, self):
            return False
        is_text = isinstance(self.value, str)
        return is_text or repr(self.value) == repr(other.value)


_Way = tuple[_Told, ...]
_Agreed = tuple[_Told | frozenset[str], ...]
"""What was told of fields that stand in the template more than once; as names, those of
a segment that has vanished, one of which has no value."""

_Ways = dict[tuple[int, _Agreed], list[_Way]]
"""By the place that was reached: the ways to it, of which two are as good as all."""


class Inverse:
    """A template, read backwards.

    Parameters
    ----------
    parts : tuple of Part
    text : str
        The template, for messages.
    style : Style
    """

    def __init__(self, parts: tuple[Part, ...], text: str, style: Style) -> None:
        self._parts = parts
        self._text = text
        self._style = style
        names = [str(field) for field in fields_of(parts)]
        self._repeated = {name for name in names if names.count(name) > 1}
        slashes = [_slashes(part) for part in parts]
        self._folders = range(
            sum(map(min, slashes)), sum(max(some) for some in slashes) + 1
        )

    def read(
        self,
        path: str | os.PathLike[str],
        root: str | os.PathLike[str] | None = None,
    ) -> dict[str, Any]:
        """Read one name.

        Raises
        ------
        TemplateError
        """
        self.check_invertible()
        given = _as_text(path)
        for names in self._tried(given, root):
            found = [(name, way) for name in names for way in self._ways_of(name)]
            if found:
                return self._only(given, found)
        message = f"{_short(given)} is no name of template {_short(self._text)}"
        raise TemplateError(message)

    def _tried(
        self, given: str, root: str | os.PathLike[str] | None
    ) -> Iterator[list[str]]:
        """Give what of a path may be the name; the first that can be read counts."""
        if root is not None:
            yield [_below(given, _as_text(root))]
            return
        first = self._parts[0]
        if isinstance(first, str) and first.startswith("/"):
            yield [given]
            return
        pieces = [piece for piece in given.split("/") if piece not in ("", ".")]
        tails = ["/".join(pieces[n:]) for n in range(len(pieces))]
        if not _ABSOLUTE.match(given):
            yield [given]
            yield [tail for tail in tails[:1] if tail != given]
            tails = tails[1:]
        yield tails

    def _only(self, given: str, found: list[tuple[str, _Way]]) -> dict[str, Any]:
        """Give what was read, if that is one thing."""
        (name, way), *others = found
        values = _values(way)
        for other, another in others:
            if repr(_values(another)) == repr(values):
                continue
            message = (
                f"{_short(given)} can be read as {_shown(way)} or as "
                f"{_shown(another)}: no way to tell which"
            )
            if other != name:
                message += "; say where the names begin, as in root='/data'"
            raise TemplateError(message)
        return values

    # ---- what can't be read

    def check_invertible(self) -> None:
        """Refuse fields that can't be read, or told from those beside them."""
        behind: set[Field | None] = {None}
        for part in self._parts:
            if not isinstance(part, Segment):
                behind = {self._follow(part, before) for before in behind}
                continue
            after = set(behind)  # the segment vanishes
            for before in behind:
                last = before
                for inner in part.parts:
                    last = self._follow(inner, last)
                after.add(last)
            behind = after
        self._choices  # noqa: B018 (made now, it refuses what it can't read)

    def _follow(self, part: str | Field, before: Field | None) -> Field | None:
        if isinstance(part, str):
            return None
        if before is not None:
            message = (
                f"template {_short(self._text)} can't be inverted: '{part}' follows "
                f"'{before}' without a separator"
            )
            raise TemplateError(message, column=part.column)
        return part

    # ---- reading

    @cached_property
    def _choices(self) -> list[list[list[_Token]]]:
        """For each part, the ways in which it may stand in a name."""
        behind = [p if isinstance(p, str) else "" for p in self._parts[1:]] + [""]
        return [
            _tokens(part, self._style, until)
            for part, until in zip(self._parts, behind, strict=True)
        ]

    def _ways_of(self, name: str) -> list[_Way]:
        """Give the ways in which a name can be read: none, one, or two of them."""
        components, last = name.split("/"), self._parts[-1]
        if len(components) - 1 not in self._folders:
            return []
        if isinstance(last, str) and not name.endswith(normalize("NFC", last)):
            return []
        for component in components:
            length = length_of(component)
            if length > LONGEST_COMPONENT:
                return []
            if length > LONGEST_COMPONENT - 4 and _CUT.search(component):
                message = (
                    f"{_short(name)} was too long and has been cut: not all is there"
                )
                raise TemplateError(message)
        ways = self._ways(name) if self._gives(name) == name else []
        for other in _unmarked(components):
            # Another reading, unless it tells the same but for a text's mark.
            told = [way for way in self._ways(other) if self._gives(other) == name]
            ways += [way for way in told if not any(_alike(way, w) for w in ways)]
        return ways

    def _gives(self, name: str) -> str | None:
        """Give what a name becomes when it is made one that every system takes."""
        try:
            return mended(name, self._parts, self._text)
        except TemplateError:
            return None

    def _ways(self, path: str) -> list[_Way]:
        here: _Ways = {(0, ()): [()]}
        for choices in self._choices:
            after: _Ways = {}
            for tokens in choices:
                there = here
                for token in tokens:
                    there = self._beyond(token, path, there)
                _add(after, there)
            here = after
            if len(here) > MOST_WAYS:
                message = f"{_short(path)} can be read in too many ways"
                raise TemplateError(message)
        return [
            way for (stop, _), ways in here.items() for way in ways if stop == len(path)
        ]

    def _beyond(self, token: _Token, path: str, here: _Ways) -> _Ways:
        """Give the places that are reached by one token more."""
        after: _Ways = {}
        for (start, agreed), ways in here.items():
            for stop, more in _ends(token, path, start, agreed):
                then = agreed
                if any(one.name in self._repeated for one in more):
                    then = _agreement(agreed, more)
                    if _is_contradiction(then):
                        continue
                known = after.setdefault((stop, then), [])
                if len(known) < 2:
                    known += [(*way, *more) for way in ways[: 2 - len(known)]]
        return after


def _add(ways: _Ways, more: _Ways) -> None:
    for place, added in more.items():
        known = ways.setdefault(place, [])
        known += added[: 2 - len(known)]


def _agreement(agreed: _Agreed, more: _Way) -> _Agreed:
    """Add what is told of repeated fields, once of each."""
    if any(one.text is None for one in more):
        gone = frozenset(one.name for one in more)
        return agreed if gone in agreed else (*agreed, gone)
    known = {one.name for one in agreed if isinstance(one, _Told)}
    return (*agreed, *(one for one in more if one.name not in known))


def _is_contradiction(agreed: _Agreed) -> bool:
    """Whether a segment has vanished all of whose fields have values elsewhere."""
    there = {one.name for one in agreed if isinstance(one, _Told)}
    return any(isinstance(one, frozenset) and one <= there for one in agreed)


def _tokens(part: Part, style: Style, until: str) -> list[list[_Token]]:
    """Give the ways in which a part may stand in a name."""
    if isinstance(part, Segment):
        behind = [p if isinstance(p, str) else "" for p in part.parts[1:]] + [until]
        inner = [_token(p, style, u) for p, u in zip(part.parts, behind, strict=True)]
        return [inner, [_Token(gone=fields_of((part,)))]]
    return [[_token(part, style, until)]]


def _token(part: str | Field, style: Style, until: str) -> _Token:
    if isinstance(part, str):
        return _Token(literal=normalize("NFC", part))
    reading = reading_of(part, style)
    return _Token(field=part, reading=reading, until=normalize("NFC", until))


def _ends(
    token: _Token, path: str, start: int, agreed: _Agreed
) -> Iterator[tuple[int, _Way]]:
    """Tell where a token that begins at a place may end, and what it tells."""
    if token.gone:
        yield start, tuple(_Told(field, str(field)) for field in token.gone)
        return
    field, reading = token.field, token.reading
    if field is None or reading is None:
        if path.startswith(token.literal, start):
            yield start + len(token.literal), ()
        return
    name = str(field)
    known = [one for one in agreed if isinstance(one, _Told) and one.name == name]
    limit = path.find("/", start)
    limit = len(path) if limit < 0 else limit
    first = start == 0 or path[start - 1] == "/"
    for stop in _stops(reading, path, start, limit, known):
        if not path.startswith(token.until, stop):
            continue
        text, last = path[start:stop], stop == limit
        for value in reading.values(text, first, last):
            one = _Told(field, name, text, value, first, last)
            if all(one.agrees(other) for other in known):
                yield stop, (one,)


def _stops(
    reading: Reading, path: str, start: int, limit: int, known: list[_Told]
) -> Iterable[int]:
    if known:
        # The same text, but for what may stand or be lost around it.
        bare = str(known[0].text).strip(" .")
        begin = path.find(bare, start, limit)
        if begin < 0 or path[start:begin].strip(" ."):
            return ()
        start = begin + len(bare)
        ends = (n for n in range(start, limit) if path[n] not in " .")
        return range(start, next(ends, limit) + 1)
    if reading.characters is not None:
        ends = (n for n in range(start, limit) if path[n] not in reading.characters)
        limit = next(ends, limit)
    return range(start, limit + 1)


def _trimmed(text: str, other: _Told) -> str:
    """Take from a text what another of the same value may have lost."""
    text = text.lstrip(" ") if other.first else text
    return text.rstrip(" .") if other.last else text


def _unmarked(components: list[str]) -> list[str]:
    """Give the names that would have got a mark, for they are Windows' own."""
    choices = [
        [component, bare] if (bare := without_mark(component)) else [component]
        for component in components
    ]
    names = itertools.islice(itertools.product(*choices), 1, MOST_MARKS)
    return ["/".join(name) for name in names]


def _alike(one: _Way, other: _Way) -> bool:
    """Whether two ways tell the same, but for what a text is."""
    return len(one) == len(other) and all(
        (isinstance(a.value, str) and isinstance(b.value, str))
        or repr(a.value) == repr(b.value)
        for a, b in zip(one, other, strict=True)
    )


def _values(way: _Way) -> dict[str, Any]:
    values: dict[str, Any] = {}
    told: dict[str, str] = {}
    for one in way:
        field, value = one.field, one.value
        first = told.setdefault(field.name, str(field)) == str(field)
        key = field.name if first else f"{field.name}:{field.specification}"
        if values.get(key) is None:  # a segment may vanish for another's sake
            values[key] = value
    return values


def _slashes(part: Part) -> set[int]:
    """Tell how many slashes a part may bring."""
    if isinstance(part, Segment):
        return {0, sum(p.count("/") for p in part.parts if isinstance(p, str))}
    return {part.count("/") if isinstance(part, str) else 0}


def _as_text(path: Any) -> str:
    """See a path as text, as names are: with forward slashes, and composed."""
    try:
        text = os.fspath(path)
    except TypeError:
        text = None
    if not isinstance(text, str):
        message = f"a name is read from a path as text, not {kind_of(path)}"
        raise TemplateError(message)
    if len(text) > LONGEST_PATH:
        message = f"{_short(text)} is no path: it has {len(text)} characters"
        raise TemplateError(message)
    return normalize("NFC", text.replace("\\", "/"))


def _below(given: str, root: str) -> str:
    try:
        return str(PurePosixPath(given).relative_to(PurePosixPath(root)))
    except ValueError:
        message = f"{_short(given)} is not below root={_short(root)}"
        raise TemplateError(message) from None


def _short(text: str) -> str:
    return (
        repr(text) if len(text) <= LONGEST_COMPONENT else shortened(text, quoted=True)
    )


def _shown(way: _Way) -> str:
    told = repr(_values(way))
    return told if len(told) <= LONGEST_COMPONENT else told[:LONGEST_COMPONENT] + "…"
