"""Files that tifffile writes, with the options of its own writer."""

from __future__ import annotations

import inspect
import struct
from typing import IO, TYPE_CHECKING, Any

import tifffile

from tiffin.errors import DtypeError, SettingsError, did_you_mean
from tiffin.writers.profile import note_and_date
from tiffin.writers.tiff_layout import NOTE_TAG

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

__all__ = ["TifffilePages"]

REFUSED = {
    "data": "the image is given already",
    "shape": "the image has its own",
    "dtype": "use astype=, which casts exactly",
    "bitspersample": "it would cut values",
    "subifds": "a page has no pages of its own",
}
"""Options of tifffile that can't be used here, and why."""

ASCII = 2
"""The type of a tag, as TIFF 6.0 numbers it."""


class TifffilePages:
    """Writes pages to an open file, each as a series of its own.

    Parameters
    ----------
    file : binary file
        Empty, and open for reading and writing.
    bigtiff, byteorder, imagej
        As `tifffile.TiffWriter` takes them.
    **options
        As its method `write` takes them. Without ``metadata``, tifffile writes no
        description of its own, because GSAS-II misreads files that have one.

    Raises
    ------
    SettingsError
        If tifffile refuses the options.
    """

    def __init__(
        self,
        file: IO[bytes],
        *,
        bigtiff: bool = False,
        byteorder: Any = None,
        imagej: bool = False,
        **options: Any,
    ) -> None:
        _check_options(options)
        try:
            # A file without a name is no FileHandle by itself.
            handle = tifffile.FileHandle(file, name="pages.tiff")
            self._writer = tifffile.TiffWriter(
                handle, bigtiff=bigtiff, byteorder=byteorder, imagej=imagej
            )
        except (ValueError, TypeError) as error:
            raise SettingsError(f"tifffile refuses the options: {error}") from error
        defaults = {"contiguous": True} if imagej else {"metadata": None}
        self._options = {**defaults, **options}

    def add(self, image: np.ndarray, metadata: Mapping[str, Any]) -> None:
        """Write a page.

        Raises
        ------
        DtypeError
            If tifffile can't write it.
        OSError
            If the file can't be written.
        """
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

    def close(self) -> None:
        """Write what is left. The file stays open."""
        self._writer.close()


def _check_options(options: Mapping[str, Any]) -> None:
    """Refuse options that `tifffile.TiffWriter.write` does not have."""
    known = inspect.signature(tifffile.TiffWriter.write).parameters
    for name in options:
        if name in REFUSED:
            raise SettingsError(f"can't be used: {REFUSED[name]}", setting=name)
        if name not in known or name == "self":
            allowed = set(known) - {"self", *REFUSED}
            message = f"is no option of tifffile{did_you_mean(name, allowed)}"
            raise SettingsError(message, setting=name)
