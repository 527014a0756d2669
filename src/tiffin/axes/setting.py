"""The settings ``axes`` and ``colour``, and the hints that they give."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tiffin.axes.placing import (
    COLOURS,
    COLUMNS,
    LAST,
    ORDERS,
    ROWS,
    SAMPLES,
    ArrayHints,
    axes_by_name,
    guess_colour,
    is_colour_image,
)
from tiffin.errors import SettingsError

AxisNames = str | Sequence[str]
AxesSetting = AxisNames | Mapping[str, AxisNames] | None


@dataclass(frozen=True, slots=True)
class Axes:
    """The settings ``colour`` and ``axes``."""

    colour: tuple[str, ...] = ()
    """Fields whose images have samples."""
    named: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    """Field, or "" for all others → names of its array's last axes."""

    @classmethod
    def of(cls, colour: Iterable[str] = (), axes: AxesSetting = None) -> Axes:
        """Check the settings ``colour`` and ``axes``.

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
    def as_text(self) -> dict[str, str] | None:
        """The names by field, for a manifest; "" is all others. None without names."""
        return {field: ",".join(names) for field, names in self.named.items()} or None

    def hints(
        self,
        field: str,
        sizes: tuple[int, ...],
        dims: Any = None,
        *,
        external: bool = False,
    ) -> ArrayHints:
        """Return what is known of a field.

        Its `sizes` are as declared, 0 if unknown; `dims` are the descriptor's names of
        its axes, if any; `external` tells that the images are outside the event.
        """
        known = ArrayHints(field=field, sizes=sizes)
        names = self.named.get(field, self.named.get("", ()))
        if names:
            at = axes_by_name(names, len(sizes))
            colour = any(name in SAMPLES for name in names)
            if colour and (len(at) < 3 or sizes[at[2]] not in COLOURS):
                at = guess_colour(sizes)
            return replace(known, image_axes=at, colour=colour, names=names)
        if field in self.colour:
            at = _in_dims(dims, sizes)
            at = at if len(at) > 2 else guess_colour(sizes)
            return replace(known, image_axes=at, colour=True, asked=True)
        at = _in_dims(dims, sizes)
        if at == LAST and external and _is_colour_event(sizes):
            at = guess_colour(sizes)
        return replace(known, image_axes=at, colour=len(at) > 2)


def _is_colour_event(sizes: tuple[int, ...]) -> bool:
    """Whether one image of three axes is declared, as ophyd-async does for colour."""
    return len(sizes) > 3 and sizes[-4] == 1 and is_colour_image(sizes[-3:])


def _in_dims(dims: Any, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes of an image by the descriptor's names of them.

    These are only a hint: they say which axes an image has, but never transpose it.
    """
    if not isinstance(dims, (list, tuple)) or len(dims) < 2:
        return LAST
    names = [str(name).lower() for name in dims]
    if len(names) != len(sizes):  # the last name may still be right
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
    """Parse names of axes: a text of letters or with commas, or a list of names."""
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
