"""Files that tifffile writes, for the options that only its own writer has."""

from __future__ import annotations

import inspect
import struct
from typing import IO, TYPE_CHECKING, Any

import tifffile

from tiffin.errors import DtypeError, SettingsError, did_you_mean
from tiffin.writers.profile import note_and_date
from tiffin.writers.tiff_layout import ASCII, NOTE_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

REFUSED = {
    "data": "the image is given already",
    "shape": "the image has its own",
    "dtype": "use astype=, which casts exactly",
    "bitspersample": "it would cut values",
    "subifds": "a page has no pages of its own",
}
"""Options of tifffile that can't be used here, and why."""

OF_FILE = ("bigtiff", "byteorder", "imagej")
"""Options of `tifffile.TiffWriter`; the others are those of its method `write`."""


class TifffilePages:
    """Writes pages to an open file, in the order in which they come.

    Its methods are those of `StackWriter`, but for `drop`.

    Parameters
    ----------
    file : binary file
        Empty, and open for reading and writing.
    options : mapping
        `bigtiff`, `byteorder` and `imagej` as `tifffile.TiffWriter` takes them, and
        others as its method `write` does. Without ``metadata``, tifffile writes no
        description of its own, because GSAS-II misreads files that have one.

    Raises
    ------
    SettingsError
        If tifffile refuses the options.
    """

    def __init__(self, file: IO[bytes], options: Mapping[str, Any]) -> None:
        _check(options)
        self._file = file
        try:
            # It would look for the name of the file, which has none.
            handle = tifffile.FileHandle(file, name="pages.tiff")
            of_file = {name: options[name] for name in OF_FILE if name in options}
            self._writer = tifffile.TiffWriter(handle, **of_file)
        except (ValueError, TypeError) as error:
            raise SettingsError(f"tifffile refuses the options: {error}") from error
        defaults = {"contiguous": True} if options.get("imagej") else {"metadata": None}
        own = {name: options[name] for name in options if name not in OF_FILE}
        self._options = {**defaults, **own}

    def encode(self, image: np.ndarray, metadata: Mapping[str, Any]) -> Any:
        """Return what `add` takes: tifffile encodes by itself."""
        return image, metadata

    def add(self, _key: int, page: Any) -> None:
        """Write a page; raise a DtypeError if tifffile can't."""
        image, metadata = page
        note, date = note_and_date(metadata)
        extra = [*(self._options.get("extratags") or ())]
        if note:
            extra.append((NOTE_TAG, ASCII, None, note.decode(), True))
        options = {**self._options, "extratags": extra}
        if date:
            options.setdefault("datetime", date.decode())
        try:
            self._writer.write(image, **options)
        except (ValueError, TypeError, struct.error) as error:
            message = f"tifffile can't write {image.dtype}{[*image.shape]}: {error}"
            raise DtypeError(message) from error

    def flush(self) -> None:
        """Do nothing: `add` has written the page."""

    def finish(self) -> None:
        """Complete the file. It stays open."""
        self._writer.close()
        self._file.flush()


def _check(options: Mapping[str, Any]) -> None:
    """Refuse options that tifffile does not have."""
    known = {*OF_FILE, *inspect.signature(tifffile.TiffWriter.write).parameters}
    allowed = known - {"self", *REFUSED}
    for name in options:
        if name in REFUSED:
            raise SettingsError(f"can't be used: {REFUSED[name]}", setting=name)
        if name not in allowed:
            message = f"is not an option of tifffile{did_you_mean(name, allowed)}"
            raise SettingsError(message, setting=name)
