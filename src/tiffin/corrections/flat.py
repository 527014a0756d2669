"""Divide by a flat field, an image of uniform light."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.corrections.arithmetic import divide
from tiffin.corrections.checks import float64_number, set_fields
from tiffin.corrections.nearest_run import Order  # noqa: TC001 (get_type_hints)
from tiffin.corrections.references import (
    BadPixels,
    BoundReferences,
    PreparedReference,
    ReferenceCorrection,
    checksum,
    count_bad_pixels,
    mean_of,
)
from tiffin.errors import CorrectionError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiffin.corrections.base import Notes, ReferenceImages, RunView
    from tiffin.frames import Frame


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatField(ReferenceCorrection):
    """Divide by a flat field, scaled to a mean of 1.

    Exactly one of `file`, `stream` and `key` says where it comes from.

    Parameters
    ----------
    file : path, optional
        TIFF, NPY, or ``file.h5:/path/of/dataset``.
    stream : str, optional
        Stream of the same run. Each image uses the latest flat field before it, unless
        `order` says otherwise.
    key : str, optional
        Key of the start document that holds the uid of the flat field's run, or a list
        of uids, whose images are averaged.
    dark : path or float, optional
        Subtracted from the flat field first: a file, or a number [counts].
    catalog : object, optional
        Where runs are looked up; see `DarkSubtract`.
    dead : {"error", "keep"}
        Where the flat field, less its dark, is not above zero, the image fails, or
        these pixels keep their counts; a `Mask` after it can replace them.
    order : {"before", "nearest", "after"}
        Which flat field of a stream an image uses; see `DarkSubtract`.

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
    dead: BadPixels = "error"
    order: Order = "before"

    def __post_init__(self) -> None:
        self._check_source("a flat field", ("file", "stream", "key"))
        if self.order != "before" and self.stream is None:
            raise SettingsError(f"order={self.order!r} needs stream=")
        if self.dark is not None and not isinstance(self.dark, (str, os.PathLike)):
            set_fields(self, dark=float64_number("dark", self.dark))

    def bind(self, run: RunView) -> BoundFlat:
        """Return the correction, ready for the images of a run."""
        return BoundFlat(self, run)


class BoundFlat(BoundReferences):
    """A flat field of one run."""

    what = "flat field"

    def __call__(self, image: np.ndarray, frame: Frame, notes: Notes, /) -> np.ndarray:
        """Divide an image by the flat field."""
        stream = self._settings.stream
        if stream is not None and frame.stream == stream:
            return image
        with self._lock:
            references = self._find(frame)
            if not references:
                message = f"there is no flat field for {frame} ({self._settings})"
                raise CorrectionError(message)
            ready = self._prepared_average(frame, references, image.shape)
        notes.used += ready.notes
        return divide(image, ready.image)

    def _prepare(self, references: Sequence[ReferenceImages]) -> PreparedReference:
        mean = mean_of(references).astype(np.float64)
        mean = mean - self._dark(mean.shape)
        good = np.isfinite(mean) & (mean > 0)
        if not good.any():
            raise CorrectionError("the flat field has no pixel above zero")
        name = references[0].name
        notes: dict[str, Any] = {"flat": name, "checksum": checksum(mean)}
        what = "the flat field, less its dark, is not above zero everywhere"
        if bad := count_bad_pixels(mean, good, what, self._settings.dead):
            notes["dead"] = bad
        # A power of two is exact, and keeps the sum of huge values finite.
        mean = np.ldexp(mean, -np.frexp(mean[good].max())[1])
        flat = np.where(good, mean / mean[good].mean(), 1)
        flat.flags.writeable = False
        return PreparedReference(flat, name, [notes])

    def _dark(self, shape: tuple[int, ...]) -> Any:
        dark = self._settings.dark
        if dark is None or isinstance(dark, (int, float)):
            return dark or 0
        image = mean_of([self._run.of_file(str(dark))]).astype(np.float64)
        if image.shape != shape:
            message = f"the flat field has shape {shape}, its dark {image.shape}"
            raise CorrectionError(message)
        return image
