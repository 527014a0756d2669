"""Find the reader of a mimetype: one of a plug-in, or one of tiffin's."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, TypeAlias

from tiffin.errors import UnknownFormatError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.readers.rows import Asset, Rows

    Opener: TypeAlias = Callable[[Asset], Rows]

GROUP = "tiffin.readers"

BUILT_IN = {
    "application/x-hdf5": "tiffin.readers.hdf5:hdf5_rows",
    "image/tiff": "tiffin.readers.file_sequences:tiff_rows",
    "image/jpeg": "tiffin.readers.file_sequences:jpeg_rows",
    "application/x-npy": "tiffin.readers.file_sequences:npy_rows",
    "application/x-zarr": "tiffin.readers.zarr:ZarrRows",
    "application/zarr": "tiffin.readers.zarr:ZarrRows",
}
"""Mimetype, without ``multipart/related;type=`` → reader."""


def find_reader(mimetype: str) -> Opener:
    """Find the reader of a mimetype, or raise `UnknownFormatError`.

    A plug-in overrides a built-in reader.
    """
    names = _registered_names(mimetype)
    for name in names:
        if name in plug_ins():
            plug_in: Opener
            plug_in = load_entry_point(plug_ins()[name], f"the reader for {mimetype!r}")
            return plug_in
        if name in BUILT_IN:
            module, _, function = BUILT_IN[name].partition(":")
            reader: Opener = getattr(import_module(module), function)
            return reader
    # Older stream resources have a spec instead of a mimetype.
    kind = "mimetype" if "/" in mimetype else "spec"
    message = (
        f"no reader for {kind} {mimetype!r}: register one in the entry-point group "
        f"{GROUP!r}"
    )
    suggestion = did_you_mean(names[-1], [*BUILT_IN, *plug_ins()])
    raise UnknownFormatError(message + suggestion)


@cache
def plug_ins() -> dict[str, Any]:
    """Return the readers that packages register, by mimetype."""
    return {entry.name.casefold(): entry for entry in entry_points(group=GROUP)}


def _registered_names(mimetype: str) -> list[str]:
    """Return the names under which a mimetype may be registered, most exact first.

    Mimetypes ignore case, and values of parameters may be quoted (RFC 2045).

    Examples
    --------
    >>> _registered_names('multipart/related; boundary=x; Type="Image/TIFF"')[1:]
    ['multipart/related;type=image/tiff', 'image/tiff']
    >>> _registered_names("Application/X-HDF5")
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


def load_entry_point(entry: Any, what: str, hint: str = "") -> Any:
    """Import what an entry point names, or raise `UnknownFormatError`."""
    try:
        return entry.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # even a package that exits fails only its frames
        reason = f"{type(error).__name__}: {error}"
        message = f"{what} ({entry.value}) can't be loaded: {reason}{hint}"
        raise UnknownFormatError(message) from error
