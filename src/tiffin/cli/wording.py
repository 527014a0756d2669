"""What tiffin says of its settings in Python's words, in those of the shell.

Messages are made far below, and name a setting as Python has it; whoever typed an
option is to read of an option.
"""

from __future__ import annotations

import logging
import re
import shlex
from functools import lru_cache
from typing import Any

__all__ = ["ShellFormatter", "in_shell", "message_of", "shown"]

ALSO = {"missing": "--dark-missing", "allow": "--allow"}
"""Settings of corrections: options, or in a file's table what they are in Python."""

TEXT = r"'[^'\s]*'"


@lru_cache(1)
def _options() -> dict[str, str]:
    """Return settings of an export, and the options that they are here."""
    from tiffin.settings import option_of, setting_names

    options = {name: option_of(name) for name in setting_names(live=False)}
    found = {name: f"--{option.name}" for name, option in options.items() if option}
    return found | {"via": "--via", "timeout": "--timeout"}


@lru_cache(1)
def _setting() -> re.Pattern[str]:
    """Return the pattern of a setting with its value, as Python writes it."""
    return re.compile(
        rf"\b(?P<name>{'|'.join(_options() | ALSO)})="
        rf"(?:(?P<value>{TEXT}|\((?:{TEXT},? ?)+\))|(?=[\s,;:)]|$))"
    )


def in_shell(text: str) -> str:
    """Say it with options.

    Examples
    --------
    >>> in_shell("existing='skip' leaves it; ask for streams=('dark', 'baseline')")
    '--existing skip leaves it; ask for --stream dark --stream baseline'
    >>> in_shell("give a catalogue (catalog=)")
    'give a catalogue (--catalog)'
    >>> in_shell("missing='raw' exports it as it is")
    "missing='raw' (--dark-missing raw) exports it as it is"
    """
    said = _setting().sub(_as_option, text)
    said = said.replace("follow_links=True", "--follow-links")
    return said.replace("as in corrections=", "as Python takes with corrections=")


def message_of(error: Any) -> str:
    """Return an error's message, in which a setting is an option."""
    option = _options().get(getattr(error, "setting", ""))
    return in_shell(f"{option} {error.problem}" if option else str(error))


def _as_option(found: re.Match[str]) -> str:
    name, value = found["name"], found["value"] or ""
    option = (_options() | ALSO)[name]
    texts = [shlex.quote(text[1:-1]) for text in re.findall(TEXT, value)]
    said = " ".join(f"{option} {text}" for text in texts) or option
    return f"{found[0]} ({said})" if name in ALSO and value else said


CONTROLS = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""What a terminal obeys, what forges lines or their order, what no terminal takes."""


def shown(text: object, *, keep: str = "") -> str:
    r"""Escape control characters: names and messages hold what others wrote.

    Parameters
    ----------
    text : object
        Shown as `str` gives it.
    keep : str
        Characters that are left as they are.

    Examples
    --------
    >>> shown("7_\x1b[2J.tif")
    '7_\\x1b[2J.tif'
    """
    return CONTROLS.sub(
        lambda found: found[0] if found[0] in keep else ascii(found[0])[1:-1], str(text)
    )


class ShellFormatter(logging.Formatter):
    """Puts warnings and errors into the words of the shell, and escapes them."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the message."""
        return shown(in_shell(super().formatMessage(record)))

    def formatException(self, ei: Any) -> str:
        """Return the traceback, on its lines."""
        return shown(super().formatException(ei), keep="\n")
