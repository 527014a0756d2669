"""Read Resource and Datum documents, with handlers that packages register.

A handler is found by the resource's spec: among those given by the user, or else in the
entry-point group ``databroker.handlers``. It is made once for each resource, and called
for each datum.
"""

from __future__ import annotations

import math
import ntpath
import os
import re
import threading
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.axes import place
from tiffin.errors import (
    NotYetError,
    ReadError,
    TiffinError,
    UnknownFormatError,
    did_you_mean,
)
from tiffin.readers.caches import OpenFileCache
from tiffin.readers.eiger import SPECS, EigerHandler, EigerSeries
from tiffin.readers.hdf5_files import check_references
from tiffin.readers.open_handler import ColourArray, OpenHandler
from tiffin.readers.registry import load_entry_point
from tiffin.readers.root_map import RootMap

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.axes import ArrayHints

GROUP = "databroker.handlers"

REPLACED = "area_detector_handlers."
"""Its handler of Eiger files is right only if each data file has one image."""

TOO_WIDE = re.compile(r"(?:%|\{\w*:)[-+#0-9 .<>=^]*\d{4}")
"""A number of a thousand digits or more in a template: no file name has one."""


class Handlers:
    """Reads datums, and keeps the handlers of the last few resources open.

    `roots` are for files recorded on another mount, and have the user's handlers.
    """

    def __init__(self, roots: RootMap | None = None) -> None:
        self._roots = roots or RootMap()
        self._open: OpenFileCache[OpenHandler] = OpenFileCache()
        self._lock = threading.RLock()

    def read(
        self, resource: Mapping[str, Any], datum_kwargs: Mapping[str, Any]
    ) -> tuple[np.ndarray | EigerSeries, dict[int, str]]:
        """Return what a datum refers to, and which rows the file lacks, and why.

        `ReadError` is raised if no handler is registered, or if the handler fails.
        """
        # One at a time: neither HDF5 nor handlers are safe in threads.
        with self._lock:
            handler = self._opened(resource)
            try:
                return handler.read(datum_kwargs)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # even one that exits fails only its frames
                if self.forget(resource):
                    return self.read(resource, datum_kwargs)
                raise self._read_error(resource, error) from error

    def factory(self, spec: str) -> Any:
        """Return the handler class for a spec, or raise `UnknownFormatError`.

        A class given by the user overrides a registered one.
        """
        given = self._roots.handlers.get(spec)
        return registered(spec) if given is None else given

    def forget(self, resource: Mapping[str, Any]) -> bool:
        """Close a handler, and return whether opening it again may find more."""
        with self._lock:
            handler = self._open.discard(resource["uid"])
            return handler is not None and handler.uses > 1

    def close(self) -> None:
        """Close every handler that can be closed."""
        with self._lock:
            self._open.close()

    def _opened(self, resource: Mapping[str, Any]) -> OpenHandler:
        factory = self.factory(resource["spec"])

        def open_handler() -> OpenHandler:
            options = resource.get("resource_kwargs", {})
            allowed = self._roots.allow_external
            try:
                path = self._path(resource)
                check_references(Path(path), allowed)
                _check_template(options.get("template"))
                if factory is EigerHandler:
                    return OpenHandler(EigerHandler(path, allowed=allowed, **options))
                return OpenHandler(factory(path, **options), allowed)
            except (ReadError, KeyboardInterrupt):
                raise
            except BaseException as error:  # as above
                raise self._read_error(resource, error) from error

        return self._open.get(resource["uid"], open_handler)

    def _path(self, resource: Mapping[str, Any]) -> str:
        root, path = str(resource.get("root", "")), str(resource["resource_path"])
        if resource.get("path_semantics") == "windows":
            joined = ntpath.join(root, path).replace("\\", "/")
        else:
            joined = os.path.join(root, path)  # noqa: PTH118 (as databroker does)
        return str(self._roots.path(joined))

    def _read_error(
        self, resource: Mapping[str, Any], error: BaseException
    ) -> TiffinError:
        if isinstance(error, TiffinError):
            return error
        kind, path = type(error).__name__, self._path(resource)
        message = f"{resource['spec']} at {path} can't be read: {kind}: {error}"
        if isinstance(error, FileNotFoundError):
            message += "; if files were recorded on another mount, use root_map="
        return NotYetError(message)


@dataclass(slots=True, eq=False)
class DatumPixels:
    """The images that one datum refers to."""

    handlers: Handlers
    resource: Mapping[str, Any]
    datum_kwargs: Mapping[str, Any]
    shape: tuple[int, ...] | None
    dtype: np.dtype | None
    hints: ArrayHints
    memory: int = field(default=0, init=False)

    def open(self) -> Any:
        """Read them; shape (..., rows, columns) [counts].

        Images that are declared but missing, or never written, raise `NotYetError`
        when they are asked for.
        """
        while True:
            images = self._read()
            if not isinstance(images, IncompleteImages):
                return images
            if not self.handlers.forget(self.resource):
                return images

    @property
    def _where(self) -> str:
        return f"{self.resource['spec']} at {self.resource['resource_path']}"

    def _read(self) -> Any:
        array, missing_rows = self.handlers.read(self.resource, self.datum_kwargs)
        if array.ndim < 2:
            return array
        colour = isinstance(array, ColourArray)
        at = place(array.shape, self.hints, last_is_colour=colour)
        axes = len(at)
        images = math.prod(array.shape) // (math.prod(array.shape[k] for k in at) or 1)
        self._refuse_surplus(images, array.shape)
        per_row = images // array.shape[0] if array.shape[0] else 0
        missing = {
            row * per_row + k: reason
            for row, reason in missing_rows.items()
            if row < array.shape[0]
            for k in range(per_row)
        }
        declared = self._declared_images(array, axes)
        if images < declared:
            reason = f"the file holds {images} of {declared} images"
            missing |= dict.fromkeys(range(images, declared), reason)
        if not missing:
            return array
        if at != tuple(range(array.ndim - axes, array.ndim)):
            raise NotYetError(f"{self._where}: {next(iter(missing.values()))}")
        flat: Any = array
        if isinstance(array, np.ndarray):
            flat = array.reshape(images, *array.shape[-axes:])
        return IncompleteImages(flat, max(images, declared), missing, self._where)

    def _refuse_surplus(self, images: int, shape: tuple[int, ...]) -> None:
        """Refuse more images than an event has, if that is known for certain.

        A descriptor that declares one image may be an older one, which left out the
        others; if the declared sizes are wrong, the declared number may be wrong too.
        """
        hints, options = self.hints, self.resource.get("resource_kwargs") or {}
        declared = math.prod(hints.lead) if len(hints.sizes) > 2 else 0
        agree = all(hints.image) and sorted(hints.image[:2]) == sorted(shape[-2:])
        if not declared or not agree or images <= declared:
            return
        if images != options.get("frame_per_point"):
            message = (
                f"{self._where}: the handler returned {images} images for an event, "
                f"but the descriptor declares {declared}: it is not clear which of "
                f"them to export; if some are the planes of a colour, set "
                f"colour={hints.field!r} or axes='cyx'"
            )
            raise ReadError(message)

    def _declared_images(self, array: Any, axes: int) -> int:
        """Return how many images must be there.

        A declared shape is often wrong: in the order of its axes, or with one for
        samples. So an array with at least as many numbers as declared is complete.
        """
        shape = self.shape or ()
        if not shape:
            return int(getattr(array, "expected", 0))
        if len(shape) <= axes or array.size >= math.prod(shape):
            return 0
        return math.prod(shape[:-axes])


class IncompleteImages:
    """Images, some of them missing: these raise an error when asked for.

    `images` is how many there must be, `missing` tells why one is missing.
    """

    def __init__(
        self, array: Any, images: int, missing: Mapping[int, str], where: str
    ) -> None:
        self._array = array
        self._missing = missing
        self._where = where
        self.colour = isinstance(array, ColourArray)
        self.shape = (images, *array.shape[1:])

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return a part; the first index chooses the image."""
        first = key[0] if isinstance(key, tuple) else key
        for image in np.atleast_1d(np.arange(self.shape[0])[first]).tolist():
            if image in self._missing:
                message = f"{self._where}: image {image} is not there (yet)"
                raise NotYetError(f"{message}: {self._missing[image]}")
        part: np.ndarray = self._array[key]
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return all of them, if they are there."""
        return np.array(self[:], dtype=dtype, copy=copy)


def _check_template(template: Any) -> None:
    if isinstance(template, str) and TOO_WIDE.search(template):
        message = f"the template {template[:80]!r} can't number files: it is too wide"
        raise ReadError(message)


def registered(spec: str) -> Any:
    """Return the registered handler class for a spec, or raise `UnknownFormatError`."""
    entry = _entry_points().get(spec)
    if spec in SPECS and (entry is None or entry.value.startswith(REPLACED)):
        return EigerHandler
    if entry is None:
        message = (
            f"no handler is registered for spec {spec!r}: pip install 'tiffin[all]' "
            f"brings those of area detectors and ophyd; others come with their own "
            f"package, or register one in the entry-point group {GROUP!r}, or give it "
            f"by hand with handlers="
        )
        raise UnknownFormatError(message + did_you_mean(spec, _entry_points()))
    return _loaded(entry, spec)


@cache
def _loaded(entry: EntryPoint, spec: str) -> Any:
    """Import a handler class once: it is asked for at each datum."""
    hint = "; pip install 'tiffin[all]' brings what most handlers need"
    return load_entry_point(entry, f"the handler for spec {spec!r}", hint)


@cache
def _entry_points() -> dict[str, Any]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
