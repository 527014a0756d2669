"""Resource and Datum: files read through handlers that packages register.

A handler is found by the resource's spec, among those given by hand and else in the
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
from tiffin.readers import eiger
from tiffin.readers.eiger import EigerHandler, EigerSeries
from tiffin.readers.hdf5_reach import check_reach
from tiffin.readers.opened import Coloured, Opened
from tiffin.readers.places import RootMap
from tiffin.readers.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.axes import Hints

__all__ = ["DatumPixels", "Handlers"]

GROUP = "databroker.handlers"

MISTAKEN = "area_detector_handlers."
"""Whose handler of Eiger files is right for data files of one image only."""


WIDE = re.compile(r"(?:%|\{\w*:)[-+#0-9 .<>=^]*\d{4}")
"""A number of a thousand places or more in a template: no file's name has it."""


class Handlers:
    """Gives each resource its handler, and keeps the last few open.

    Parameters
    ----------
    roots : RootMap, optional
        For files recorded on another mount, and handlers given by hand.
    """

    def __init__(self, roots: RootMap | None = None) -> None:
        self._roots = roots or RootMap()
        self._external = self._roots.allow_external
        self._open: Recent[Opened] = Recent()
        self._lock = threading.RLock()

    def read(
        self, resource: Mapping[str, Any], datum_kwargs: Mapping[str, Any]
    ) -> tuple[np.ndarray | EigerSeries, dict[int, str]]:
        """Read what one datum points at.

        Parameters
        ----------
        resource : mapping
            A Resource document.
        datum_kwargs : mapping
            Of a Datum document.

        Returns
        -------
        array : ndarray or EigerSeries [counts]
            In the shape that the handler gives.
        lacking : dict of int to str
            Which rows of it the file does not have, and why.

        Raises
        ------
        ReadError
            If no handler is registered, or the handler fails.
        """
        # One at a time: no handler promises to be safe in threads, HDF5 isn't.
        with self._lock:
            opened = self._opened(resource)
            try:
                return opened.read(datum_kwargs)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # not even SystemExit ends more than a frame
                if self.forget(resource):
                    return self.read(resource, datum_kwargs)
                raise self._unreadable(resource, error) from error

    def factory(self, spec: str) -> Any:
        """Find the handler for a spec: one given by hand, or a registered one.

        Raises
        ------
        ReadError
            If there is none.
        """
        given = self._roots.handlers.get(spec)
        return registered(spec) if given is None else given

    def forget(self, resource: Mapping[str, Any]) -> bool:
        """Close a handler; it is made anew: the file may have grown by then.

        Returns
        -------
        bool
            Whether it had been asked before, so that a new one may know more by now.
        """
        with self._lock:
            opened = self._open.forget(resource["uid"])
            return opened is not None and opened.asked > 1

    def close(self) -> None:
        """Close every handler that can be closed."""
        with self._lock:
            self._open.close()

    def _opened(self, resource: Mapping[str, Any]) -> Opened:
        factory = self.factory(resource["spec"])

        def make() -> Opened:
            options, allowed = resource.get("resource_kwargs", {}), self._external
            try:
                path = self._path(resource)
                check_reach(Path(path), allowed)
                _check_template(options)
                if factory is EigerHandler:
                    return Opened(EigerHandler(path, allowed=allowed, **options))
                return Opened(factory(path, **options), allowed)
            except (ReadError, KeyboardInterrupt):
                raise
            except BaseException as error:  # as above
                raise self._unreadable(resource, error) from error

        return self._open.get(resource["uid"], make)

    def _path(self, resource: Mapping[str, Any]) -> str:
        root, path = str(resource.get("root", "")), str(resource["resource_path"])
        # Joined as databroker joins them: an absolute path stands for itself.
        if resource.get("path_semantics") == "windows":
            joined = ntpath.join(root, path).replace("\\", "/")
        else:
            joined = os.path.join(root, path)  # noqa: PTH118 (as databroker does)
        return str(self._roots.path(joined))

    def _unreadable(
        self, resource: Mapping[str, Any], error: BaseException
    ) -> TiffinError:
        if isinstance(error, TiffinError):
            return error
        kind, path = type(error).__name__, self._path(resource)
        message = f"{resource['spec']} at {path} can't be read: {kind}: {error}"
        if isinstance(error, FileNotFoundError):
            message += "; root_map= can tell where files of another mount are here"
        return NotYetError(message)


@dataclass(slots=True, eq=False)
class DatumPixels:
    """The images that one datum points at."""

    handlers: Handlers
    resource: Mapping[str, Any]
    datum_kwargs: Mapping[str, Any]
    shape: tuple[int, ...] | None
    dtype: np.dtype | None
    hints: Hints
    held: int = field(default=0, init=False)

    def open(self) -> Any:
        """Read them; shape (..., rows, columns) [counts].

        Those that are announced and not there, or not written, are not there yet.
        """
        while True:
            images = self._read()
            if not isinstance(images, PartlyThere):
                return images
            if not self.handlers.forget(self.resource):
                return images

    def _read(self) -> Any:
        array, lacking = self.handlers.read(self.resource, self.datum_kwargs)
        if array.ndim < 2:
            return array
        colour = isinstance(array, Coloured)
        at = place(array.shape, self.hints, last_is_colour=colour)
        dimensions = len(at)
        found = math.prod(array.shape) // (math.prod(array.shape[k] for k in at) or 1)
        announced = self._announced(array, dimensions)
        absent = _images_in_rows(lacking, array.shape[0], found)
        self._refuse_surplus(found, array.shape)
        if found < announced:
            reason = f"the file holds {found} of {announced} images"
            absent |= dict.fromkeys(range(found, announced), reason)
        if not absent:
            return array
        if at != tuple(range(array.ndim - dimensions, array.ndim)):
            message = f"{self.resource['spec']} at {self.resource['resource_path']}"
            raise NotYetError(f"{message}: {next(iter(absent.values()))}")
        flat: Any = array
        if isinstance(array, np.ndarray):
            flat = array.reshape(found, *array.shape[-dimensions:])
        where = f"{self.resource['spec']} at {self.resource['resource_path']}"
        return PartlyThere(flat, max(found, announced), absent, where)

    def _refuse_surplus(self, found: int, shape: tuple[int, ...]) -> None:
        """Refuse more images than an event has, where that is known for certain.

        An announcement of one image may be an older one, which left out the others; and
        where sizes disagree, it says nothing of numbers.
        """
        hints, options = self.hints, self.resource.get("resource_kwargs") or {}
        said = math.prod(hints.lead) if len(hints.sizes) > 2 else 0
        agree = all(hints.image) and sorted(hints.image[:2]) == sorted(shape[-2:])
        if (
            not said
            or not agree
            or found <= said
            or found == options.get("frame_per_point")
        ):
            return
        where = f"{self.resource['spec']} at {self.resource['resource_path']}"
        message = (
            f"{where}: the handler gives {found} images for an event of which {said} "
            f"are announced: which of them are meant is not known; where some "
            f"are a colour's planes, tell it with colour={hints.field!r} or axes='cyx'"
        )
        raise ReadError(message)

    def _announced(self, array: Any, dimensions: int) -> int:
        """Count the images that must be there.

        An announced shape is often wrong otherwise: its axes in another order, or one
        for samples. So what has as many numbers as announced has all of them.
        """
        shape = self.shape or ()
        if not shape:
            return int(getattr(array, "expected", 0))
        if len(shape) <= dimensions or array.size >= math.prod(shape):
            return 0
        return math.prod(shape[:-dimensions])


class PartlyThere:
    """Images of which some are not there yet: asking for one of those says so.

    Parameters
    ----------
    array : array-like, shape (images, rows, columns[, samples]) [counts]
    images : int
        How many there are to be; no less than there are.
    absent : mapping of int to str
        Image → why it is not there.
    where : str
        What is read.
    """

    def __init__(
        self, array: Any, images: int, absent: Mapping[int, str], where: str
    ) -> None:
        self._array = array
        self._absent = absent
        self._where = where
        self.colour = isinstance(array, Coloured)
        self.shape = (images, *array.shape[1:])

    def __getitem__(self, key: Any) -> np.ndarray:
        """Return a part; the first index chooses the image."""
        first = key[0] if isinstance(key, tuple) else key
        chosen = np.atleast_1d(np.arange(self.shape[0])[first])
        absent = next((int(i) for i in chosen if int(i) in self._absent), None)
        if absent is not None:
            message = f"{self._where}: image {absent} is not there (yet)"
            raise NotYetError(f"{message}: {self._absent[absent]}")
        part: np.ndarray = self._array[key]
        return part

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Return all of them, if they are there."""
        return np.array(self[:], dtype=dtype, copy=copy)


def _images_in_rows(
    lacking: Mapping[int, str], rows: int, images: int
) -> dict[int, str]:
    """Tell of images what is known of rows, each of which may hold a few."""
    held = images // rows if rows else 0
    return {
        row * held + k: reason
        for row, reason in lacking.items()
        if row < rows
        for k in range(held)
    }


def _check_template(options: Mapping[str, Any]) -> None:
    template = options.get("template")
    if isinstance(template, str) and WIDE.search(template):
        message = f"the template {template[:80]!r} can't number files: it is too wide"
        raise ReadError(message)


def registered(spec: str) -> Any:
    """Find the handler for a spec.

    Raises
    ------
    ReadError
        Naming the spec and the entry-point group, if there is none.
    """
    found = _entry_points().get(spec)
    if spec in eiger.SPECS and (found is None or found.value.startswith(MISTAKEN)):
        return EigerHandler
    if found is None:
        message = (
            f"no handler is registered for spec {spec!r}: pip install 'tiffin[all]' "
            f"brings those of area detectors and ophyd; others come with their own "
            f"package, or register one in the entry-point group {GROUP!r}, or give it "
            f"by hand with handlers="
        )
        raise UnknownFormatError(message + did_you_mean(spec, _entry_points()))
    try:
        return _loaded(found)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # not even SystemExit ends more than a frame
        why = f"{type(error).__name__}: {error}"
        message = (
            f"the handler for spec {spec!r} ({found.value}) can't be loaded: {why}; "
            f"pip install 'tiffin[all]' brings what most handlers need"
        )
        raise UnknownFormatError(message) from error


@cache
def _loaded(entry: EntryPoint) -> Any:
    """Import what an entry point names, once: it is asked for at each datum."""
    return entry.load()


@cache
def _entry_points() -> dict[str, Any]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
