"""Warn if names without padded numbers sort in another order than their frames."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiffin.frames import Frame
    from tiffin.template import Template

logger = logging.getLogger("tiffin")

DIGITS = re.compile(r"\d+")

Numbers = tuple[int | None, ...]


class NameOrder:
    """Compares each name with the one before it, and warns once a run.

    `first` is the first number of `{frame}` and `{i}`.
    """

    def __init__(self, template: Template, first: int) -> None:
        named = {str(r) for field in template.fields for r in field.references}
        counters = ("event.seq_num", "frame", "i")
        self._counters = [(c, n) for n, c in enumerate(counters) if c in named]
        self._first = first
        self._latest: dict[str, dict[tuple[str | None, ...], tuple[str, Numbers]]] = {}
        self._warned: set[str] = set()

    def forget(self, run: str) -> None:
        """Forget a run."""
        self._latest.pop(run, None)
        self._warned.discard(run)

    def see(self, frame: Frame, name: str) -> None:
        """Compare the name of the next frame."""
        run, stream, field, seq_num, i = frame.id
        if not self._counters or run in self._warned:
            return
        latest = self._latest.setdefault(run, {})
        key = (stream, field, frame.kind)
        before = latest.get(key)
        now = latest[key] = (name, (seq_num, frame.number, i))
        if before is None or name >= before[0]:
            return
        counter = self._unpadded(before, now)
        if counter is not None:
            self._warned.add(run)
            del self._latest[run]
            logger.warning(
                "run %s: names sort in another order than their frames: %r comes "
                "before %r; pad the number, as in {%s:04d}",
                run[:8],
                name,
                before[0],
                counter,
            )

    def _unpadded(
        self, before: tuple[str, Numbers], after: tuple[str, Numbers]
    ) -> str | None:
        """Return the counter in which two names differ first, if it has grown."""
        letters = enumerate(zip(before[0], after[0], strict=False))
        start = next((n for n, (one, other) in letters if one != other), len(after[0]))
        while start and before[0][start - 1].isdecimal():
            start -= 1
        found = [DIGITS.match(name, start) for name, _ in (before, after)]
        pair = tuple(int(match[0]) for match in found if match)
        if len(pair) < 2 or pair[0] >= pair[1]:
            return None
        for counter, n in self._counters:
            first = self._first if n else 0  # `first=` does not change seq_num
            if pair == tuple((of[1][n] or 0) + first for of in (before, after)):
                return counter
        return None
