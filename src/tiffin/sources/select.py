"""Choose runs: by place, scan_id, uid, time, or what their metadata hold."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tiffin.errors import SettingsError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Pair = tuple[str, Mapping[str, Any]]

__all__ = ["Selection", "only"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which runs are wanted.

    Attributes
    ----------
    runs : tuple of str
        ``"-1"`` (the last), ``"-2"``…, a scan_id, a uid or its beginning; none for all
        that the rest leaves.
    query : mapping
        Key of the start document → value.
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
        {'sample': 'Ni foil', 'scan_id': 7}
        """
        if limit is not None and limit < 1:
            message = f"--limit is a number of runs from 1, not {limit}"
            raise SettingsError(message)
        return cls(
            runs=tuple(runs),
            query=dict(_key_and_value(text) for text in query),
            since=_time("--since", since),
            until=_time("--until", until),
            limit=limit,
        )

    def __bool__(self) -> bool:
        return self != Selection()

    def allows(self, start: Mapping[str, Any]) -> bool:
        """Whether query and times allow a run."""
        time = float(start.get("time", 0))
        return (
            all(_item(start, key) == value for key, value in self.query.items())
            and (self.since is None or time >= self.since)
            and (self.until is None or time < self.until)
        )

    def choose(self, starts: list[Mapping[str, Any]]) -> list[str]:
        """Give the uids of the chosen of these runs.

        Raises
        ------
        SourceError
            If a run that was asked for by name is not there, or not the only one.
        """
        allowed = [start for start in starts if self.allows(start)]
        newest = sorted(allowed, key=lambda start: -float(start.get("time", 0)))
        if self.runs:
            return [_named(newest, name) for name in self.runs]
        chosen = {start["uid"] for start in newest[: self.limit]}
        return [start["uid"] for start in starts if start["uid"] in chosen]


def only(pairs: Iterable[Pair], uids: Iterable[str]) -> Iterator[Pair]:
    """Leave out the documents of other runs; those that name no run stay."""
    wanted = set(uids)
    descriptors: set[str] = set()
    for name, doc in pairs:
        run = doc.get("uid") if name == "start" else doc.get("run_start")
        if run is not None and run not in wanted:
            continue
        if name == "descriptor":
            descriptors.add(doc["uid"])
        if "descriptor" in doc and doc["descriptor"] not in descriptors:
            continue
        yield name, doc


def _named(newest: list[Mapping[str, Any]], name: str) -> str:
    if name.startswith("-") and name[1:].isdigit():
        place = int(name[1:]) - 1
        found = newest[place : place + 1]
    else:
        found = [start for start in newest if str(start.get("scan_id")) == name][:1]
        found = found or [s for s in newest if name and s["uid"].startswith(name)]
    if len(found) != 1:
        message = (
            f"{len(found)} runs match {name!r}; wanted -1 (the last), a scan_id, or as "
            f"much of a uid as tells it apart"
        )
        raise SourceError(message)
    return str(found[0]["uid"])


def _item(start: Mapping[str, Any], key: str) -> Any:
    value: Any = start
    for part in key.split("."):
        value = value.get(part) if hasattr(value, "get") else None
    return value


def _key_and_value(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        message = f"--query {text!r} is not KEY=VALUE"
        raise SettingsError(message)
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def _time(option: str, text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text).astimezone().timestamp()
    except ValueError:
        message = f"{option} {text!r} is no time such as 2026-11-22 or 2026-11-22T08:30"
        raise SettingsError(message) from None
