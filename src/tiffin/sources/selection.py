"""Choose runs: by place, scan_id, uid, time, or what their metadata hold."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tiffin.errors import SettingsError, SourceError
from tiffin.start_document import equal_values, get_nested, start_time

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    Pair = tuple[str, Mapping[str, Any]]

__all__ = [
    "Selection",
    "Typed",
    "is_number",
    "may_begin_uid",
    "no_such_run",
    "documents_of_runs",
    "place_from_last",
]

LARGEST = 2**63 - 1
"""Of the numbers that catalogues can look for."""

LONGEST_TOLD = 300
"""How much of what was asked for a message tells."""

LEAST, LEAST_DIGITS = 4, 6
"""How much of a uid is taken for one; and where it could be a scan_id as well."""


class Typed(str):
    """A value as a user typed it, who can't say whether a number or text is meant.

    Examples
    --------
    >>> Typed("123").readings, Typed("Ni foil").readings
    ((123, '123'), ('Ni foil',))
    """

    __slots__ = ()

    @property
    def readings(self) -> tuple[Any, ...]:
        """What may be meant: what JSON makes of it, and the text itself."""
        try:
            return json.loads(self), str(self)
        except (ValueError, RecursionError):
            return (str(self),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which runs are wanted.

    Attributes
    ----------
    runs : tuple of str
        ``"-1"`` (the last), ``"-2"``…, a scan_id, a uid or its beginning (see
        `may_begin_uid`); none for all that the rest leaves.
    query : mapping
        Key of the start document → value; a `Typed` one may be any of its readings.
    since, until : float or None
        Of the runs' start times [s since 1970].
    limit : int or None
        At most so many, the newest.
    """

    runs: tuple[str, ...] = ()
    query: Mapping[str, Any] = field(default_factory=dict)
    since: float | None = None
    until: float | None = None
    limit: int | None = None

    @classmethod
    def of(
        cls,
        *,
        runs: Iterable[str] = (),
        query: Iterable[str] = (),
        since: str | None = None,
        until: str | None = None,
        limit: int | None = None,
    ) -> Selection:
        """Read what a user typed.

        Examples
        --------
        >>> Selection.of(query=["sample=Ni foil", "scan_id=7"]).query
        {'sample': 'Ni foil', 'scan_id': '7'}
        """
        if limit is not None and limit < 1:
            message = f"--limit is a number of runs from 1, not {limit}"
            raise SettingsError(message)
        return cls(
            runs=tuple(runs),
            query=_query(query),
            since=_time("--since", since),
            until=_time("--until", until),
            limit=limit,
        )

    def __bool__(self) -> bool:
        return self != Selection()

    def __str__(self) -> str:
        """Return what is asked for, as it is typed.

        Examples
        --------
        >>> print(Selection.of(query=["sample=Ni"], since="2026-11-22T08:30+01:00"))
        --query sample=Ni --since 2026-11-22T07:30:00+00:00
        """
        told = [f"--run {name}" for name in self.runs]
        told += [f"--query {key}={value}" for key, value in self.query.items()]
        for option, time in (("--since", self.since), ("--until", self.until)):
            if time is not None:
                told.append(f"{option} {datetime.fromtimestamp(time, UTC).isoformat()}")
        return " ".join(told)

    def allows(self, start: Mapping[str, Any]) -> bool:
        """Whether query and times allow a run."""
        time = start_time(start)
        return (
            all(
                _fits(get_nested(start, key), value)
                for key, value in self.query.items()
            )
            and (self.since is None or time >= self.since)
            and (self.until is None or time < self.until)
        )

    def choose(self, starts: list[Mapping[str, Any]]) -> list[str]:
        """Return the uids of the chosen of these runs.

        Raises
        ------
        SourceError
            If no run is chosen; if one that was asked for by name is not there, or not
            the only one; or if a start document lacks its uid.
        """
        for start in starts:
            if "uid" not in start:
                message = f"a start document has no uid, only {[*start]}"
                raise SourceError(message)
        allowed = [start for start in starts if self.allows(start)]
        newest = sorted(allowed, key=lambda start: -start_time(start))
        uids = [str(start["uid"]) for start in starts]
        if self.runs:  # each once, by however many names
            uids = [_named(newest, name) for name in self.runs]
            newest = [start for start in newest if str(start["uid"]) in uids]
        if not newest:
            raise self.none_found()
        chosen = {str(start["uid"]) for start in newest[: self.limit]}
        return list(dict.fromkeys(uid for uid in uids if uid in chosen))

    def none_found(self) -> SourceError:
        """Say that there is no run as asked for."""
        asked = str(self)
        asked = asked if len(asked) <= LONGEST_TOLD else asked[:LONGEST_TOLD] + "…"
        return SourceError(f"no run fits {asked}" if asked else "there is no run")


def documents_of_runs(pairs: Iterable[Pair], uids: Iterable[str]) -> Iterator[Pair]:
    """Leave out the documents of other runs; those that name no run stay.

    Resources stay, whatever run they name: a detector that is staged once for several
    runs tells of its file in the first of them.

    A source that breaks off behind the stop documents of all these runs lacks nothing
    of them: it has then just come to its end.
    """
    going = set(uids)
    try:
        for name, doc in _of(pairs, frozenset(going)):
            if name == "stop":
                going.discard(str(doc.get("run_start")))
            yield name, doc
    except SourceError:
        if going:
            raise


def _of(pairs: Iterable[Pair], wanted: Container[str]) -> Iterator[Pair]:
    descriptors: set[str] = set()
    for name, doc in pairs:
        run = doc.get("uid") if name == "start" else doc.get("run_start")
        is_shared = name in ("resource", "stream_resource")
        if run is not None and str(run) not in wanted and not is_shared:
            continue
        if name == "descriptor":
            descriptors.add(str(doc.get("uid")))
        if "descriptor" in doc and str(doc["descriptor"]) not in descriptors:
            continue
        if name == "bulk_events":
            yield name, {uid: doc[uid] for uid in doc if uid in descriptors}
        else:
            yield name, doc


def is_number(name: str) -> bool:
    """Whether a run's name can be a scan_id."""
    digits = name.isascii() and name.isdigit() and len(name) <= len(str(LARGEST))
    return digits and int(name) <= LARGEST


def place_from_last(name: str) -> int | None:
    """Read ``"-1"`` (the last), ``"-2"``… as 0, 1…; None for any other name.

    Examples
    --------
    >>> place_from_last("-2"), place_from_last("-0"), place_from_last("-x")
    (1, None, None)
    """
    if not name.startswith("-") or not is_number(name[1:]):
        return None
    return int(name[1:]) - 1 if int(name[1:]) else None


def may_begin_uid(name: str) -> bool:
    """Whether a run's name is long enough for the beginning of a uid.

    A mistyped scan_id must not lead to whichever run's uid begins so.

    Examples
    --------
    >>> [may_begin_uid(name) for name in ("7f3", "7f3a", "12345", "123456")]
    [False, True, False, True]
    """
    return len(name) >= (LEAST_DIGITS if name.isdigit() else LEAST)


def no_such_run(name: str, found: int | str) -> SourceError:
    """Say that a run's name does not lead to one run."""
    message = (
        f"{found} runs match {name!r}; wanted -1 (the last), a scan_id, or as much of "
        f"a uid as tells it apart: {LEAST} characters at least, {LEAST_DIGITS} where "
        f"all are digits"
    )
    return SourceError(message)


def _named(newest: list[Mapping[str, Any]], name: str) -> str:
    place = place_from_last(name)
    if place is not None:
        found = newest[place : place + 1]
    else:
        scans = {name, str(int(name))} if is_number(name) else {name}
        found = [start for start in newest if str(start.get("scan_id")) in scans][:1]
        found = found or [start for start in newest if str(start["uid"]) == name][:1]
        if not found and may_begin_uid(name):
            found = [start for start in newest if str(start["uid"]).startswith(name)]
    if len(found) != 1:
        raise no_such_run(name, len(found))
    return str(found[0]["uid"])


def _fits(held: Any, wanted: Any) -> bool:
    readings = wanted.readings if isinstance(wanted, Typed) else (wanted,)
    return any(equal_values(held, reading) for reading in readings)


def _query(texts: Iterable[str]) -> dict[str, Any]:
    query: dict[str, Any] = {}
    for text in texts:
        key, value = _key_and_value(text)
        if query.setdefault(key, value) != value:
            message = (
                f"--query {key}={query[key]} and --query {key}={value}: a run has one "
                f"{key}; ask for one of them"
            )
            raise SettingsError(message)
    return query


def _key_and_value(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        message = f"--query {text!r} is not KEY=VALUE"
        raise SettingsError(message)
    return key, Typed(value)


def _time(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError:
        message = f"{option} {text!r} is no time such as 2026-11-22 or 2026-11-22T08:30"
        raise SettingsError(message) from None
