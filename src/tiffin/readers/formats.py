"""Which reader reads a mimetype: a plug-in's, or one of ours."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from tiffin.errors import UnknownFormatError, did_you_mean

if TYPE_CHECKING:
    from tiffin.readers.rows import Opener

__all__ = ["opener"]

GROUP = "tiffin.readers"

OWN = {
    "application/x-hdf5": "tiffin.readers.hdf5:hdf5_rows",
    "image/tiff": "tiffin.readers.sequences:tiff_rows",
    "image/jpeg": "tiffin.readers.sequences:jpeg_rows",
    "application/x-npy": "tiffin.readers.sequences:npy_rows",
    "application/x-zarr": "tiffin.readers.zarr:ZarrRows",
    "application/zarr": "tiffin.readers.zarr:ZarrRows",
}
"""Mimetype, without ``multipart/related;type=`` → reader."""


def opener(mimetype: str) -> Opener:
    """Find the reader of a mimetype: a plug-in's, or our own.

    Raises
    ------
    UnknownFormatError
        Naming the mimetype and the entry-point group.
    """
    wanted = _readings(mimetype)
    for name in wanted:
        plug_in = plug_ins().get(name)
        if plug_in is not None:
            return _loaded(plug_in, mimetype)
        if name in OWN:
            module, _, function = OWN[name].partition(":")
            own: Opener = getattr(import_module(module), function)
            return own
    # An older stream resource has a spec instead.
    kind = "mimetype" if "/" in mimetype else "spec"
    message = (
        f"no reader for {kind} {mimetype!r}: register one in the entry-point group "
        f"{GROUP!r}"
    )
    raise UnknownFormatError(message + did_you_mean(wanted[-1], [*OWN, *plug_ins()]))


@cache
def plug_ins() -> dict[str, Any]:
    """Return the readers that packages register, by mimetype."""
    return {entry.name.casefold(): entry for entry in entry_points(group=GROUP)}


def _readings(mimetype: str) -> list[str]:
    """Return what a mimetype can be registered as, the most exact first.

    Case means nothing in it, and values of parameters may be quoted (RFC 2045).

    Examples
    --------
    >>> _readings('multipart/related; boundary=x; Type="Image/TIFF"')[1:]
    ['multipart/related;type=image/tiff', 'image/tiff']
    >>> _readings("Application/X-HDF5")
    ['application/x-hdf5', 'application/x-hdf5']
    """
    plain = mimetype.strip().casefold()
    main, *parameters = (part.strip() for part in plain.split(";"))
    pairs = (parameter.partition("=") for parameter in parameters)
    values = {name.strip(): value.strip().strip('"') for name, _, value in pairs}
    if main == "multipart/related" and "type" in values:
        inner = values["type"].strip()
        return [plain, f"{main};type={inner}", inner]
    return [plain, main]


def _loaded(plug_in: Any, mimetype: str) -> Opener:
    try:
        loaded: Opener = plug_in.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # not even SystemExit ends more than a frame
        why = f"{type(error).__name__}: {error}"
        message = (
            f"the reader for {mimetype!r} ({plug_in.value}) can't be loaded: {why}"
        )
        raise UnknownFormatError(message) from error
    return loaded
