"""Corrections of images: array in, array out, never in place.

A correction is an object with settings, which is bound to a run before it acts, or a
function ``(image, frame) -> image``. Settings are checked when the object is created,
which raises a `SettingsError`. Corrections act in the order in which they are given.
They get what they need from elsewhere, such as the dark of another run, from the run
that they are bound to.
"""

from tiffin.corrections.arithmetic import RunningSum, check_real
from tiffin.corrections.base import (
    BoundCorrection,
    Correction,
    Notes,
    ReferenceImages,
    SupportsBind,
    bind,
    correct,
    describe,
)
from tiffin.corrections.cast import Cast, Overflow, Rounding
from tiffin.corrections.combine import Average, FrameCombiner, Sum, check_same_kind
from tiffin.corrections.dark import BoundDark, DarkSubtract, ImageKind, Missing
from tiffin.corrections.flat import FlatField
from tiffin.corrections.nearest_run import Nearest, Order
from tiffin.corrections.references import configuration_of
from tiffin.corrections.shapes import Bin, Crop, Flip, Rotate
from tiffin.corrections.values import Mask, Scale, Threshold

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
    # For the rest of tiffin
    "BoundCorrection",
    "BoundDark",
    "Correction",
    "FrameCombiner",
    "ImageKind",
    "Missing",
    "Notes",
    "Order",
    "Overflow",
    "ReferenceImages",
    "Rounding",
    "RunningSum",
    "SupportsBind",
    "bind",
    "check_real",
    "check_same_kind",
    "configuration_of",
    "correct",
    "describe",
]
