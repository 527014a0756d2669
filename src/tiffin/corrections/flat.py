"""Divide by a flat field: what the detector gives where all pixels get the same."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tiffin.corrections.arithmetic import divide, prepare_flat
from tiffin.corrections.numbers import check_text, double
from tiffin.corrections.order import Order, check_order, taken_from_stream
from tiffin.corrections.references import (
    check_alive,
    fingerprint,
    mean_of,
    uids_in,
)
from tiffin.errors import CorrectionError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiffin.corrections.step import Notes, Reference, RunView
    from tiffin.frames import Frame

__all__ = ["FlatField"]

SOURCES = ("file", "stream", "key")

HUGE = 900
"""Flat fields beyond 2**900, or below 2**-900, are scaled by a power of two first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatField:
    """Divide by a flat field, scaled so that its mean is 1.

    Exactly one of `file`, `stream` and `key` says where it comes from.

    Parameters
    ----------
    file : path, optional
        TIFF, NPY, or ``file.h5:/path/of/dataset``.
    stream : str, optional
        Stream of the same run; the latest before each image, unless `order` says
        otherwise.
    key : str, optional
        Key of the start document that holds the uid of the flat field's run, or a list
        of uids, which are averaged.
    dark : path or float, optional
        What is taken off the flat field first: a file, or a number [counts].
    catalog : object, optional
        Where runs are looked up; see `DarkSubtract`.
    dead : {"error", "keep"}
        What becomes of an image where the flat field is zero, below zero, or no number:
        it fails, or those pixels stay as they were counted; a `Mask` behind replaces
        them.
    order : {"before", "nearest", "after"}
        Which of a stream's flat fields an image takes; see `DarkSubtract`.

    Examples
    --------
    >>> str(FlatField(file="flat.tif", dark=100))
    "FlatField(file='flat.tif', dark=100)"
    """

    file: str | None = None
    stream: str | None = None
    key: str | None = None
    dark: Any = None
    catalog: Any = None
    dead: Literal["error", "keep"] = "error"
    order: Order = "before"

    def __post_init__(self) -> None:
        chosen = [name for name in SOURCES if getattr(self, name) is not None]
        if len(chosen) != 1:
            message = (
                f"a flat field comes from one of {', '.join(SOURCES)}, "
                f"not from {' and '.join(chosen) or 'nowhere'}"
            )
            raise SettingsError(message)
        for name in ("key", "stream", "file"):
            check_text(name, getattr(self, name))
        if self.file is not None:
            object.__setattr__(self, "file", str(self.file))
        if self.dead not in ("error", "keep"):
            message = f"dead is 'error' or 'keep', not {self.dead!r}"
            raise SettingsError(message)
        if check_order(self.order) != "before" and self.stream is None:
            message = f"order={self.order!r} goes with stream="
            raise SettingsError(message)
        dark: Any = self.dark
        if dark is not None and not isinstance(dark, (str, os.PathLike)):
            object.__setattr__(self, "dark", double("dark", dark))

    def __str__(self) -> str:
        names = (*SOURCES, "dark")
        told = [
            f"{n}={getattr(self, n)!r}" for n in names if getattr(self, n) is not None
        ]
        if self.dead != "error":
            told.append(f"dead={self.dead!r}")
        if self.order != "before":
            told.append(f"order={self.order!r}")
        return f"FlatField({', '.join(told)})"

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams of a run that must be followed for it."""
        return () if self.stream is None else (self.stream,)

    def bind(self, run: RunView) -> BoundFlat:
        """Prepare it for a run."""
        return BoundFlat(self, run)


class BoundFlat:
    """A flat field of one run. Safe in threads."""

    def __init__(self, step: FlatField, run: RunView) -> None:
        self._step = step
        self._run = run
        self._prepared: dict[Any, tuple[Any, tuple[int, ...], dict[str, Any]]] = {}
        self._lock = threading.RLock()

    def __str__(self) -> str:
        return str(self._step)

    def __call__(self, image: np.ndarray, frame: Frame, notes: Notes, /) -> np.ndarray:
        """Divide an image by the flat field."""
        if self._step.stream is not None and frame.stream == self._step.stream:
            return image
        with self._lock:
            references = self._references(frame)
            key = tuple(id(r) for r in references)
            if key not in self._prepared:
                self._prepared[key] = self._prepare(references)
            flat, shape, told = self._prepared[key]
        if shape != image.shape:
            message = (
                f"the flat field has shape {shape}, the image ({frame}) {image.shape}"
            )
            raise CorrectionError(message)
        notes.used.append(told)
        result: np.ndarray = divide(image, flat)
        return result

    def _references(self, frame: Frame) -> Sequence[Reference]:
        step = self._step
        found: Sequence[Reference] = []
        if step.file is not None:
            found = [self._file(step.file)]
        elif step.stream is not None:
            found = taken_from_stream(
                self._run, step.stream, frame, step.order, "flat field"
            )
        else:
            uids = uids_in(self._run.start.get(str(step.key)))
            found = [r for uid in uids for r in self._of_run(uid, frame)]
        if not found:
            message = f"there is no flat field for {frame} ({step})"
            raise CorrectionError(message)
        return found

    def _file(self, path: str) -> Reference:
        if path not in self._prepared:
            self._prepared[path] = (self._run.of_file(path), (), {})
        reference: Reference = self._prepared[path][0]
        return reference

    def _of_run(self, uid: str, frame: Frame) -> Sequence[Reference]:
        key = (uid, frame.field)
        if key not in self._prepared:
            found = self._run.of_run(uid, frame.field, self._step.catalog)
            self._prepared[key] = (found, (), {})
        references: Sequence[Reference] = self._prepared[key][0]
        return references

    def _dark(self, file: str, shape: tuple[int, ...]) -> np.ndarray:
        """Read what the flat field itself is to be rid of."""
        dark = mean_of([self._run.of_file(file)]).astype(np.float64)
        if dark.shape != shape:
            message = f"the flat field has shape {shape}, its dark {dark.shape}"
            raise CorrectionError(message)
        return dark

    def _prepare(
        self, references: Sequence[Reference]
    ) -> tuple[Any, tuple[int, ...], dict[str, Any]]:
        mean = mean_of(references).astype(np.float64)
        dark = self._step.dark
        if isinstance(dark, (int, float)):
            mean = mean - dark
        elif dark is not None:
            mean = mean - self._dark(str(dark), mean.shape)
        alive = np.isfinite(mean) & (mean > 0)
        if not alive.any():
            message = "the flat field has no pixel above zero"
            raise CorrectionError(message)
        told: dict[str, Any] = {"flat": references[0].name}
        told["checksum"] = fingerprint(mean)
        why = "the flat field, less its dark, is not above zero everywhere"
        dead = check_alive(mean, alive, why, self._step.dead)
        if dead:
            told["dead"] = dead
        flat = prepare_flat(_relative(mean, alive), mask=~alive)
        return flat, mean.shape, told


def _relative(mean: np.ndarray, alive: np.ndarray) -> np.ndarray:
    """Scale a flat field so that its mean is 1."""
    exponent = int(np.frexp(mean[alive].max())[1])
    if abs(exponent) > HUGE:  # the sum would overflow, or the mean lose digits
        mean = np.ldexp(mean, -exponent)
    scaled: np.ndarray = mean / mean[alive].mean()
    return scaled
