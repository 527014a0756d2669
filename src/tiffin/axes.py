"""Which axes of an event's array are rows, columns and the samples of a colour.

The array is the truth about its shape. What a descriptor announces, and what a user
says with ``axes=`` and ``colour=``, tell what its axes mean. Where they contradict each
other, the image is refused: an array that is cut along the wrong axes gives files that
look right.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tiffin.errors import NoImageError, ReadError, SettingsError

__all__ = ["Axes", "AxesSetting", "Hints", "place"]

AxisNames = str | Sequence[str]
AxesSetting = AxisNames | Mapping[str, AxisNames] | None

ROWS = {"y", "row", "rows"}
COLUMNS = {"x", "col", "cols", "column", "columns"}
SAMPLES = {"c", "color", "colour", "rgb", "rgba", "channel", "channels", "sample"}

COLOURS = (3, 4)
"""How many samples a pixel has: RGB, or RGB and alpha."""

SMALL = 4
"""No detector has an image of so few rows or columns, unless it announces them."""

LAST = (-2, -1)
ORDERS = ((-3, -2, -1), (-2, -1, -3), (-3, -1, -2))
"""Rows, columns and samples where samples come last, first or between: areaDetector's
RGB1, RGB3 and RGB2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What is known of an event's array before it is opened.

    Attributes
    ----------
    field : str
    sizes : tuple of int
        As announced; 0 where a size is not known.
    at : tuple of int
        Where in `sizes` rows and columns are, and samples if they are announced;
        counted from the end.
    colour : bool
        Whether somebody says that images have samples.
    asked : bool
        Whether that is the user.
    names : tuple of str
        The user's names of the array's last axes.
    scan : tuple of int
        The shape of the scan, or its number of points, as the start document has it.
    events : int
        How many events are known.
    """

    field: str = ""
    sizes: tuple[int, ...] = ()
    at: tuple[int, ...] = LAST
    colour: bool = False
    asked: bool = False
    names: tuple[str, ...] = ()
    scan: tuple[int, ...] = ()
    events: int = 0

    @classmethod
    def of_images(cls, shape: tuple[int, ...], *, axes: int) -> Hints:
        """Return those of an array in the order of images, which have 2 or 3 axes."""
        at = ORDERS[0] if axes > 2 else LAST
        return cls(sizes=shape, at=at, colour=axes > 2)

    @property
    def lead(self) -> tuple[int, ...]:
        """The sizes that count images."""
        n = len(self.sizes)
        return tuple(s for k, s in enumerate(self.sizes) if k - n not in self.at)

    @property
    def images(self) -> int:
        """How many images an event is announced to hold; 1 where that is unknown."""
        return math.prod(self.lead) or 1

    @property
    def image(self) -> tuple[int, ...]:
        """(rows, columns), samples behind them if announced; () if nothing is."""
        return tuple(self.sizes[k] for k in self.at) if len(self.sizes) > 1 else ()

    @property
    def shape(self) -> tuple[int, ...] | None:
        """The announced shape in the order of images; None where not all is known."""
        complete = len(self.image) == (3 if self.colour else 2) and all(self.sizes)
        return (*self.lead, *self.image) if complete else None


@dataclass(frozen=True, slots=True)
class Axes:
    """What a user says of axes.

    Attributes
    ----------
    colour : tuple of str
        Fields whose images have samples.
    named : mapping
        Field, or "" for all others → names of its array's last axes.
    """

    colour: tuple[str, ...] = ()
    named: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, colour: Iterable[str] = (), axes: AxesSetting = None) -> Axes:
        """Check the settings ``colour`` and ``axes``.

        Raises
        ------
        SettingsError
            If axes are not named so that rows and columns are known.

        Examples
        --------
        >>> Axes.of(axes="yxc").named, Axes.of(axes={"img": ("t", "y", "x")}).named
        ({'': ('y', 'x', 'c')}, {'img': ('t', 'y', 'x')})
        """
        if axes is None:
            return cls(tuple(colour))
        by_field: Mapping[Any, Any] = axes if isinstance(axes, Mapping) else {"": axes}
        named = {}
        for field, names in by_field.items():
            if not isinstance(field, str):
                message = f"must be given by the name of a field, not {field!r}"
                raise SettingsError(message, setting="axes")
            named[field] = _names(names)
        return cls(tuple(colour), named)

    @property
    def told(self) -> dict[str, str] | None:
        """The names as text, for a manifest; "" is all fields, None is no name."""
        return {field: ",".join(names) for field, names in self.named.items()} or None

    def hints(
        self,
        field: str,
        sizes: tuple[int, ...],
        dims: Any = None,
        *,
        external: bool = False,
    ) -> Hints:
        """Put together what is known of a field.

        Parameters
        ----------
        field : str
        sizes : tuple of int
            As announced; 0 where a size is not known.
        dims : object
            The descriptor's names of the axes, if they are any.
        external : bool
            Whether the images are outside the event.
        """
        names = self.named.get(field, self.named.get("", ()))
        if names:
            at = _named(names, len(sizes))
            colour = any(name in SAMPLES for name in names)
            if colour and (len(at) < 3 or sizes[at[2]] not in COLOURS):
                at = _guessed(sizes)
            return Hints(field=field, sizes=sizes, at=at, colour=colour, names=names)
        if field in self.colour:
            at = _in_dims(dims, sizes)
            at = at if len(at) > 2 else _guessed(sizes)
            return Hints(field=field, sizes=sizes, at=at, colour=True, asked=True)
        at = _in_dims(dims, sizes)
        if at == LAST and external and _is_one_of_colour(sizes):
            at = _guessed(sizes)
        return Hints(field=field, sizes=sizes, at=at, colour=len(at) > 2)


def place(
    found: tuple[int, ...], hints: Hints, *, last_is_colour: bool = False
) -> tuple[int, ...]:
    """Return which axes of an array are an image's.

    Parameters
    ----------
    found : tuple of int
        The shape of the array.
    hints : Hints
    last_is_colour : bool
        Whether what was read says so itself, as a TIFF's photometric does.

    Returns
    -------
    tuple of int
        Rows and columns, and samples if there are any: positions in `found`.

    Raises
    ------
    NoImageError
        If the array has no two axes, where that was not announced either.
    ReadError
        If it has none, or they can't be told.

    Examples
    --------
    >>> place((1, 6, 9, 3), Hints(sizes=(6, 9)))
    (1, 2, 3)
    >>> place((3, 6, 9), Hints(sizes=(3, 6, 9)))
    (1, 2)
    """
    n = len(found)
    is_spectrum = len(hints.sizes) == 1 and found[-1:] == hints.sizes and n <= 3
    if n < 2 or (is_spectrum and not hints.names):
        kind = NoImageError if len(hints.sizes) < 2 else ReadError
        message = (
            f"{hints.field!r} is no image here: its array has shape {[*found]}"
            f"{_announced(hints)}; an image has two dimensions or more"
        )
        raise kind(message)
    if hints.names:
        at = _by_name(found, hints)
    elif n == 2:
        if min(found) == 1 < min(hints.image, default=0):  # a row of an image
            raise _contradiction(found, hints)
        at = LAST
    elif last_is_colour:
        at = ORDERS[0]
    else:
        at = _by_size(found, hints)
    if len(at) > 2 and found[at[2]] == 1:
        at = at[:2]
    return tuple(n + k for k in at)


def _by_name(found: tuple[int, ...], hints: Hints) -> tuple[int, ...]:
    at = _named(hints.names, len(found))
    fits = len(hints.names) <= len(found)
    if not fits or (len(at) > 2 and found[at[2]] not in (1, *COLOURS)):
        told = ",".join(hints.names)
        message = (
            f"axes='{told}' does not fit {hints.field!r}: its array has shape "
            f"{[*found]}{_announced(hints)}; axes= names the last axes, and samples "
            f"are 1, 3 or 4"
        )
        raise ReadError(message)
    return at


def _by_size(found: tuple[int, ...], hints: Hints) -> tuple[int, ...]:
    sizes = hints.sizes
    as_announced = len(sizes) > 2 and _agree(sizes, found[-len(sizes) :])
    if as_announced and all(hints.image) and (len(hints.at) > 2 or not hints.asked):
        return hints.at
    if hints.colour:
        at = _coloured(found, hints)
        if at is not None:
            return at
        if hints.asked:
            raise _contradiction(found, hints)
    return _grey(found, hints)


def _coloured(found: tuple[int, ...], hints: Hints) -> tuple[int, ...] | None:
    """Find the samples of an image that has some; None if that can't be told."""
    image = hints.image[:2]

    def fit(at: tuple[int, ...]) -> tuple[int, ...]:
        held = (found[at[0]], found[at[1]])
        same = held == image, sorted(held) == sorted(image)
        return (*same, found[at[2]] in COLOURS, at == hints.at)

    candidates = [at for at in ORDERS if found[at[2]] in (1, *COLOURS)]
    several = [at for at in candidates if found[at[2]] in COLOURS]
    if not candidates:
        return None
    best = max(candidates, key=fit)
    known = len(image) == 2 and all(image)
    if known and not fit(best)[1] and not hints.asked and len(several) != 1:
        return None
    return best


def _grey(found: tuple[int, ...], hints: Hints) -> tuple[int, ...]:
    """Find rows and columns of an image of which nobody says that it has samples."""
    last = found[-2:]
    image = hints.image[:2]
    if not all(image) or not image:
        is_plain = _agree(image, last) if any(image) else not _looks_coloured(found)
        if is_plain or min(last) > SMALL:
            return LAST
        raise _contradiction(found, hints)
    permuted = sorted(hints.sizes[-3:]) == sorted(found[-3:])
    if last != image and permuted and _one_of_colour(found[-3:]):
        # Planes are frames, where nobody says that they are a colour's.
        return LAST if found[-3] in COLOURS else _guessed(found)
    if sorted(last) == sorted(image):
        return LAST
    for at in ORDERS:
        rows, columns, rest = (found[k] for k in at)
        if sorted((rows, columns)) == sorted(image):
            if rest in (1, *COLOURS):
                return at
            raise _contradiction(found, hints)
    if min(last) <= SMALL < min(image):
        raise _contradiction(found, hints)
    return LAST


def _contradiction(found: tuple[int, ...], hints: Hints) -> ReadError:
    message = (
        f"which axes of {hints.field!r} are rows and columns can't be told: its array "
        f"has shape {[*found]}{_announced(hints)}; name them with axes=, such as "
        f"axes='yxc' or axes='tyx', or tell that it is a colour image with "
        f"colour={hints.field!r}"
    )
    return ReadError(message)


def _announced(hints: Hints) -> str:
    if not hints.sizes:
        return ", and none is announced"
    told = ", ".join(str(size or "?") for size in hints.sizes)
    return f", and [{told}] is announced"


def _agree(announced: tuple[int, ...], found: tuple[int, ...]) -> bool:
    """Whether sizes are equal, as far as they are announced."""
    same_axes = len(announced) == len(found)
    return same_axes and all(n in (0, m) for n, m in zip(announced, found, strict=True))


def _one_of_colour(sizes: tuple[int, ...]) -> bool:
    """Whether three sizes are those of one colour image, and of nothing else."""
    small = [size for size in sizes if size <= SMALL]
    return len(sizes) == 3 and len(small) == 1 and small[0] in COLOURS


def _looks_coloured(found: tuple[int, ...]) -> bool:
    return found[-1] in COLOURS and min(found[-3:-1]) > SMALL


def _is_one_of_colour(sizes: tuple[int, ...]) -> bool:
    """Whether one image of three axes is announced, as ophyd-async does for colour."""
    return len(sizes) > 3 and sizes[-4] == 1 and _one_of_colour(sizes[-3:])


def _guessed(sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Find the axes in an announced shape whose image has samples."""
    if len(sizes) > 2:
        return next((at for at in ORDERS if sizes[at[2]] in COLOURS), LAST)
    return LAST


def _named(names: tuple[str, ...], axes: int) -> tuple[int, ...]:
    """Find rows, columns and samples among names of the last of so many axes."""
    where = {name: k - len(names) for k, name in enumerate(names) if len(names) <= axes}
    found = [
        next((k for name, k in where.items() if name in kind), None)
        for kind in (ROWS, COLUMNS, SAMPLES)
    ]
    at = tuple(k for k in found if k is not None)
    return at if len(at) > 1 else LAST


def _in_dims(dims: Any, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Find the axes in an announced shape by the descriptor's names of them.

    They are a hint, and so tell which axes an image has, but never turn it.
    """
    if not isinstance(dims, (list, tuple)) or len(dims) < 2:
        return LAST
    names = [str(name).lower() for name in dims]
    if len(names) != len(sizes):  # the last one may still be told
        last = names[-1] in SAMPLES and len(sizes) > 2 and sizes[-1] in (0, *COLOURS)
        return ORDERS[0] if last else LAST
    known = [k for k, name in enumerate(names) if name in ROWS | COLUMNS]
    rest = [k for k, name in enumerate(names) if name not in SAMPLES]
    image = known if len(known) == 2 else rest[-2:]
    if len(image) < 2:
        return LAST
    samples = [k for k, name in enumerate(names) if name in SAMPLES]
    if len(samples) == 1 and sizes[samples[0]] in (0, *COLOURS):
        image = [*image, *samples]
    return tuple(k - len(names) for k in image)


def _names(given: Any) -> tuple[str, ...]:
    """Read names of axes: one letter each in a text, or longer ones with commas."""
    names = given
    if isinstance(given, str):
        names = given.split(",") if "," in given else [*given]
    ok = isinstance(names, (list, tuple)) and all(isinstance(n, str) for n in names)
    named = tuple(n.strip().lower() for n in names) if ok else ()
    kinds = [
        sum(name in kind for name in named) for kind in (ROWS, COLUMNS, SAMPLES, {""})
    ]
    if kinds[:2] != [1, 1] or kinds[2] > 1 or kinds[3] or len({*named}) < len(named):
        message = (
            f"must name an array's last axes in their order, with one y (rows), one x "
            f"(columns), and a c where there are samples of a colour, such as 'yxc', "
            f"'cyx', 'tyx' or ('t', 'y', 'x'); or map fields to such names, not "
            f"{given!r}"
        )
        raise SettingsError(message, setting="axes")
    return named
