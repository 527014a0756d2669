"""What a worker does with the frames of one event: read, correct, write, record."""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tiffin.corrections import correct
from tiffin.errors import (
    CorrectionError,
    ExistsError,
    NoImageError,
    NotYetError,
    ReadError,
    TiffinError,
)
from tiffin.export.naming import Named, record_of
from tiffin.frames import Frame, Images, images_in
from tiffin.writers import SeriesWriter, clear_leftovers, publish

if TYPE_CHECKING:
    from pathlib import Path

    from tiffin.engine import Later, Ledger
    from tiffin.export.naming import Namer
    from tiffin.export.settings import Export
    from tiffin.records import Record

__all__ = ["Worker"]

logger = logging.getLogger("tiffin")


class Worker:
    """Exports images; safe in threads. Every frame it is given gets its record.

    Parameters
    ----------
    settings : Export
    namer : Namer
        For images of which the descriptor did not know.
    ledger : Ledger
    later : Later, optional
        Where what is not there yet is postponed; without it, that fails.
    """

    def __init__(
        self,
        settings: Export,
        namer: Namer,
        ledger: Ledger,
        later: Later | None = None,
    ) -> None:
        self._later = later
        self._settings = settings
        self._namer = namer
        self._ledger = ledger
        self._writer = SeriesWriter()
        self._cleared: set[Path] = set()
        self._surprised: set[tuple[str, str | None, str | None]] = set()

    def export(self, group: list[Named], announced: int) -> None:
        """Write the images of one event and field.

        Parameters
        ----------
        group : list of Named
            Those that have a path; they share their pixels.
        announced : int
            How many images the descriptor announced. The array is the truth: what it
            holds beyond is named and written too, what it does not hold is withdrawn.
        """
        missing = self._try(group, announced)
        if missing and self._later is not None:
            state = [missing]

            def again(last: bool) -> bool:
                state[0] = self._try([item for item, _ in state[0]], announced)
                if last:
                    self._give_up(state[0])
                return not state[0]

            self._later.postpone(group[0].frame.run, again)
        else:
            self._give_up(missing)

    def _give_up(self, missing: list[tuple[Named, NotYetError]]) -> None:
        for item, error in missing:
            self._fail(item, error)

    def _try(
        self, group: list[Named], announced: int
    ) -> list[tuple[Named, NotYetError]]:
        """Write what can be written; give what is not there yet."""
        try:
            images = _open(group[0].frame)
        except NotYetError as error:
            return [(item, error) for item in group]
        except BaseException as error:  # noqa: BLE001 (the border of a job; recorded)
            for item in group:
                self._fail(item, error)
            return []
        found = images.shape[0] if math.prod(images.shape) else 0
        if found != announced:
            self._settle_surprise(group, announced, found, images)
        missing = []
        for item in group:
            late = self._write(item, images) if item.place[1] < found else None
            if late is not None:
                missing.append((item, late))
        return missing

    def _settle_surprise(
        self, group: list[Named], announced: int, found: int, images: Images
    ) -> None:
        """Account for images that were announced and are not there, and the reverse."""
        first = group[0]
        self._say_surprise(first.frame, announced, found)
        for item in group:
            if item.place[1] >= found:
                self._ledger.withdraw(item.place)
        if not found:
            self._put_empty(first)
        for i in range(announced, found):
            place = (first.place[0], i)
            if not self._ledger.has(place):  # on a second try it has
                named = self._namer.name_one(first.frame.with_index(i), place)
                late = self._write(named, images)
                if late is not None:
                    self._fail(named, late)

    def _write(self, item: Named, images: Images) -> NotYetError | None:
        """Write one image and record it; give the error if it is not there yet."""
        if item.name is None:
            return None
        try:
            path = self._namer.path(item.name)
            record = self._written(item.frame, path, images)
        except NotYetError as error:
            return error
        except BaseException as error:  # noqa: BLE001 (the border of a job; recorded)
            self._fail(item, error)
        else:
            self._ledger.put(item.place, record)
        return None

    def _written(self, frame: Frame, path: Path, images: Images) -> Record:
        image = np.asarray(images[frame.i or 0])
        image = correct(image, frame, self._settings.corrections)
        if not image.size:
            message = f"{frame}: the corrections leave no pixel, shape {image.shape}"
            raise CorrectionError(message)
        self._clear_leftovers(path.parent)
        publish(
            path,
            partial(self._writer.write, image=image),
            replace=self._settings.existing == "replace",
        )
        return record_of(frame, "written", path=path, written=image)

    def _fail(self, item: Named, error: BaseException) -> None:
        skip = self._settings.existing == "skip" and isinstance(error, ExistsError)
        if not isinstance(error, TiffinError):
            message = f"{item.frame}: {type(error).__name__}: {error}"
            wrapped = ReadError(message)
            wrapped.__cause__ = error
            error = wrapped
        self._ledger.settle(item.place, "skipped" if skip else "failed", error)

    def _put_empty(self, item: Named) -> None:
        frame = item.frame
        error = NoImageError(f"event {frame.seq_num} holds no image of {frame.field!r}")
        record = record_of(replace(frame, i=None), "skipped", error=error)
        self._ledger.put(item.place, record)

    def _say_surprise(self, frame: Frame, announced: int, found: int) -> None:
        key = (frame.run, frame.stream, frame.field)
        if key not in self._surprised:
            self._surprised.add(key)
            logger.warning(
                "run %s: the descriptor announces %d image(s) of %r an event, event %s "
                "holds %d: the event is right",
                frame.run[:8],
                announced,
                frame.field,
                frame.seq_num,
                found,
            )

    def _clear_leftovers(self, folder: Path) -> None:
        if folder not in self._cleared:
            self._cleared.add(folder)
            clear_leftovers(folder)


def _open(frame: Frame) -> Images:
    assert frame.pixels is not None  # noqa: S101 (such frames have no path)
    array = frame.pixels.open()
    if len(array.shape) < 2:
        message = f"{frame} is no image: its shape is {list(array.shape)}"
        raise ReadError(message)
    return images_in(array, frame.pixels)
