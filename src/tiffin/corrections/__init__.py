"""Change pixels on the way: array to array, never in place.

A correction is a callable ``(image, frame) -> image``. `Cast` is the only one with
settings so far; any function of the user's works beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tiffin.corrections.cast import Cast
from tiffin.errors import CorrectionError, TiffinError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiffin.frames import Frame

__all__ = ["Cast", "Correction", "correct"]


class Correction(Protocol):
    """What stands in ``corrections=[...]``."""

    def __call__(self, image: np.ndarray, frame: Frame, /) -> Any:
        """Give a new image.

        Parameters
        ----------
        image : ndarray, shape (rows, columns) [counts]
            Not to be written to.
        frame : Frame
            Who the image is, and in what context.

        Returns
        -------
        ndarray, shape (rows, columns)
            The shape may differ from the image's.
        """
        ...


def correct(
    image: np.ndarray, frame: Frame, corrections: Iterable[Correction]
) -> np.ndarray:
    """Apply the corrections in order.

    The image handed to a correction is read-only, so that one which works in place
    fails instead of changing the pixels that others see.

    Raises
    ------
    CorrectionError
        If a correction raises, or gives back anything but a 2-D array.
    """
    for correction in corrections:
        guarded = image.view()
        guarded.flags.writeable = False
        try:
            changed = correction(guarded, frame)
        except TiffinError:
            raise
        except BaseException as error:  # not even SystemExit is more than its frame's
            why = f"{type(error).__name__}: {error}"
            message = f"correction {_name(correction)}: {why}"
            raise CorrectionError(message) from error
        image = np.asarray(changed)
        if image.ndim != 2 and image.ndim != guarded.ndim:
            message = (
                f"correction {_name(correction)} gave an array of shape "
                f"{image.shape}, wanted an image of two dimensions"
            )
            raise CorrectionError(message)
    return image


def _name(correction: object) -> str:
    return getattr(correction, "__name__", None) or repr(correction)
