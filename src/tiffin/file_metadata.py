"""Read the metadata in a file that tiffin has written."""

from __future__ import annotations

import json
import math
import operator
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import ReadError, SettingsError
from tiffin.folders import Folders, IrregularError
from tiffin.writers import find_notes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO


def read_metadata(
    path: str | os.PathLike[str], page: int | None = None
) -> dict[str, Any] | list[dict[str, Any]]:
    """Return the metadata in a file.

    The file can be anywhere, and no manifest is needed.

    Parameters
    ----------
    path : path
        A TIFF file of any profile, a PNG, or an npy file, which has no metadata.
    page : int, optional
        The index of an image in a stack, from 0.

    Returns
    -------
    dict or list of dict
        The metadata of the page, or of the only image; without `page`, a list for a
        file with several images.
        The keys are ``run``, ``scan_id``, ``stream``, ``field``, ``seq_num``, ``i``,
        ``frame``, ``time`` (ISO 8601 with zone), ``timestamp`` (seconds since 1970),
        ``sample``, ``plan_name``, ``motors`` (name → value, unit), ``exposure`` [s] and
        ``corrections``; and those of ``metadata=``. Unknown values are left out.

    Raises
    ------
    ReadError
        If the file is of another kind, or is damaged.
    SettingsError
        If there is no such page.

    Examples
    --------
    >>> import tempfile, numpy as np, tiffin
    >>> from tiffin.testing import run_of
    >>> run = run_of({"img": np.ones((1, 6, 9), "u2")}, scan_id=7, sample="Å")
    >>> report = tiffin.export(run, "{i}.tif", directory=tempfile.mkdtemp())
    >>> metadata = tiffin.read_metadata(report.written[0].path)
    >>> metadata["scan_id"], metadata["sample"], metadata["seq_num"]
    (7, 'Å', 1)
    """
    wanted = _index(page)
    place = Path(path).absolute()
    found: list[dict[str, Any]] = []
    try:
        for n, note in enumerate(_notes(place)):
            if n == wanted:
                return _parsed(note)
            if wanted is None:
                found.append(_parsed(note))
    except ReadError as error:
        message = f"the metadata of {place} can't be read: {error}"
        raise ReadError(message) from error
    if wanted is not None:
        allowed = f"0 to {n}, as {place} has {n + 1} pages" if n else "0"
        message = f"must be {allowed}, not {page}"
        raise SettingsError(message, setting="page")
    return found if len(found) > 1 else found[0]


def metadata_in(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """Yield the metadata of each image of an open file.

    Raises
    ------
    ReadError
        If the file is of another kind, or is damaged.
    """
    return map(_parsed, find_notes(file))


def _index(page: Any) -> int | None:
    if page is None:
        return None
    try:
        index = -1 if isinstance(page, bool) else operator.index(page)
    except TypeError:
        index = -1
    if index < 0:
        message = f"must be the index of an image, from 0, not {page!r}"
        raise SettingsError(message, setting="page")
    return index


def _notes(path: Path) -> Iterator[bytes]:
    """Yield the metadata of each image of a regular file."""
    folders = Folders(os.fspath(path.parent), follow_links=True)
    try:
        with os.fdopen(folders.open_file(path.name), "rb") as file:
            yield from find_notes(file)
    except ReadError:
        raise
    except IrregularError as error:
        message = "it is no file, but a pipe or a device"
        if path.is_dir():
            message = f"it is a folder: give its files, such as {path}/*.tif"
        raise ReadError(message) from error
    except (OSError, ValueError) as error:
        raise ReadError(getattr(error, "strerror", None) or str(error)) from error


def _parsed(note: bytes) -> dict[str, Any]:
    if not note:
        return {}
    try:
        # NaN is no JSON: what is read can always be written again.
        found = json.loads(
            note.rstrip(b"\0"), parse_constant=lambda _: None, parse_float=_finite
        )
    except (ValueError, RecursionError) as error:
        message = f"it is not JSON, but {note[:40]!r}: {error}"
        raise ReadError(message) from error
    if not isinstance(found, dict):
        message = f"it must be a JSON object, not {type(found).__name__}"
        raise ReadError(message)
    return found


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
