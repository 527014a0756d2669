"""Choose which images of a run are exported."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tiffin.assemble.data_keys import axis_hints, image_fields, may_be_image
from tiffin.assemble.documents import is_image_value
from tiffin.axes import Axes
from tiffin.dtypes import COMPLEX_ADVICE
from tiffin.errors import DtypeError
from tiffin.frames import too_large

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from tiffin.axes import Hints
    from tiffin.frames import Pixels

__all__ = ["FieldSelection"]

MAX_CACHED_HINTS = 256


@dataclass(slots=True, kw_only=True)
class FieldSelection:
    """The fields and streams that are exported; see `Assembler` for the attributes."""

    fields: tuple[str, ...] | None
    streams: tuple[str, ...] | None
    axes: Axes = field(default_factory=Axes)
    corrected: bool = True
    cast: np.dtype | None = None
    _hints: dict[str, tuple[Mapping[str, Any], Hints]] = field(
        default_factory=dict, init=False
    )
    _latest: tuple[Mapping[str, Any] | None, list[str]] = field(
        default=(None, []), init=False
    )

    def has_stream(self, name: str) -> bool:
        """Return whether a stream is selected."""
        return self.streams is None or name in self.streams

    def in_event(
        self, data: Mapping[str, Any], data_keys: Mapping[str, Any]
    ) -> list[str]:
        """Return the selected fields of an event, declared or not."""
        if self.fields is not None:
            return [name for name in self.fields if name in data_keys or name in data]
        if self._latest[0] is not data_keys:  # most events share a descriptor
            self._latest = data_keys, image_fields(data_keys)
        declared = self._latest[1]
        others = [n for n in data if n not in declared and is_image_value(data[n])]
        return declared + others

    def declared(self, data_keys: Mapping[str, Any]) -> list[str]:
        """Return the selected fields that are declared as images."""
        names = image_fields(data_keys)
        return [n for n in names if self.fields is None or n in self.fields]

    def has_streamed(self, name: str, data_keys: Mapping[str, Any]) -> bool:
        """Return whether a field of stream datums is selected, and may hold images."""
        if self.fields is None:
            return name in image_fields(data_keys)
        return name in self.fields and may_be_image(data_keys.get(name, {}))

    def hints(self, name: str, data_key: Mapping[str, Any]) -> Hints:
        """Return what is known of the axes of a field's array."""
        cached = self._hints.get(name)
        if cached is None or cached[0] is not data_key:
            if len(self._hints) >= MAX_CACHED_HINTS:
                self._hints.clear()
            cached = self._hints[name] = data_key, axis_hints(self.axes, name, data_key)
        return cached[1]

    def check(self, pixels: Pixels, *, declared: bool) -> Pixels:
        """Refuse all images of an event at once if they can't be written as TIFF.

        Parameters
        ----------
        pixels : Pixels
        declared : bool
            Whether their dtype is only declared. Then only complex numbers are refused.

        Raises
        ------
        DtypeError
        """
        if self.corrected:
            return pixels
        dtype = pixels.dtype
        shape = (pixels.shape or ())[-len(pixels.hints.at) :]
        itemsize = getattr(self.cast or dtype, "itemsize", 1)
        large = too_large(shape, math.prod(shape) * itemsize) if shape else None
        if large is not None:
            raise DtypeError(large)
        if dtype is not None and dtype.kind == "c":
            message = f"no TIFF holds pixels of dtype {dtype}: {COMPLEX_ADVICE}"
            raise DtypeError(message)
        if dtype is not None and not declared and dtype.kind not in "biuf":
            message = f"no TIFF holds pixels of dtype {dtype}"
            raise DtypeError(message)
        return pixels
