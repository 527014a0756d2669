"""Images that others are corrected with: their runs, mean and checksum."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.corrections.arithmetic import average, real
from tiffin.dtypes import refuse_masked
from tiffin.errors import CorrectionError, DtypeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiffin.corrections.step import Reference

__all__ = ["check_alive", "fingerprint", "mean_of", "told_of", "uids_in"]


def uids_in(given: Any) -> list[str]:
    """Return the uids of runs that a start document names: one, several, or none.

    Raises
    ------
    CorrectionError
        If it is anything else.

    Examples
    --------
    >>> uids_in("7f3a"), uids_in(("7f3a", "b481")), uids_in(None)
    (['7f3a'], ['7f3a', 'b481'], [])
    """
    if given is None or (isinstance(given, (bool, np.bool_, str)) and not given):
        return []
    several = [given] if isinstance(given, str) else given
    is_list = isinstance(several, (list, tuple, np.ndarray))
    if not is_list or not all(isinstance(uid, str) for uid in several):
        message = f"{given!r} is no uid of a run, nor several"
        raise CorrectionError(message)
    return [str(uid) for uid in several]


def mean_of(references: Sequence[Reference]) -> np.ndarray:
    """Average all images of some references; a single one stays as it is.

    Raises
    ------
    CorrectionError
        If they have several shapes.
    DtypeError
        If they are no real numbers, or masked: it names the image and its dtype.
    """
    stacks = [_numbers_of(reference) for reference in references]
    shapes = {stack.shape[1:] for stack in stacks}
    if len(shapes) > 1:
        message = f"images of several shapes have no mean: {sorted(shapes)}"
        raise CorrectionError(message)
    images = [image for stack in stacks for image in stack]
    return images[0] if len(images) == 1 else average(images)


def _numbers_of(reference: Reference) -> np.ndarray:
    """Read the images of a reference: real numbers only, and none of them masked."""
    try:
        stack = reference.read()
        refuse_masked(stack)
        return real(stack)
    except DtypeError as error:
        message = f"{reference.name}: {error}"
        raise DtypeError(message) from None


def check_alive(mean: np.ndarray, alive: np.ndarray, why: str, dead: str) -> int:
    """Count the pixels that can't be corrected; refuse them unless `dead` is "keep".

    Parameters
    ----------
    mean : ndarray, shape (rows, columns) [counts]
    alive : ndarray of bool, same shape
    why : str
        What is wrong with the others, for the message.
    dead : {"error", "keep"}

    Raises
    ------
    CorrectionError
        Which gives the number of pixels and one of them.
    """
    count = int(np.count_nonzero(~alive))
    if count and dead != "keep":
        where = tuple(np.argwhere(~alive)[0])
        message = (
            f"{why} (pixels: {count}, such as {mean[where]:g} at row {where[0]}, "
            f"column {where[1]}): dead='keep' leaves the images there as they were "
            f"counted, and a Mask behind it replaces that"
        )
        raise CorrectionError(message)
    return count


def fingerprint(array: np.ndarray) -> str:
    """Return a checksum of pixels, by which it can be told what was used."""
    return f"crc32:{zlib.crc32(np.ascontiguousarray(array).data.cast('B')):08x}"


def told_of(reference: Reference) -> dict[str, Any]:
    """Return which dark was used, so that it can be found and checked again."""
    return {
        "run": reference.run,
        "stream": reference.stream,
        "seq_num": reference.seq_num,
        "name": reference.name,
        "checksum": fingerprint(reference.read()),
    }
