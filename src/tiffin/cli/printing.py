"""Text for a terminal: settings as options, and no control characters."""

from __future__ import annotations

import json
import logging
import re
import shlex
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from tiffin.cli.wrong_options import without_option, without_value
from tiffin.obstacles import obstacle
from tiffin.settings import option_of, setting_names

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiffin.records import Record

OTHER_OPTIONS = {
    "via": "--via",
    "timeout": "--timeout",
    "missing": "--dark-missing",
    "allow": "--allow",
    "overflow": "--overflow",
    "rounding": "--rounding",
    "export": "--as",
    "engine": "--engine",
}
"""Options that are no settings of an export: arguments of replays and of darks."""

VALUE = r"(?:'[^'\s]*'|\d+(?:\.\d+)?(?![^\s,;:)]))"

CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Terminal commands, line ends, text direction marks, and lone surrogates."""

HIDDEN = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that JSON allows in texts, and that could change what a terminal shows."""


def with_options(text: str) -> str:
    """Return a message in which settings, as Python writes them, are options.

    Examples
    --------
    >>> with_options("existing='skip' leaves it; ask for streams=('dark', 'baseline')")
    '--existing skip leaves it; ask for --stream dark --stream baseline'
    >>> with_options("give a catalogue (catalog=), or follow_links=True")
    'give a catalogue (--catalog), or --follow-links'
    >>> with_options("level=99: mode=0o640, timeout=1.5")
    '--level 99: mode=0o640, --timeout 1.5'
    >>> with_options("corrections=[Cast('uint16', overflow='clip')] clips it")
    '--overflow clip clips it'
    >>> with_options("use Crop(rows=(0, 255), columns=None) before")
    'use --crop 0:255,: before'
    """
    crop = r"Crop\(rows=(?:\((\d+), (\d+)\)|None), columns=(?:\((\d+), (\d+)\)|None)\)"
    text = re.sub(crop, _as_crop, text)
    text = re.sub(r"corrections=\[Cast\('\w+', ([^()]*)\)\]", r"\1", text)
    return _settings_pattern().sub(_as_option, text)


def _as_crop(found: re.Match[str]) -> str:
    """Return the option for a Crop."""
    top, bottom, left, right = (edge or "" for edge in found.groups())
    return f"--crop {top}:{bottom},{left}:{right}"


@lru_cache(1)
def _options() -> dict[str, str]:
    """Return the option of each setting that has one."""
    options = {name: option_of(name) for name in setting_names(live=False)}
    named = {name: f"--{option.name}" for name, option in options.items() if option}
    return named | OTHER_OPTIONS


@lru_cache(1)
def _settings_pattern() -> re.Pattern[str]:
    """Return the pattern of a setting with its value, as Python writes it."""
    value = rf"True|{VALUE}|\((?:{VALUE},? ?)+\)"
    return re.compile(rf"\b({'|'.join(_options())})=(?:({value})|(?=[\s,;:)]|$))")


def _as_option(found: re.Match[str]) -> str:
    option = _options()[found[1]]
    values = [value.strip("'") for value in re.findall(VALUE, found[2] or "")]
    return " ".join(f"{option} {shlex.quote(value)}" for value in values) or option


def escape(text: object, *, keep: str = "") -> str:
    r"""Escape control characters, but for those in `keep`: names may hold any.

    Examples
    --------
    >>> escape("7_\x1b[2J.tif")
    '7_\\x1b[2J.tif'
    """
    return CONTROLS.sub(
        lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], str(text)
    )


def print_json(value: Any) -> None:
    """Print a value as a line of JSON that can't change what a terminal shows."""
    is_ascii = "utf" not in (sys.stdout.encoding or "utf").lower()
    text = json.dumps(value, ensure_ascii=is_ascii)
    line = HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    sys.stdout.write(f"{line}\n")


def describe(record: Record) -> dict[str, Any]:
    """Return a record for JSON."""
    return {
        "path": record.file,
        "status": record.status,
        "run": record.run,
        "stream": record.stream,
        "field": record.field,
        "seq_num": record.seq_num,
        "i": record.i,
        "page": record.page,
        "kind": record.kind,
        "shape": record.shape,
        "dtype": None if record.dtype is None else record.dtype.name,
        "error": None if record.error is None else with_options(str(record.error)),
    }


def print_line(text: str, style: str) -> None:
    """Print a line on stderr, in a colour where that is a terminal."""
    Console(stderr=True).print(Text(text, style), soft_wrap=True)


def print_summary(text: str, *, ok: bool) -> None:
    """Print the last line of a command: green, or red if something failed."""
    print_line(text, "green" if ok else "red")


def print_error(error: Exception, text: str = "") -> None:
    """Print why a command can't go on, with the notes of the error."""
    message = escape(with_options(text or str(error)))
    line = Text.assemble(("error: ", "bold red"), message)
    Console(stderr=True).print(line, soft_wrap=True)
    for note in getattr(error, "__notes__", ()):
        print_line(escape(note), "dim")


def print_usage_error(error: Any) -> int:
    """Print what is wrong with what was typed, and an example; return the status."""
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return int(error.exit_code)
    name = type(error).__name__
    answers = {"NoSuchOption": without_option, "BadOptionUsage": without_value}
    text = answers[name](error) if name in answers else error.format_message()
    text = re.sub(r"Input should be a valid integer.*", "it is no whole number", text)
    text = re.sub(r"Input should be a valid number.*", "it is no number", text)
    if "unexpected extra argument" in text:
        text += _extra_argument(text, error.ctx.command.params)
    print_error(error, text)
    command = getattr(error.ctx, "command", None)
    path = getattr(error.ctx, "command_path", "tiffin")
    for example in getattr(command, "examples", [])[:1]:
        print_line(f"example: {example}", "")
    print_line(f"'{path} --help' lists what there is", "dim")
    return int(error.exit_code)


def print_refusal(error: OSError | UnicodeEncodeError) -> None:
    """Print what the system refused, and what stands in the way."""
    if isinstance(error, UnicodeEncodeError):
        character = error.object[error.start]
        text = f"the encoding {error.encoding!r} of this locale has no {character!r}"
        print_error(error, f"{text}: set PYTHONUTF8=1, or LC_ALL=C.UTF-8")
        return
    path = error.filename
    problem = obstacle(path, write=True) if isinstance(path, str) else ""
    why = f"{problem}: choose another path" if problem else f"{error.strerror or error}"
    print_error(error, f"{path!r} can't be used: {why}" if path else why)
    print_line("--debug shows where", "dim")


def _extra_argument(text: str, parameters: Iterable[Any]) -> str:
    """Return what to do about an argument that has no place."""
    if "{" in text:
        return ": did you mean it as --template?"
    advice = ": it takes one at a time; quote a value with blanks"
    if any(each.opts[0] == "--run" for each in parameters):
        advice += "; repeat an option for each value, as in --run 7 --run 8"
    return advice


def print_defect(error: Exception) -> None:
    """Print an exception that tiffin should have turned into a message."""
    what = f"{type(error).__name__}: {error}"
    advice = "--debug shows where: please report it"
    print_error(error, f"tiffin has a defect here ({what}). {advice}")


def configure_logging() -> None:
    """Print warnings and errors, in the words of the shell."""
    handler = _Handler()
    handler.setFormatter(_Formatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


class _Handler(logging.Handler):
    """Prints a line for each message, coloured by its level on a terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        level = ("", "")
        if record.levelno >= logging.WARNING:
            level = ("warning: ", "bold yellow")
        if record.levelno >= logging.ERROR:
            level = ("error: ", "bold red")
        text = Text.assemble(level, self.format(record))
        Console(stderr=True).print(text, soft_wrap=True)


class _Formatter(logging.Formatter):
    """Writes settings as options, and escapes control characters."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return escape(with_options(super().formatMessage(record)))

    def formatException(self, ei: Any) -> str:
        if "--debug" in sys.argv:
            return escape(super().formatException(ei), keep="\n")
        return escape(f"{ei[0].__name__}: {ei[1]} (--debug shows where)")
