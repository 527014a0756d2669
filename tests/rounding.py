"""How near a calculated pixel has to be to the exact one."""

import math
from fractions import Fraction

import numpy as np


def nearest(value, dtype):
    """Round a fraction to float32 or float64; infinite beyond its range."""
    try:
        rounded = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    dtype = np.dtype(dtype)
    if dtype.itemsize == 8 or math.isinf(rounded):
        return rounded
    with np.errstate(over="ignore", under="ignore"):
        return float(dtype.type(rounded))


def is_near(got, value, dtype, sizes=(), steps=1):
    """Whether a pixel is a unit in the last place, or so many, beside the exact value.

    Parameters
    ----------
    got : float
    value : Fraction
    dtype : dtype-like
        Of the result.
    sizes : iterable of Fraction
        What was calculated with: where it cancels, its last places count.
    steps : int
        How many operations there were.
    """
    dtype = np.dtype(dtype)
    wanted = nearest(value, dtype)
    if got == wanted:
        return True
    info = np.finfo(dtype)
    unit = Fraction(float(info.eps)) * abs(value) + Fraction(
        float(info.smallest_subnormal)
    )
    unit += sum(map(abs, sizes)) * Fraction(2) ** -52 * steps
    if math.isinf(got):
        return abs(value) + unit >= Fraction(float(info.max))
    return abs(Fraction(float(got)) - value) <= unit
