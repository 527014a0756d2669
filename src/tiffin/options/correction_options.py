"""The shell's options for corrections, and the one order in which these act.

Dark, flat field, mask, crop, bin, cast: first the dark is subtracted, then the flat
field divides. These and the mask fit the detector's whole area, so that the crop comes
after them. Bins add up corrected pixels only, and numbers are rounded once, at the end.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, model_validator

from tiffin.corrections import Missing, Order, Overflow, Rounding
from tiffin.errors import SettingsError, did_you_mean
from tiffin.options.correction_tables import CorrectionTable
from tiffin.options.option_values import is_off, split_words
from tiffin.settings import Option


def _place(*forms: str) -> Callable[[str], dict[str, Any]]:
    """Return a function that reads where an image comes from, as a setting."""
    names = [form.split(":")[0] for form in forms if ":" in form]

    def read(text: str) -> dict[str, Any]:
        if text.startswith("start.") and len(text) > len("start."):
            return {"key": text.removeprefix("start.")}
        name, colon, value = text.partition(":")
        if name in names and value:
            if name == "constant":
                return {name: _number(value)}
            return {name: _expand(value) if name == "file" else value}
        hint = did_you_mean(name, ["start", *names], list_all=False) if value else ""
        if not colon and "." in text[:-1]:
            hint = f": did you mean {'file:' + text!r}?"
        message = f"must be one of {', '.join(forms)}, not {text!r}"
        raise ValueError(message + hint)

    return read


def _mask(text: str) -> dict[str, Any]:
    return {"file": _expand(text.removeprefix("file:")), "fill": 0}


def _crop(text: str) -> dict[str, Any]:
    rows, comma, columns = text.partition(",")
    if not comma:
        message = f"must be ROWS,COLUMNS, such as 100:900,:, not {text!r}"
        raise ValueError(message)
    return {"rows": rows.strip(), "columns": columns.strip()}


def _bin(text: str) -> dict[str, Any]:
    counts, colon, how = text.partition(":")
    try:
        n = [int(count) for count in counts.split(",")]
    except ValueError:
        message = f"must be N, ROWS,COLUMNS or N:mean, such as 2, not {text!r}"
        if re.fullmatch(r"\d+[xX*]\d+", text):
            message += f": did you mean {re.sub('[xX*]', ',', text)!r}?"
        raise ValueError(message) from None
    return {"n": n[0] if len(n) == 1 else n} | ({"how": how} if colon else {})


def _number(text: str) -> int | float:
    for read in (int, float):  # a whole number stays one, however large
        with suppress(ValueError):
            number: int | float = read(text)
            return number
    message = f"must be a number, not {text!r}"
    raise ValueError(message)


def _expand(path: str) -> str:
    """Expand ``~``, which a shell does not do after a colon."""
    return os.path.expanduser(path)  # noqa: PTH111 (an unknown user is no error)


Dark = _place("start.KEY", "stream:NAME", "file:PATH", "run:UID", "constant:NUMBER")
Flat = _place("start.KEY", "stream:NAME", "file:PATH")


class CorrectionOptions(BaseModel, frozen=True, use_attribute_docstrings=True):
    """Options from which corrections are made."""

    panel: ClassVar = (
        "Corrections, which act in this order: dark, flat, mask, crop, bin, dtype"
    )

    dark: Annotated[Any, BeforeValidator(Dark), Option(metavar="PLACE")] = None
    """Subtract it: start.KEY (of the start document, a run's uid), stream:NAME,
    file:PATH, run:UID, or constant:NUMBER."""

    dark_missing: Annotated[Missing | None, Option()] = None
    """A light without a dark fails (error, the default), is exported as it is (raw), or
    left out (skip)."""

    dark_order: Annotated[Order | None, Option()] = None
    """Which dark of a stream: the latest before a light (the default), the nearest in
    time, or the first after it."""

    allow: Annotated[
        list[str] | None, BeforeValidator(split_words), Option(metavar="WHAT")
    ] = None
    """What dark and light may differ in: exposure, gain, binning, images, or a key;
    repeatable, or with commas."""

    flat: Annotated[Any, BeforeValidator(Flat), Option(metavar="PLACE")] = None
    """Divide by this flat field: start.KEY, stream:NAME, or file:PATH."""

    flat_order: Annotated[Order | None, Option()] = None
    """Which flat field of a stream; as --dark-order."""

    mask: Annotated[Any, BeforeValidator(_mask), Option(metavar="PATH")] = None
    """An image that is not zero where pixels are replaced."""

    mask_fill: Annotated[Any, BeforeValidator(_number), Option(metavar="NUMBER")] = None
    """What masked pixels become: 0 by default; nan where images are floating-point."""

    crop: Annotated[Any, BeforeValidator(_crop), Option(metavar="ROWS,COLUMNS")] = None
    """Keep a rectangle, such as 100:900,200:1000; ':' keeps all."""

    bin: Annotated[Any, BeforeValidator(_bin), Option(metavar="N")] = None
    """Add up N by N pixels; 2,4 by rows and columns; 2:mean averages."""

    overflow: Annotated[Overflow | None, Option()] = None
    """Values that the dtype can't hold fail (error), are clipped and counted, or all
    are scaled."""

    rounding: Annotated[Rounding | None, Option()] = None
    """How fractions become whole. --dtype alone refuses them; with --overflow it is
    half-even."""

    @model_validator(mode="before")
    @classmethod
    def _turn_off(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Leave out what ``none`` turns off."""
        return {n: value for n, value in given.items() if not is_off(cls, n, value)}

    def tables(self) -> list[CorrectionTable]:
        """Return the corrections before the cast, in the order in which they act."""
        return [
            *self._table(
                "dark", missing="dark_missing", order="dark_order", allow="allow"
            ),
            *self._table("flat", order="flat_order"),
            *self._table("mask", fill="mask_fill"),
            *self._table("crop"),
            *self._table("bin"),
        ]

    def _table(self, kind: str, **others: str) -> list[CorrectionTable]:
        """Return the table of an option, with the options that go with it."""
        settings = {
            name: getattr(self, option)
            for name, option in others.items()
            if getattr(self, option) is not None
        }
        main = getattr(self, kind)
        if main is not None:
            return [CorrectionTable(f"--{kind}", kind, main | settings)]
        for name in settings:
            message = f"goes with --{kind}: give that too"
            raise SettingsError(message, setting=others[name])
        return []

    def cast(self, dtype: str | None) -> list[CorrectionTable]:
        """Return the cast, if it is another than that of ``dtype`` alone."""
        how = {"overflow": self.overflow, "rounding": self.rounding}
        given = {name: value for name, value in how.items() if value is not None}
        if given and dtype is None:
            message = "goes with --dtype: give that too"
            raise SettingsError(message, setting=next(iter(given)))
        settings = {"dtype": dtype} | given
        return [CorrectionTable("--dtype", "cast", settings)] if given else []


CHAIN = tuple(CorrectionOptions.model_fields.keys() - {"overflow", "rounding"})
"""The parameters that make the chain before the cast."""
