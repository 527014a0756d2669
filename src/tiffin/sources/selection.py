"""Choose runs: by place, scan_id, uid, time or metadata."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from tiffin.errors import SettingsError, SourceError, did_you_mean
from tiffin.sources.source_types import Documents
from tiffin.start_document import equal_values, get_nested, start_time

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from tiffin.sources.document_file import Document

MAX_NUMBER = 2**63 - 1
"""The largest number that catalogues can search for."""

MIN_PREFIX, MIN_DIGITS = 4, 6
"""The shortest beginning of a uid; and if it could be a scan_id as well."""

LAST = ("last", "latest", "newest")
"""Words that people write for -1."""

SEVERAL = re.compile(r"\d+\s*(?:-|,|:|\.\.)\s*\d.*")
"""A range or a list of runs, which is no name of one."""

SHOWN = 8
"""How many of the newest runs a message tells of."""

AGO = re.compile(r"-?(?P<n>\d+(?:\.\d+)?)(?P<unit>[wdhm])")
UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes"}


class NoRunError(SourceError):
    """No run fits a selection."""


class Typed(str):
    """A value as a user typed it: it may mean a number or text."""

    __slots__ = ()

    @property
    def meanings(self) -> tuple[Any, ...]:
        """The value as JSON, if it is that, and as text."""
        try:
            return json.loads(self), str(self)
        except (ValueError, RecursionError):
            return (str(self),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which runs are wanted."""

    runs: tuple[str, ...] = ()
    """``"-1"`` (the last), ``"-2"``…, a scan_id, or (the beginning of) a uid."""
    query: Mapping[str, Any] = field(default_factory=dict)
    """Key of the start document → value; a `Typed` one may be a number or text."""
    since: float | None = None
    until: float | None = None
    """Limits of the start time [s since 1970]."""
    limit: int | None = None
    """At most so many runs, the newest."""

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
            message = f"--limit must be a number of runs from 1, not {limit}"
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
        """Return the selection as a user types it."""
        options = [f"--run {name}" for name in self.runs]
        options += [f"--query {key}={value}" for key, value in self.query.items()]
        for option, time in (("--since", self.since), ("--until", self.until)):
            if time is not None:
                text = (
                    datetime.fromtimestamp(time).astimezone().isoformat(" ", "minutes")
                )
                options.append(f"{option} {text}")
        return " ".join(options)

    def choose(self, starts: list[Mapping[str, Any]]) -> list[str]:
        """Return the uids of the chosen ones among these runs; SourceError if none."""
        for start in starts:
            if "uid" not in start:
                message = f"a start document has no uid, only {[*start]}"
                raise SourceError(message)
        allowed = [start for start in starts if self._allows(start)]
        newest = sorted(allowed, key=lambda start: -start_time(start))
        uids = [str(start["uid"]) for start in starts]
        if self.runs:
            uids = [_uid_of_named(newest, name) for name in self.runs]
            newest = [start for start in newest if str(start["uid"]) in uids]
        if not newest:
            others = sorted(starts, key=lambda start: -start_time(start))
            raise self.none_found(others)
        chosen = {str(start["uid"]) for start in newest[: self.limit]}
        return list(dict.fromkeys(uid for uid in uids if uid in chosen))

    def _allows(self, start: Mapping[str, Any]) -> bool:
        time = start_time(start)
        if self.since is not None and time < self.since:
            return False
        if self.until is not None and time >= self.until:
            return False
        for key, value in self.query.items():
            meanings = value.meanings if isinstance(value, Typed) else (value,)
            if not any(equal_values(get_nested(start, key), m) for m in meanings):
                return False
        return True

    def none_found(self, newest: Iterable[Mapping[str, Any]]) -> NoRunError:
        """Return the error for a selection that no run fits; `newest` are others."""
        if not str(self):
            return NoRunError("there is no run")
        message, starts = f"no run fits {self!s:.300}", list(newest)[:SHOWN]
        for key in self.query if starts else ():
            values = [get_nested(start, key) for start in starts]
            texts = dict.fromkeys(str(value) for value in values if value is not None)
            if texts:
                message += f"; {key} of the newest runs is {', '.join(texts):.200}"
            else:
                keys = dict.fromkeys(key for start in starts for key in start)
                message += f"; the newest runs have no {key!r}{did_you_mean(key, keys)}"
        if starts and (self.since is not None or self.until is not None):
            began = datetime.fromtimestamp(start_time(starts[0])).astimezone()
            message += f"; the newest run began at {began:%Y-%m-%d %H:%M}"
        return NoRunError(message)


def select_runs(source: Documents, selection: Selection) -> Documents:
    """Return the chosen runs of a source.

    A part that breaks off may hold some of them, too. Why it does is raised only if
    there is no run at all; else it is raised when the documents are read.
    """
    starts: list[list[Mapping[str, Any]]] = []
    problem = None
    for part in source.parts:
        starts.append([])
        try:
            starts[-1].extend(doc for name, doc in part if name == "start")
        except SourceError as error:
            problem = problem or error
    if problem is not None and not any(starts):
        raise problem
    uids = set(selection.choose([start for each in starts for start in each]))
    selected = []
    for part, each in zip(source.parts, starts, strict=True):
        here = uids.intersection(str(start["uid"]) for start in each)
        if here:
            selected.append(Documents(partial(documents_of_runs, part, here)))
    return Documents.of(selected)


def documents_of_runs(
    documents: Iterable[Document], uids: Iterable[str]
) -> Iterator[Document]:
    """Yield the documents of some runs, and those that name no run.

    Resources are always included: a detector that is staged once for several runs
    declares its file in the first of them. An error of the source is ignored if it
    comes after the stop documents of all these runs.
    """
    wanted = frozenset(uids)
    unfinished, descriptors = set(wanted), set()
    try:
        for name, doc in documents:
            run = doc.get("uid") if name == "start" else doc.get("run_start")
            is_shared = name in ("resource", "stream_resource")
            if run is not None and str(run) not in wanted and not is_shared:
                continue
            if name == "descriptor":
                descriptors.add(str(doc.get("uid")))
            if "descriptor" in doc and str(doc["descriptor"]) not in descriptors:
                continue
            if name == "bulk_events":
                doc = {uid: doc[uid] for uid in doc if uid in descriptors}
            if name == "stop":
                unfinished.discard(str(run))
            yield name, doc
    except SourceError:
        if unfinished:
            raise


def is_number(name: str) -> bool:
    """Whether a run's name can be a scan_id."""
    digits = name.isascii() and name.isdigit() and len(name) <= len(str(MAX_NUMBER))
    return digits and int(name) <= MAX_NUMBER


def place_from_last(name: str) -> int | None:
    """Return 0 for ``"-1"`` (the last), 1 for ``"-2"``…; None for any other name."""
    if not name.startswith("-") or not is_number(name[1:]):
        return None
    return int(name[1:]) - 1 if int(name[1:]) else None


def is_uid_prefix(name: str) -> bool:
    """Whether a name is long enough to be the beginning of a uid.

    A mistyped scan_id must not select some run whose uid happens to begin with it.
    """
    return len(name) >= (MIN_DIGITS if name.isdigit() else MIN_PREFIX)


def not_one_run(
    name: str, found: int, newest: Iterable[Mapping[str, Any]]
) -> SourceError:
    """Return the error for a name that none or several runs have."""
    if name.lower() in LAST:
        return SourceError(f"no run matches {name!r}: did you mean -1, the last?")
    if SEVERAL.fullmatch(name):
        return SourceError(
            f"no run matches {name!r}: for several runs, repeat the option, as in "
            f"--run 5 --run 6, or give --since, --query or --limit"
        )
    if name.lower() in ("all", "*"):
        return SourceError(
            f"no run matches {name!r}: '--since 2000-01-01' instead takes all runs"
        )
    runs = [str(start.get("scan_id", str(start.get("uid"))[:8])) for start in newest]
    what = f"{'several runs match' if found else 'no run matches'} {name!r}"
    if runs:
        what += f": the newest are {', '.join(runs[:SHOWN])} ('tiffin runs' lists them)"
    return SourceError(
        f"{what}; give -1 (the last), a scan_id, or the beginning of one uid: "
        f"{MIN_PREFIX} characters or more, {MIN_DIGITS} where all are digits"
    )


def _uid_of_named(newest: list[Mapping[str, Any]], name: str) -> str:
    place = place_from_last(name)
    if place is not None:
        found = newest[place : place + 1]
    else:
        scans = {name, str(int(name))} if is_number(name) else {name}
        found = [start for start in newest if str(start.get("scan_id")) in scans][:1]
        found = found or [start for start in newest if str(start["uid"]) == name][:1]
        if not found and is_uid_prefix(name):
            found = [start for start in newest if str(start["uid"]).startswith(name)]
    if len(found) != 1:
        raise not_one_run(name, len(found), newest)
    return str(found[0]["uid"])


def _query(texts: Iterable[str]) -> dict[str, Any]:
    query: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            message = f"--query {text!r} must be KEY=VALUE"
            raise SettingsError(message)
        if query.setdefault(key, Typed(value)) != value:
            message = (
                f"--query {key}={query[key]} and --query {key}={value}: a run has one "
                f"{key}; ask for one of them"
            )
            raise SettingsError(message)
    return query


def _time(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    now = datetime.now().astimezone()
    days = {"today": 0, "yesterday": 1}.get(text.strip().lower())
    ago = AGO.fullmatch(text.strip())
    if days is not None:
        midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
        return (midnight - timedelta(days=days)).timestamp()
    try:
        if ago is not None:
            return (
                now - timedelta(**{UNITS[ago["unit"]]: float(ago["n"])})
            ).timestamp()
        return datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError):
        message = (
            f"{option} {text!r} must be a time such as 2026-11-22 or 2026-11-22T08:30, "
            f"today, yesterday, or how long ago: 2d, 6h, 30m, 1w"
        )
        raise SettingsError(message) from None
