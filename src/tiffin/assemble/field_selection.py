"""Which of a run's images are asked for, and how they are to be seen."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tiffin.assemble.data_keys import axis_hints, image_fields, may_be_image
from tiffin.assemble.documents import is_image_value
from tiffin.axes import Axes
from tiffin.dtypes import COMPLEX_ADVICE
from tiffin.errors import DtypeError, TiffinError
from tiffin.frames import too_large

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from tiffin.axes import Hints
    from tiffin.frames import Pixels

__all__ = ["FieldSelection"]

MOST_HINTS = 256
"""Fields whose hints are remembered."""

REAL = "biuf"
"""Kinds of numbers that a TIFF holds, or that a cast may mend."""


@dataclass(slots=True, kw_only=True)
class FieldSelection:
    """What is asked for; see `Assembler`.

    Attributes
    ----------
    fields, streams : tuple of str or None
        None means every one.
    axes : Axes
        What the user says of arrays' axes.
    corrected : bool
    cast : numpy.dtype or None
        What images are cast to in the end.
    """

    fields: tuple[str, ...] | None
    streams: tuple[str, ...] | None
    axes: Axes = dataclasses.field(default_factory=Axes)
    corrected: bool = True
    cast: np.dtype | None = None
    _hints: dict[str, tuple[Mapping[str, Any], Hints]] = dataclasses.field(
        default_factory=dict, init=False
    )
    _latest: tuple[Mapping[str, Any] | None, list[str]] = dataclasses.field(
        default=(None, []), init=False
    )

    def has_stream(self, name: str) -> bool:
        """Whether a stream is asked for."""
        return self.streams is None or name in self.streams

    def fields_in(
        self, data: Mapping[str, Any], data_keys: Mapping[str, Any]
    ) -> list[str]:
        """Return the fields of an event that are asked for, announced or there."""
        if self.fields is not None:
            return [name for name in self.fields if name in data_keys or name in data]
        names = self._announced_in(data_keys)
        return names + [
            n for n, v in data.items() if n not in names and is_image_value(v)
        ]

    def announced(self, data_keys: Mapping[str, Any]) -> list[str]:
        """Return the fields that are asked for, and announced as images."""
        names = image_fields(data_keys)
        return [n for n in names if self.fields is None or n in self.fields]

    def has_streamed(self, name: str, data_keys: Mapping[str, Any]) -> bool:
        """Whether a field that stream datums tell of is asked for, and may be images.

        What is asked for and is none is said at the end of the run.
        """
        if self.fields is None:
            return name in image_fields(data_keys)
        return name in self.fields and may_be_image(data_keys.get(name, {}))

    def hints(self, name: str, data_key: Mapping[str, Any]) -> Hints:
        """Return what is known of the axes of a field's array."""
        known = self._hints.get(name)
        if known is None or known[0] is not data_key:
            if len(self._hints) >= MOST_HINTS:
                self._hints.clear()
            known = self._hints[name] = data_key, axis_hints(self.axes, name, data_key)
        return known[1]

    def _announced_in(self, data_keys: Mapping[str, Any]) -> list[str]:
        """Return the fields announced as images; most events follow their like."""
        if self._latest[0] is not data_keys:
            self._latest = data_keys, image_fields(data_keys)
        return self._latest[1]

    def checked(
        self, pixels: Pixels | TiffinError, *, announced: bool = False
    ) -> Pixels | TiffinError:
        """Refuse an event's images, all at once, if no TIFF can ever hold them.

        Parameters
        ----------
        pixels : Pixels or TiffinError
        announced : bool
            Whether their dtype is a descriptor's word alone. Text may then be what a
            reference is, and is not believed; nobody announces complex numbers for
            nothing.
        """
        if self.corrected or isinstance(pixels, TiffinError):
            return pixels
        dtype = pixels.dtype
        shape = (pixels.shape or ())[-len(pixels.hints.at) :]
        itemsize = getattr(self.cast or dtype, "itemsize", 1)
        large = too_large(shape, math.prod(shape) * itemsize) if shape else None
        if large is not None:
            return DtypeError(large)
        if dtype is None or dtype.kind in REAL or (announced and dtype.kind != "c"):
            return pixels
        if dtype.kind == "c":
            return DtypeError(f"pixels of dtype {dtype} have no TIFF: {COMPLEX_ADVICE}")
        return DtypeError(f"no TIFF holds pixels of dtype {dtype}")
