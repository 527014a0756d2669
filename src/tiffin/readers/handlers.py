"""Resource and Datum: files read through handlers that packages register.

A handler is found by the resource's spec in the entry-point group
``databroker.handlers``, made once for each resource, and called for each datum.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import (
    NotYetError,
    TiffinError,
    UnknownFormatError,
    did_you_mean,
)
from tiffin.readers.places import RootMap
from tiffin.readers.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DatumPixels", "Handlers"]

GROUP = "databroker.handlers"


class Handlers:
    """Gives each resource its handler, and keeps the last few open.

    Parameters
    ----------
    roots : RootMap, optional
        For files recorded on another mount.
    """

    def __init__(self, roots: RootMap | None = None) -> None:
        self._roots = roots or RootMap()
        self._open: Recent[Any] = Recent()
        self._lock = threading.RLock()

    def read(self, resource: Mapping[str, Any], datum_kwargs: Mapping[str, Any]) -> Any:
        """Read what one datum points at.

        Parameters
        ----------
        resource : mapping
            A Resource document.
        datum_kwargs : mapping
            Of a Datum document.

        Returns
        -------
        ndarray [counts]
            In the shape that the handler gives.

        Raises
        ------
        ReadError
            If no handler is registered, or the handler fails.
        """
        # One at a time: no handler promises to be safe in threads, HDF5 isn't.
        with self._lock:
            handler = self._handler(resource)
            try:
                return np.asarray(handler(**datum_kwargs))
            except Exception as error:
                # Made anew when it is asked again: the file may have grown by then.
                self._open.forget(resource["uid"])
                raise self._unreadable(resource, error) from error

    def close(self) -> None:
        """Close every handler that can be closed."""
        with self._lock:
            self._open.close()

    def _handler(self, resource: Mapping[str, Any]) -> Any:
        factory = registered(resource["spec"])

        def make() -> Any:
            options = resource.get("resource_kwargs", {})
            try:
                return factory(self._path(resource), **options)
            except Exception as error:
                raise self._unreadable(resource, error) from error

        return self._open.get(resource["uid"], make)

    def _path(self, resource: Mapping[str, Any]) -> str:
        root, path = str(resource.get("root", "")), str(resource["resource_path"])
        if resource.get("path_semantics") == "windows":
            root, path = root.replace("\\", "/"), path.replace("\\", "/")
        # Joined as databroker joins them: an absolute path stands for itself.
        return str(self._roots.path(os.path.join(root, path)))  # noqa: PTH118

    def _unreadable(self, resource: Mapping[str, Any], error: Exception) -> TiffinError:
        kind, path = type(error).__name__, self._path(resource)
        message = f"{resource['spec']} at {path} can't be read: {kind}: {error}"
        return NotYetError(message)


@dataclass(slots=True, eq=False)
class DatumPixels:
    """The images that one datum points at."""

    handlers: Handlers
    resource: Mapping[str, Any]
    datum_kwargs: Mapping[str, Any]
    shape: tuple[int, ...] | None
    dtype: np.dtype | None
    colour: bool = False
    held: int = field(default=0, init=False)

    def open(self) -> Any:
        """Read them; shape (..., rows, columns) [counts]."""
        return self.handlers.read(self.resource, self.datum_kwargs)


def registered(spec: str) -> Any:
    """Find the handler for a spec.

    Raises
    ------
    ReadError
        Naming the spec and the entry-point group, if there is none.
    """
    found = _entry_points().get(spec)
    if found is None:
        message = (
            f"no handler is registered for spec {spec!r}: install the package that "
            f"brings it, or register one in the entry-point group {GROUP!r}"
        )
        raise UnknownFormatError(message + did_you_mean(spec, _entry_points()))
    try:
        return found.load()
    except Exception as error:
        message = (
            f"the handler for spec {spec!r} ({found.value}) can't be loaded: {error}; "
            f"pip install 'tiffin[all]' brings what most handlers need"
        )
        raise UnknownFormatError(message) from error


@cache
def _entry_points() -> dict[str, Any]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}
