"""Complete a dry run: what can't be written, and the files beside images."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import TYPE_CHECKING

import numpy as np

from tiffin.corrections import Cast
from tiffin.errors import TiffinError

if TYPE_CHECKING:
    from tiffin.engine import Ledger
    from tiffin.export.observers import EndedRun
    from tiffin.records import Record
    from tiffin.settings import Settings
    from tiffin.writers import Writer

AFTER = 2**32
"""Added to the index of a place: after all images of the event."""


class DryRun:
    """Fails images of a dtype that is refused, and lists the files beside the others.

    An observer of the ends of runs.
    """

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._refusal = lru_cache(64)(partial(_refusal, settings.writer))

    def run_ended(self, summary: EndedRun) -> None:
        """Look at all planned images of a run."""
        sidecar = self._settings.sidecar
        for place, record in self._ledger.waiting(summary.run):
            dtype, samples = self._dtype(record), (record.shape or ())[2:]
            error = None if dtype is None else self._refusal(dtype, samples)
            if error is not None:
                self._ledger.settle(place, "failed", error)
            elif sidecar is not None:
                path = f"{record.file}{sidecar.suffix}"
                beside = (*place[:2], place[2] + AFTER)
                self._ledger.put(beside, _sidecar_of(record, path))

    def _dtype(self, record: Record) -> np.dtype | None:
        """Return the dtype in the file; None if only the pixels will tell."""
        steps = self._settings.steps
        if not steps:
            return record.dtype
        return np.dtype(steps[-1].dtype) if isinstance(steps[-1], Cast) else None


def _refusal(
    writer: Writer, dtype: np.dtype, samples: tuple[int, ...]
) -> TiffinError | None:
    """Return the error with which a writer refuses images of a dtype."""
    if dtype.name in writer.dtypes and not samples:
        return None
    try:
        writer.buffers(np.zeros((1, 1, *samples), dtype), {})
    except TiffinError as error:
        return error
    return None


def _sidecar_of(record: Record, path: str) -> Record:
    return record._replace(file=path, shape=None, dtype=None, kind="sidecar")
