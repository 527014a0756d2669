"""Read what a descriptor declares of its fields, and select those to export.

Declarations are hints, because the array itself decides. A malformed one is ignored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.array_images import too_large
from tiffin.assemble.document_copies import is_image_value
from tiffin.assemble.malformed import MALFORMED, parse_int
from tiffin.dtypes import COMPLEX_ADVICE
from tiffin.errors import DtypeError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.axes import ArrayHints, Axes
    from tiffin.frames import Pixels

MAX_IMAGES = 10**7
"""The most images of an event that are believed: a quarter of an hour at 10 kHz."""

MAX_SIZE = 2**32
"""No TIFF has as many rows or columns."""

SCALARS = ("number", "integer", "string", "boolean")
"""The ``dtype`` of a data key that is not an array."""


@dataclass(frozen=True, slots=True)
class DeclaredImages:
    """The images that a descriptor declares of the selected fields."""

    start: Mapping[str, Any]
    descriptor: Mapping[str, Any]
    images: Mapping[str, int]  # field → images in an event


def declared_sizes(data_key: Mapping[str, Any]) -> tuple[int, ...]:
    """Return the declared shape, with 0 for each unknown size; () if there is none.

    Examples
    --------
    >>> declared_sizes({"shape": [3, None, "9"]}), declared_sizes({"shape": "abc"})
    ((3, 0, 9), ())
    >>> declared_sizes({"shape": [9, 6, 0]})
    (6, 9)
    """
    shape = data_key.get("shape")
    if not isinstance(shape, (list, tuple)):
        return ()
    sizes = tuple(map(_size, shape))
    last = shape[-1] if shape else None
    if len(sizes) > 2 and sizes[-2] and isinstance(last, (int, float)) and last == 0:
        # ophyd before July 2019 declared (columns, rows, 0).
        sizes = (*sizes[:-3], sizes[-2], sizes[-3])
    if math.prod(sizes[:-2]) > MAX_IMAGES:
        return (0,) * len(sizes[:-2]) + sizes[-2:]
    return sizes


def _size(value: Any) -> int:
    try:
        size = parse_int(value)
    except MALFORMED:
        return 0
    return size if 0 < size < MAX_SIZE else 0


def declared_dtype(data_key: Mapping[str, Any]) -> np.dtype | None:
    """Return the dtype in ``dtype_numpy``, None if it is missing or invalid."""
    declared = data_key.get("dtype_numpy")
    if not isinstance(declared, str):
        return None
    try:
        return np.dtype(declared)
    except (TypeError, ValueError, SyntaxError):  # numpy raises any of them
        return None


def axis_hints(axes: Axes, name: str, data_key: Mapping[str, Any]) -> ArrayHints:
    """Combine the user's axes and the declaration of a field."""
    sizes, dims = declared_sizes(data_key), data_key.get("dims")
    return axes.hints(name, sizes, dims, external=_is_external(data_key))


def is_streamed(data_key: Mapping[str, Any]) -> bool:
    """Return whether stream datums, not events, have the data of a field."""
    return str(data_key.get("external", "")).startswith("STREAM:")


def declares_image(data_key: Mapping[str, Any]) -> bool:
    """Return whether two or more dimensions are declared.

    An external array with a malformed shape counts too, so that it is looked at.
    """
    shape = data_key.get("shape")
    if isinstance(shape, (list, tuple)):
        return len(shape) >= 2
    return shape is not None and _is_external(data_key)


def image_fields(data_keys: Mapping[str, Any]) -> list[str]:
    """Return the fields that are declared as images.

    If there is none, return the external arrays: some handlers declare ``[]`` or
    ``[n]`` for images.
    """
    declared = [name for name, key in data_keys.items() if declares_image(key)]
    return declared or [
        name
        for name, key in data_keys.items()
        if str(key.get("dtype")) not in SCALARS and _is_external(key)
    ]


def _is_external(data_key: Mapping[str, Any]) -> bool:
    return str(data_key.get("external", "")) not in ("", "None", "False")


@dataclass(slots=True, kw_only=True)
class FieldSelection:
    """The fields and streams that are exported; see `Assembler` for the attributes."""

    fields: tuple[str, ...] | None
    streams: tuple[str, ...] | None
    axes: Axes
    corrected: bool
    cast: np.dtype | None
    _hints: dict[str, tuple[Mapping[str, Any], ArrayHints]] = field(
        default_factory=dict
    )
    _latest: tuple[Mapping[str, Any] | None, list[str]] = (None, [])
    _checked: tuple[Any, ...] = ()

    def has_stream(self, name: str) -> bool:
        """Return whether a stream is selected."""
        return self.streams is None or name in self.streams

    def in_event(
        self, data: Mapping[str, Any], data_keys: Mapping[str, Any]
    ) -> list[str]:
        """Return the selected fields of an event, declared or not."""
        if self.fields is not None:
            return [name for name in self.fields if name in data_keys or name in data]
        declared = self._image_fields(data_keys)
        others = [n for n in data if n not in declared and is_image_value(data[n])]
        return declared + others

    def declared(self, data_keys: Mapping[str, Any]) -> list[str]:
        """Return the selected fields that are declared as images."""
        names = self._image_fields(data_keys)
        return [n for n in names if self.fields is None or n in self.fields]

    def has_streamed(self, name: str, data_keys: Mapping[str, Any]) -> bool:
        """Return whether a field of stream datums is selected, and may hold images."""
        if self.fields is None:
            return name in self._image_fields(data_keys)
        data_key = data_keys.get(name, {})
        unknown = data_key.get("shape") is None or _is_external(data_key)
        return name in self.fields and (unknown or declares_image(data_key))

    def hints(self, name: str, data_key: Mapping[str, Any]) -> ArrayHints:
        """Return what is known of the axes of a field's array."""
        cached = self._hints.get(name)
        if cached is None or cached[0] is not data_key:
            if len(self._hints) >= 256:
                self._hints.clear()
            cached = self._hints[name] = data_key, axis_hints(self.axes, name, data_key)
        return cached[1]

    def _image_fields(self, data_keys: Mapping[str, Any]) -> list[str]:
        if self._latest[0] is not data_keys:  # most documents share a descriptor
            self._latest = data_keys, image_fields(data_keys)
        return self._latest[1]

    def check(self, pixels: Pixels, *, declared: bool) -> Pixels:
        """Refuse all images of an event at once if they can't be written as TIFF.

        If their dtype is only `declared`, then only complex numbers are refused.
        """
        if self.corrected:
            return pixels
        kind = pixels.shape, pixels.dtype, pixels.hints, declared
        if kind != self._checked:  # most images are as the one before
            self._check(pixels, declared=declared)
            self._checked = kind
        return pixels

    def _check(self, pixels: Pixels, *, declared: bool) -> None:
        dtype = pixels.dtype
        shape = (pixels.shape or ())[-len(pixels.hints.image_axes) :]
        itemsize = getattr(self.cast or dtype, "itemsize", 1)
        large = too_large(shape, math.prod(shape) * itemsize) if shape else None
        if large is not None:
            raise DtypeError(large)
        if dtype is not None and dtype.kind == "c":
            message = f"TIFF can't hold pixels of dtype {dtype}: {COMPLEX_ADVICE}"
            raise DtypeError(message)
        if dtype is not None and not declared and dtype.kind not in "biuf":
            message = f"TIFF can't hold pixels of dtype {dtype}"
            raise DtypeError(message)
