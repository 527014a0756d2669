"""The shell's options for corrections, and the one order in which these act.

Dark, flat field, mask, crop, bin, cast: what the detector adds is taken off before what
it multiplies is divided out; these three fit its whole area, so that a part is cut out
after them; bins join corrected pixels only; and numbers are rounded once, at the end.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tiffin.cli.chain import Asked
from tiffin.corrections.cast import Overflow, Rounding
from tiffin.corrections.dark import Missing
from tiffin.corrections.order import Order
from tiffin.errors import SettingsError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = [
    "CHAIN",
    "Allow",
    "Binning",
    "Crop",
    "Dark",
    "DarkMissing",
    "DarkOrder",
    "Flat",
    "FlatOrder",
    "Mask",
    "MaskFill",
    "OverflowOption",
    "RoundingOption",
    "asked_for",
    "cast_of",
    "words",
]

PANEL = "Corrections, which act in this order: dark, flat, mask, crop, bin, dtype"

CHAIN = (
    *("dark", "dark_missing", "dark_order", "allow", "flat", "flat_order"),
    *("mask", "mask_fill", "crop", "binning"),
)
"""The parameters that make the chain, to which a dtype is always added last."""

Dark = Annotated[
    str | None,
    typer.Option(
        metavar="PLACE",
        rich_help_panel=PANEL,
        help="Subtract it: start.KEY (of the start document, a run's uid), "
        "stream:NAME, file:PATH, run:UID, or constant:NUMBER.",
    ),
]
DarkMissing = Annotated[
    Missing | None,
    typer.Option(
        rich_help_panel=PANEL,
        help="A light without a dark fails (error, the default), is exported as it is "
        "(raw), or left out (skip).",
    ),
]
DarkOrder = Annotated[
    Order | None,
    typer.Option(
        rich_help_panel=PANEL,
        help="Which dark of a stream: the latest before a light (the default), the "
        "nearest in time, or the first after it.",
    ),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        metavar="WHAT",
        rich_help_panel=PANEL,
        help="What dark and light may differ in: exposure, gain, binning, images, or "
        "a key; repeatable, or with commas.",
    ),
]
Flat = Annotated[
    str | None,
    typer.Option(
        metavar="PLACE",
        rich_help_panel=PANEL,
        help="Divide by this flat field: start.KEY, stream:NAME, or file:PATH.",
    ),
]
FlatOrder = Annotated[
    Order | None,
    typer.Option(
        rich_help_panel=PANEL, help="Which flat field of a stream; as --dark-order."
    ),
]
Mask = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        rich_help_panel=PANEL,
        help="An image that is not zero where pixels are replaced.",
    ),
]
MaskFill = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER",
        rich_help_panel=PANEL,
        help="What they become: 0 by default; nan where images are floating-point.",
    ),
]
Crop = Annotated[
    str | None,
    typer.Option(
        metavar="ROWS,COLUMNS",
        rich_help_panel=PANEL,
        help="Keep a rectangle, such as 100:900,200:1000; ':' keeps all.",
    ),
]
Binning = Annotated[
    str | None,
    typer.Option(
        "--bin",
        metavar="N",
        rich_help_panel=PANEL,
        help="Add up N by N pixels; 2,4 by rows and columns; 2:mean averages.",
    ),
]
OverflowOption = Annotated[
    Overflow | None,
    typer.Option(
        "--overflow",
        rich_help_panel=PANEL,
        help="Values that the dtype can't hold fail (error), are clipped and counted, "
        "or all are scaled.",
    ),
]
RoundingOption = Annotated[
    Rounding | None,
    typer.Option(
        "--rounding",
        rich_help_panel=PANEL,
        help="How fractions become whole. --dtype alone refuses them; with --overflow "
        "it is half-even.",
    ),
]

DARKS = ("stream:NAME", "file:PATH", "run:UID", "constant:NUMBER")
FLATS = ("stream:NAME", "file:PATH")


def asked_for(
    *,
    dark: str | None,
    dark_missing: str | None,
    dark_order: str | None,
    allow: Iterable[str] | None,
    flat: str | None,
    flat_order: str | None,
    mask: str | None,
    mask_fill: str | None,
    crop: str | None,
    binning: str | None,
) -> list[Asked]:
    """Return the corrections that options ask for, in the order in which they act.

    Raises
    ------
    SettingsError
        Naming the option.
    """
    return [
        *_dark(dark, dark_missing, dark_order, words(allow)),
        *_flat(flat, flat_order),
        *_mask(mask, mask_fill),
        *([] if crop is None else [_crop(crop)]),
        *([] if binning is None else [_bin(binning)]),
    ]


def cast_of(
    dtype: str | None, overflow: str | None, rounding: str | None
) -> Asked | None:
    """Return the cast that options ask for, if it is another than an export's own.

    Raises
    ------
    SettingsError
        If it is not said to which dtype.
    """
    if overflow is None and rounding is None:
        return None
    if dtype is None:
        raise _alone("--rounding" if overflow is None else "--overflow", "--dtype")
    settings = {"dtype": dtype, "overflow": overflow, "rounding": rounding}
    told = {name: value for name, value in settings.items() if value is not None}
    return Asked(where="--dtype", kind="cast", settings=told)


def words(texts: Iterable[str] | None) -> list[str] | None:
    """Read what is repeated, or has commas in it; None for nothing.

    Examples
    --------
    >>> words(["sub,light", "dark"])
    ['sub', 'light', 'dark']
    """
    found = [word.strip() for text in texts or () for word in text.split(",")]
    return found or None


def _dark(
    dark: str | None, missing: str | None, order: str | None, allow: list[str] | None
) -> Iterator[Asked]:
    given = {"missing": missing, "order": order, "allow": allow}
    settings = {name: value for name, value in given.items() if value is not None}
    if dark is not None:
        place = _place("--dark", dark, DARKS)
        yield Asked(where="--dark", kind="dark", settings=place | settings)
    elif settings:
        options = {"missing": "--dark-missing", "order": "--dark-order"}
        raise _alone(options.get(next(iter(settings)), "--allow"), "--dark")


def _flat(flat: str | None, order: str | None) -> Iterator[Asked]:
    if flat is not None:
        settings = _place("--flat", flat, FLATS)
        settings |= {} if order is None else {"order": order}
        yield Asked(where="--flat", kind="flat", settings=settings)
    elif order is not None:
        raise _alone("--flat-order", "--flat")


def _mask(mask: str | None, fill: str | None) -> Iterator[Asked]:
    if mask is not None:
        number = 0 if fill is None else _number("--mask-fill", fill)
        settings = {"file": mask.removeprefix("file:"), "fill": number}
        yield Asked(where="--mask", kind="mask", settings=settings)
    elif fill is not None:
        raise _alone("--mask-fill", "--mask")


def _place(option: str, text: str, forms: tuple[str, ...]) -> dict[str, Any]:
    """Read where an image comes from, as the name of a setting and its value."""
    if text.startswith("start.") and len(text) > len("start."):
        return {"key": text.removeprefix("start.")}
    name, colon, value = text.partition(":")
    known = [form.split(":")[0] for form in forms]
    if name in known and value:
        return {name: _number(option, value) if name == "constant" else value}
    near = did_you_mean(name, ["start", *known]) if colon else ""
    if not colon and "." in text:
        near = f": did you mean {'file:' + text!r}?"
    wanted = ", ".join(["start.KEY", *forms])
    message = f"{option} {text!r} is no place of an image; wanted {wanted}"
    raise SettingsError(message + (near if near.startswith(":") else ""))


def _number(option: str, text: str) -> int | float:
    for read in (int, float):  # a whole number stays one, however large
        with suppress(ValueError):
            number: int | float = read(text)
            return number
    message = f"{option}: {text!r} is no number"
    raise SettingsError(message)


def _crop(text: str) -> Asked:
    rows, comma, columns = text.partition(",")
    if not comma:
        message = f"--crop {text!r} is not ROWS,COLUMNS, such as 100:900,200:1000"
        raise SettingsError(message)
    settings = {"rows": rows.strip(), "columns": columns.strip()}
    return Asked(where="--crop", kind="crop", settings=settings)


def _bin(text: str) -> Asked:
    counts, colon, how = text.partition(":")
    try:
        n = [int(count) for count in counts.split(",")]
    except ValueError:
        message = f"--bin {text!r} is not N, ROWS,COLUMNS or N:mean, such as 2"
        raise SettingsError(message) from None
    settings = {"n": n[0] if len(n) == 1 else n} | ({"how": how} if colon else {})
    return Asked(where="--bin", kind="bin", settings=settings)


def _alone(option: str, other: str) -> SettingsError:
    return SettingsError(f"{option} goes with {other}: give that too")
