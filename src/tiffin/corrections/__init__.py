"""Change pixels on the way: array to array, never in place.

A correction has settings, and is bound to a run before it acts; any function
``(image, frame) -> image`` of the user's works beside them. They act in the order in
which they stand. What one needs from elsewhere, a dark of another run say, it asks the
run for: nothing is opened here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tiffin.corrections.alike import configuration_of
from tiffin.corrections.cast import Cast, Overflow, Rounding
from tiffin.corrections.dark import DarkSubtract, Kind, Missing
from tiffin.corrections.flat import FlatField
from tiffin.corrections.joining import Average, Joining, Sum, check_alike
from tiffin.corrections.nearest import Nearest
from tiffin.corrections.order import Order
from tiffin.corrections.shapes import Bin, Crop, Flip, Rotate
from tiffin.corrections.step import (
    Bound,
    Correction,
    Notes,
    Reference,
    RunView,
    Step,
    bind,
    described,
)
from tiffin.corrections.values import Mask, Scale, Threshold
from tiffin.dtypes import refuse_masked
from tiffin.errors import CorrectionError, TiffinError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiffin.frames import Frame

__all__ = [
    "Average",
    "Bin",
    "Cast",
    "Crop",
    "DarkSubtract",
    "FlatField",
    "Flip",
    "Mask",
    "Nearest",
    "Rotate",
    "Scale",
    "Sum",
    "Threshold",
    # what they are made of
    "Bound",
    "Correction",
    "Joining",
    "Kind",
    "Missing",
    "Notes",
    "Order",
    "Overflow",
    "Reference",
    "Rounding",
    "RunView",
    "Step",
    "bind",
    "check_alike",
    "configuration_of",
    "correct",
    "described",
]


def correct(
    image: np.ndarray, frame: Frame, corrections: Iterable[Bound], notes: Notes
) -> np.ndarray:
    """Apply bound corrections in order.

    The image handed to a correction is read-only, so that one which works in place
    fails instead of changing the pixels that others see.

    Parameters
    ----------
    image : ndarray, shape (rows, columns) [counts]
    frame : Frame
    corrections : iterable of Bound
    notes : Notes
        To which they add what they have to say.

    Raises
    ------
    CorrectionError
        If a correction raises, or gives back anything but a 2-D array.
    """
    for correction in corrections:
        guarded = image.view()
        guarded.flags.writeable = False
        try:
            changed = correction(guarded, frame, notes)
        except TiffinError:
            raise
        except BaseException as error:  # not even SystemExit is more than its frame's
            why = f"{type(error).__name__}: {error}"
            message = f"correction {_name(correction)}: {why}"
            raise CorrectionError(message) from error
        if changed is guarded:  # left as it is: nothing to tell
            continue
        notes.steps.append(described(correction))
        refuse_masked(changed)
        image = np.asarray(changed)
        if image.ndim != 2 and image.ndim != guarded.ndim:
            message = (
                f"correction {_name(correction)} gave an array of shape "
                f"{image.shape}, wanted an image of two dimensions"
            )
            raise CorrectionError(message)
    return image


def _name(correction: object) -> str:
    return getattr(correction, "__name__", None) or str(correction)
