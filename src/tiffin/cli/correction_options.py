"""The shell's options for corrections, and the one order in which these act.

Dark, flat field, mask, crop, bin, cast: first the dark is subtracted, then the flat
field divides. These and the mask fit the detector's whole area, so that the crop comes
after them. Bins add up corrected pixels only, and numbers are rounded once, at the end.
"""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel

from tiffin.cli.command import split_words
from tiffin.cli.correction_tables import CorrectionTable
from tiffin.corrections import Missing, Order, Overflow, Rounding
from tiffin.errors import SettingsError, did_you_mean
from tiffin.settings import Option

__all__ = ["CHAIN", "CorrectionOptions"]

DARKS = ("start.KEY", "stream:NAME", "file:PATH", "run:UID", "constant:NUMBER")
FLATS = ("start.KEY", "stream:NAME", "file:PATH")


class CorrectionOptions(BaseModel, frozen=True, use_attribute_docstrings=True):
    """Options from which corrections are made."""

    panel: ClassVar = (
        "Corrections, which act in this order: dark, flat, mask, crop, bin, dtype"
    )

    dark: Annotated[str | None, Option(metavar="PLACE")] = None
    """Subtract it: start.KEY (of the start document, a run's uid), stream:NAME,
    file:PATH, run:UID, or constant:NUMBER."""

    dark_missing: Annotated[Missing | None, Option()] = None
    """A light without a dark fails (error, the default), is exported as it is (raw), or
    left out (skip)."""

    dark_order: Annotated[Order | None, Option()] = None
    """Which dark of a stream: the latest before a light (the default), the nearest in
    time, or the first after it."""

    allow: Annotated[list[str] | None, Option(metavar="WHAT")] = None
    """What dark and light may differ in: exposure, gain, binning, images, or a key;
    repeatable, or with commas."""

    flat: Annotated[str | None, Option(metavar="PLACE")] = None
    """Divide by this flat field: start.KEY, stream:NAME, or file:PATH."""

    flat_order: Annotated[Order | None, Option()] = None
    """Which flat field of a stream; as --dark-order."""

    mask: Annotated[str | None, Option(metavar="PATH")] = None
    """An image that is not zero where pixels are replaced."""

    mask_fill: Annotated[str | None, Option(metavar="NUMBER")] = None
    """What masked pixels become: 0 by default; nan where images are floating-point."""

    crop: Annotated[str | None, Option(metavar="ROWS,COLUMNS")] = None
    """Keep a rectangle, such as 100:900,200:1000; ':' keeps all."""

    bin: Annotated[str | None, Option(metavar="N")] = None
    """Add up N by N pixels; 2,4 by rows and columns; 2:mean averages."""

    overflow: Annotated[Overflow | None, Option()] = None
    """Values that the dtype can't hold fail (error), are clipped and counted, or all
    are scaled."""

    rounding: Annotated[Rounding | None, Option()] = None
    """How fractions become whole. --dtype alone refuses them; with --overflow it is
    half-even."""

    def tables(self) -> list[CorrectionTable]:
        """Return the corrections before the cast, in the order in which they act."""
        dark = {
            "--dark-missing": self.dark_missing,
            "--dark-order": self.dark_order,
            "--allow": split_words(self.allow or ()) or None,
        }
        return [
            *_table("--dark", self.dark, _read_dark, dark),
            *_table("--flat", self.flat, _read_flat, {"--flat-order": self.flat_order}),
            *_table("--mask", self.mask, _read_mask, {"--mask-fill": self.mask_fill}),
            *_table("--crop", self.crop, _read_crop),
            *_table("--bin", self.bin, _read_bin),
        ]

    def cast(self, dtype: str | None) -> list[CorrectionTable]:
        """Return the cast, if it is another than that of ``dtype`` alone."""
        how = {"--overflow": self.overflow, "--rounding": self.rounding}
        if not any(how.values()):
            return []
        return _table("--dtype", dtype, lambda name: {"dtype": name}, how, kind="cast")


CHAIN = tuple(
    name
    for name in CorrectionOptions.model_fields
    if name not in ("overflow", "rounding")
)
"""The parameters that make the chain before the cast."""


def _table(
    option: str,
    text: str | None,
    read: Callable[[str], dict[str, Any]],
    others: Mapping[str, Any] | None = None,
    kind: str = "",
) -> list[CorrectionTable]:
    """Return the table of an option and of those that go with it, if it is given."""
    given = {name: value for name, value in (others or {}).items() if value is not None}
    if text is None:
        for other in given:
            message = f"{other} goes with {option}: give that too"
            raise SettingsError(message)
        return []
    settings = read(text)
    for name, value in given.items():
        is_number = name == "--mask-fill"
        settings[name.rpartition("-")[2]] = _number(name, value) if is_number else value
    return [CorrectionTable(option, kind or option.removeprefix("--"), settings)]


def _read_dark(text: str) -> dict[str, Any]:
    return _place("--dark", text, DARKS)


def _read_flat(text: str) -> dict[str, Any]:
    return _place("--flat", text, FLATS)


def _place(option: str, text: str, forms: tuple[str, ...]) -> dict[str, Any]:
    """Read where an image comes from, as the name of a setting and its value."""
    if text.startswith("start.") and len(text) > len("start."):
        return {"key": text.removeprefix("start.")}
    name, colon, value = text.partition(":")
    names = [form.split(":")[0] for form in forms if ":" in form]
    if name in names and value:
        if name == "constant":
            return {name: _number(option, value)}
        return {name: _expand(value) if name == "file" else value}
    near = did_you_mean(name, ["start", *names]) if value else ""
    if not colon and "." in text[:-1]:
        near = f": did you mean {'file:' + text!r}?"
    message = f"{option} must be one of {', '.join(forms)}, not {text!r}"
    raise SettingsError(message + (near if near.startswith(":") else ""))


def _read_mask(text: str) -> dict[str, Any]:
    return {"file": _expand(text.removeprefix("file:")), "fill": 0}


def _read_crop(text: str) -> dict[str, Any]:
    rows, comma, columns = text.partition(",")
    if not comma:
        message = f"--crop must be ROWS,COLUMNS, such as 100:900,:, not {text!r}"
        raise SettingsError(message)
    return {"rows": rows.strip(), "columns": columns.strip()}


def _read_bin(text: str) -> dict[str, Any]:
    counts, colon, how = text.partition(":")
    try:
        n = [int(count) for count in counts.split(",")]
    except ValueError:
        message = f"--bin must be N, ROWS,COLUMNS or N:mean, such as 2, not {text!r}"
        raise SettingsError(message) from None
    return {"n": n[0] if len(n) == 1 else n} | ({"how": how} if colon else {})


def _expand(path: str) -> str:
    """Expand ``~``, which a shell does not do after a colon."""
    return os.path.expanduser(path)  # noqa: PTH111 (an unknown user is no error)


def _number(option: str, text: str) -> int | float:
    for read in (int, float):  # a whole number stays one, however large
        with suppress(ValueError):
            number: int | float = read(text)
            return number
    message = f"{option} must be a number, not {text!r}"
    raise SettingsError(message)
