"""Which axes of an event's array are rows, columns and the samples of a colour.

The array decides its shape. What a descriptor declares, and what a user sets with
``axes=`` and ``colour=``, say what its axes mean. If they contradict each other, the
image is refused: an array cut along the wrong axes would give files that look right.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tiffin.errors import NoImageError, ReadError

ROWS = {"y", "row", "rows"}
COLUMNS = {"x", "col", "cols", "column", "columns"}
SAMPLES = {"c", "color", "colour", "rgb", "rgba", "channel", "channels", "sample"}

COLOURS = (3, 4)
"""How many samples a pixel has: RGB, or RGB and alpha."""

SMALL = 4
"""No detector has an image of so few rows or columns, unless it declares them."""

LAST = (-2, -1)
ORDERS = ((-3, -2, -1), (-2, -1, -3), (-3, -1, -2))
"""Rows, columns and samples of areaDetector's colour modes RGB1, RGB3 and RGB2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayHints:
    """What is known of an event's array before it is opened."""

    field: str = ""
    sizes: tuple[int, ...] = ()
    """As declared; 0 if a size is unknown."""
    image_axes: tuple[int, ...] = LAST
    """Where in `sizes` rows, columns and declared samples are, from the end."""
    colour: bool = False
    """Whether images are said to have samples."""
    asked: bool = False
    """Whether the user says so."""
    names: tuple[str, ...] = ()
    """The user's names of the array's last axes."""
    scan: tuple[int, ...] = ()
    """The shape of the scan, or its number of points, from the start document."""

    @classmethod
    def of_images(cls, shape: tuple[int, ...], *, axes: int) -> ArrayHints:
        """Return the hints of an array whose last 2 or 3 axes are those of an image."""
        at = ORDERS[0] if axes > 2 else LAST
        return cls(sizes=shape, image_axes=at, colour=axes > 2)

    @property
    def lead(self) -> tuple[int, ...]:
        """The sizes that count images."""
        n = len(self.sizes)
        return tuple(
            s for k, s in enumerate(self.sizes) if k - n not in self.image_axes
        )

    @property
    def images(self) -> int:
        """How many images an event has, as declared; 1 if unknown."""
        return math.prod(self.lead) or 1

    @property
    def image(self) -> tuple[int, ...]:
        """(rows, columns), and samples if declared; () if nothing is."""
        if len(self.sizes) < 2:
            return ()
        return tuple(self.sizes[k] for k in self.image_axes)

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The declared shape, with the axes of an image last; None if incomplete."""
        complete = len(self.image) == (3 if self.colour else 2) and all(self.sizes)
        return (*self.lead, *self.image) if complete else None


def place(
    shape: tuple[int, ...], hints: ArrayHints, *, last_is_colour: bool = False
) -> tuple[int, ...]:
    """Return which axes of an array are rows and columns, and samples if there are any.

    `last_is_colour` tells that the file says so, as a TIFF's photometric does. An array
    with fewer than two axes raises a NoImageError if no image was declared; a
    ReadError is raised if one was, or if the axes can't be told apart.

    Examples
    --------
    >>> place((1, 6, 9, 3), ArrayHints(sizes=(6, 9)))
    (1, 2, 3)
    >>> place((3, 6, 9), ArrayHints(sizes=(3, 6, 9)))
    (1, 2)
    """
    n = len(shape)
    is_spectrum = len(hints.sizes) == 1 and shape[-1:] == hints.sizes and n <= 3
    if n < 2 or (is_spectrum and not hints.names):
        kind = NoImageError if len(hints.sizes) < 2 else ReadError
        message = (
            f"{hints.field!r} is not an image here: its array has shape {[*shape]}"
            f"{_declared(hints)}; an image has two dimensions or more"
        )
        raise kind(message)
    if hints.names:
        at = _by_name(shape, hints)
    elif n == 2:
        if min(shape) == 1 < min(hints.image, default=0):  # a row of an image
            raise _contradiction(shape, hints)
        at = LAST
    elif last_is_colour:
        at = ORDERS[0]
    else:
        at = _by_size(shape, hints)
    if len(at) > 2 and shape[at[2]] == 1:
        at = at[:2]
    return tuple(n + k for k in at)


def _by_name(shape: tuple[int, ...], hints: ArrayHints) -> tuple[int, ...]:
    at = axes_by_name(hints.names, len(shape))
    fits = len(hints.names) <= len(shape)
    if not fits or (len(at) > 2 and shape[at[2]] not in (1, *COLOURS)):
        names = ",".join(hints.names)
        message = (
            f"axes='{names}' does not fit {hints.field!r}: its array has shape "
            f"{[*shape]}{_declared(hints)}; axes= names the last axes of the array, "
            f"and c has a size of 1, 3 or 4"
        )
        raise ReadError(message)
    return at


def _by_size(shape: tuple[int, ...], hints: ArrayHints) -> tuple[int, ...]:
    sizes = hints.sizes
    as_announced = len(sizes) > 2 and _agree(sizes, shape[-len(sizes) :])
    has_samples = len(hints.image_axes) > 2
    if as_announced and all(hints.image) and (has_samples or not hints.asked):
        return hints.image_axes
    if hints.colour:
        at = _coloured(shape, hints)
        if at is not None:
            return at
        if hints.asked:
            raise _contradiction(shape, hints)
    return _grey(shape, hints)


def _coloured(shape: tuple[int, ...], hints: ArrayHints) -> tuple[int, ...] | None:
    """Return the axes of a colour image; None if samples can't be told apart."""
    image = hints.image[:2]

    def fit(at: tuple[int, ...]) -> tuple[int, ...]:
        sizes = (shape[at[0]], shape[at[1]])
        same = sizes == image, sorted(sizes) == sorted(image)
        return (*same, shape[at[2]] in COLOURS, at == hints.image_axes)

    candidates = [at for at in ORDERS if shape[at[2]] in (1, *COLOURS)]
    several = [at for at in candidates if shape[at[2]] in COLOURS]
    if not candidates:
        return None
    best = max(candidates, key=fit)
    known = len(image) == 2 and all(image)
    if known and not fit(best)[1] and not hints.asked and len(several) != 1:
        return None
    return best


def _grey(shape: tuple[int, ...], hints: ArrayHints) -> tuple[int, ...]:
    """Return the axes of an image that nobody says is colour."""
    last = shape[-2:]
    image = hints.image[:2]
    if not all(image) or not image:
        is_plain = _agree(image, last) if any(image) else not _looks_coloured(shape)
        if is_plain or min(last) > SMALL:
            return LAST
        raise _contradiction(shape, hints)
    permuted = sorted(hints.sizes[-3:]) == sorted(shape[-3:])
    if last != image and permuted and is_colour_image(shape[-3:]):
        # Planes count as frames unless somebody says that they are a colour's.
        return LAST if shape[-3] in COLOURS else guess_colour(shape)
    if sorted(last) == sorted(image):
        return LAST
    for at in ORDERS:
        rows, columns, rest = (shape[k] for k in at)
        if sorted((rows, columns)) == sorted(image):
            if rest in (1, *COLOURS):
                return at
            raise _contradiction(shape, hints)
    if min(last) <= SMALL < min(image):
        raise _contradiction(shape, hints)
    return LAST


def _contradiction(shape: tuple[int, ...], hints: ArrayHints) -> ReadError:
    message = (
        f"it is not clear which axes of {hints.field!r} are rows and columns: its "
        f"array has shape {[*shape]}{_declared(hints)}; name them with axes=, such as "
        f"axes='yxc' or axes='tyx', or set colour={hints.field!r} if it is a colour "
        f"image"
    )
    return ReadError(message)


def _declared(hints: ArrayHints) -> str:
    if not hints.sizes:
        return ", and the descriptor declares none"
    sizes = ", ".join(str(size or "?") for size in hints.sizes)
    return f", and the descriptor declares [{sizes}]"


def _agree(declared: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether sizes are equal, as far as they are declared."""
    same_axes = len(declared) == len(shape)
    return same_axes and all(n in (0, m) for n, m in zip(declared, shape, strict=True))


def is_colour_image(sizes: tuple[int, ...]) -> bool:
    """Whether three sizes can only be those of one colour image."""
    small = [size for size in sizes if size <= SMALL]
    return len(sizes) == 3 and len(small) == 1 and small[0] in COLOURS


def _looks_coloured(shape: tuple[int, ...]) -> bool:
    return shape[-1] in COLOURS and min(shape[-3:-1]) > SMALL


def guess_colour(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of a colour image in an declared shape."""
    orders = ORDERS if len(sizes) > 2 else ()
    return next((at for at in orders if sizes[at[2]] in COLOURS), LAST)


def lead_names(names: tuple[str, ...]) -> list[str]:
    """Return the names of the axes that count images.

    Examples
    --------
    >>> lead_names(("t", "z", "y", "x"))
    ['t', 'z']
    """
    return [name for name in names if name not in ROWS | COLUMNS | SAMPLES]


def axes_by_name(names: tuple[str, ...], axes: int) -> tuple[int, ...]:
    """Find rows, columns and samples by the names of the last axes of an array."""
    if len(names) > axes:
        return LAST
    at = tuple(
        k - len(names)
        for kind in (ROWS, COLUMNS, SAMPLES)
        for k, name in enumerate(names)
        if name in kind
    )
    return at if len(at) > 1 else LAST
