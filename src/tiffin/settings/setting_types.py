"""The types of settings: what each allows, and how a user's value is read.

A function returns a value in its normal form, or raises a ValueError whose message
follows the setting's name, as in "must be True or False, not 1".
"""

from __future__ import annotations

import operator
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from tiffin.corrections import Correction, DarkSubtract, ImageKind, SupportsBind
from tiffin.dtypes import TIFF_DTYPES, parse_dtype
from tiffin.errors import TemplateError, did_you_mean
from tiffin.settings.frame_selection import parse_first, parse_frames
from tiffin.template import Reference, parse_reference, unbraced

LARGEST_BUDGET = 2**30
"""Default limit for the memory of waiting images [bytes]."""

A_YEAR = 366 * 86400
"""The longest time that can be waited for a file [s]."""


@dataclass(frozen=True, slots=True)
class Option:
    """How a setting is written in the shell and in the configuration file."""

    name: str = ""
    """The long option without its dashes; by default the setting's name."""
    short: str = ""
    """A short option, such as ``"-f"``."""
    metavar: str = ""
    """The placeholder in the help text."""
    kind: Any = None
    """The type of the option's value; by default the setting's, or text."""
    envvar: str = ""
    """An environment variable that holds the value."""
    panel: str = ""
    """The heading in the help under which the option is."""


WHAT, WHERE, NAMES = "What to export", "Where to", "Names"
PIXELS, FILES, SERVER = "Pixels", "Files", "Server and machine"
PANELS = (WHAT, WHERE, NAMES, PIXELS, FILES, SERVER)
"""The headings of options in the help, those that are used most first."""

LIVE = "live"
"""Marks a setting of live exports only."""

INTERNAL = "internal"
"""Marks a setting that no user sees."""

RESUME = "resume"
"""Marks a setting that must not change when an export is resumed."""

SIDECARS = ("run.json", "frames.csv")
"""The files that a run may have beside its images."""

Existing = Literal["error", "skip", "replace", "unique", "resume"]
FileTime = Literal["written", "event"]
Fsync = Literal["none", "file", "run"]
OnFull = Literal["stop", "wait"]
OnError = Literal["raise", "report"]
Repeats = Literal["last", "first", "all"]
Compression = Literal["zlib", "zstd", "lzw"]
Stretch = Literal["linear", "percentile", "log"]
Checksum = Literal["crc32", "sha256", "none"]
NamePolicy = Literal["portable", "strict"]


def _names(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    given: tuple[Any, ...] = ()
    if isinstance(value, str):
        given = (value,)
    elif isinstance(value, Iterable):
        given = tuple(value)
    if not given or not all(isinstance(name, str) and name for name in given):
        message = f"must be a name, a list of names, or None for all, not {value!r}"
        raise ValueError(message)
    return tuple(dict.fromkeys(given))


def _some_names(value: Any) -> tuple[str, ...]:
    return (_names(value) or ()) if value else ()


def _flag(value: Any) -> bool:
    if not isinstance(value, (bool, np.bool_)):
        message = f"must be True or False, not {value!r}"
        raise ValueError(message)
    return bool(value)


def _dtype(value: Any) -> np.dtype | None:
    return None if value is None else parse_dtype(value, TIFF_DTYPES, "dtype")


def _corrections(value: Any) -> tuple[Correction, ...]:
    steps = [value]
    if isinstance(value, Iterable) and not callable(value):
        steps = list(value)
    for step in steps:
        if isinstance(step, type):
            message = f"must be made with settings: {step.__name__}(...), not the class"
            raise ValueError(message)
        if not callable(step) and not isinstance(step, SupportsBind):
            message = (
                f"must be those of tiffin.corrections, or functions "
                f"(image, frame) -> image, not {step!r}"
            )
            raise ValueError(message)
    if sum(isinstance(step, DarkSubtract) for step in steps) > 1:
        message = "must hold one DarkSubtract at most: a dark is subtracted once"
        raise ValueError(message)
    return tuple(steps)


def _whole(value: Any) -> Any:
    """Return any integer, such as one of numpy, as one of Python."""
    if isinstance(value, (bool, np.bool_)):
        return value
    try:
        return operator.index(value)
    except TypeError:
        return value


def _workers(value: Any) -> Any:
    return max(1, min(4, os.cpu_count() or 1)) if value is None else value


def _memory(value: Any) -> Any:
    if value is None:
        return max(min(LARGEST_BUDGET, _available_memory() // 4), 2**20)
    return value


def _mode(value: Any) -> int | None:
    mode: int | None = _whole(value)
    if isinstance(value, str):
        try:
            mode = int(value, 8)
        except ValueError:
            mode = -1
    valid = isinstance(mode, int) and not isinstance(mode, bool) and 0 <= mode <= 0o7777
    if mode is not None and not valid:
        message = f"must be permissions, such as 0o640 or '640', not {value!r}"
        raise ValueError(message)
    return mode


def _available_memory() -> int:
    """Return how much memory is available [bytes]."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return LARGEST_BUDGET


def _stack(value: Any) -> str | int | None:
    if value in (None, "event", "run"):
        return None if value is None else str(value)
    text = value.strip() if isinstance(value, str) else _whole(value)
    if isinstance(text, str) and text.isdecimal():
        text = int(text)
    if not isinstance(text, int) or isinstance(text, bool) or text < 1:
        message = f"must be 'event', 'run' or a number of frames, not {value!r}"
        raise ValueError(message)
    return text


def _metadata(value: Any) -> Mapping[str, Reference | None] | None:
    if value is None or value is False:
        return None
    if not isinstance(value, Mapping):
        message = (
            f"must be a mapping of entries to references, as in "
            f"{{'temperature': 'event.data.T'}}, or None for no metadata, not {value!r}"
        )
        raise ValueError(message)
    return {str(key): _reference(key, text) for key, text in value.items()}


def _reference(key: Any, text: Any) -> Reference | None:
    if not isinstance(key, str) or not key:
        message = f"must have names as its keys, not {key!r}"
        raise ValueError(message)
    if text is None or text == "" or isinstance(text, Reference):
        return text or None
    if not isinstance(text, str):
        message = f"{key!r} must be a reference such as 'event.data.T', not {text!r}"
        raise ValueError(message)
    try:
        return parse_reference(text)
    except TemplateError as error:
        message = f"{key!r} must be a reference such as 'event.data.T', not {text!r}"
        if text.startswith("{"):
            inside = text.strip("{} ")
            message = f"{key!r} is a reference without brackets: write {inside!r}"
        elif text[0].isalpha():
            where = f"template, column {error.column}: "
            message += f": {unbraced(str(error).removeprefix(where))}"
        raise ValueError(message) from None


def _sidecars(value: Any) -> tuple[str, ...]:
    if isinstance(value, (bool, bytes)):
        message = (
            f"must be a list of {' and '.join(map(repr, SIDECARS))}, not {value!r}"
        )
        raise ValueError(message)
    names = _some_names(value)
    for name in names:
        if name not in SIDECARS:
            hint = did_you_mean(name, SIDECARS, list_all=False)
            message = f"must be among {', '.join(map(repr, SIDECARS))}, not {name!r}"
            raise ValueError(message + hint)
    return names


Flag = Annotated[bool, BeforeValidator(_flag)]
Names = Annotated[tuple[str, ...] | None, BeforeValidator(_names)]
Sidecars = Annotated[tuple[str, ...], BeforeValidator(_sidecars)]
SomeNames = Annotated[tuple[str, ...], BeforeValidator(_some_names)]
Dtype = Annotated[Any, BeforeValidator(_dtype)]
Corrections = Annotated[Any, BeforeValidator(_corrections)]
Kinds = Annotated[
    tuple[ImageKind, ...], BeforeValidator(lambda value: _names(value) or ("sub",))
]
Frames = Annotated[Any, BeforeValidator(parse_frames)]
First = Annotated[int, BeforeValidator(parse_first)]
Whole = Annotated[int, Field(strict=True), BeforeValidator(_whole)]
Count = Annotated[Whole, Field(ge=1)]
Workers = Annotated[Count, BeforeValidator(_workers)]
Memory = Annotated[Count, BeforeValidator(_memory)]
Mode = Annotated[int | None, BeforeValidator(_mode)]
Stack = Annotated[Any, BeforeValidator(_stack)]
Metadata = Annotated[Any, BeforeValidator(_metadata)]
Seconds = Annotated[float, Field(strict=True, ge=0, le=A_YEAR)]
