"""Leave out a run that comes again as a whole: the same documents, delivered twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    Documents = Iterable[tuple[str, Mapping[str, Any]]]

__all__ = ["skip_repeated_runs"]


def skip_repeated_runs(parts: Iterable[Documents]) -> Iterator[Documents]:
    """Return the parts of a source without the runs that have ended before.

    Parameters
    ----------
    parts : iterable of iterables of (name, document)
        To be gone through one after the other.

    Examples
    --------
    >>> run = [("start", {"uid": "a"}), ("stop", {"run_start": "a"})]
    >>> [name for part in skip_repeated_runs([run, run]) for name, doc in part]
    ['start', 'stop']
    """
    ended: set[str] = set()
    return (_new_runs(part, ended) for part in parts)


def _new_runs(
    documents: Documents, ended: set[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    again: set[str] = set()  # runs that come once more, and their descriptors
    for name, doc in documents:
        if not again and name not in ("start", "stop"):
            yield name, doc
            continue
        uid, run = _text(doc, "uid"), _text(doc, "run_start")
        if uid and ((name == "start" and uid in ended) or run in again):
            again.add(uid)
        if not again.isdisjoint((uid, run, _text(doc, "descriptor"))):
            if name == "stop":
                again.discard(run)
        elif name != "stop" or run not in ended:
            if name == "stop" and run:
                ended.add(run)
            yield name, doc


def _text(doc: Any, key: str) -> str:
    value = doc.get(key) if hasattr(doc, "get") else None
    return value if isinstance(value, str) else ""
