"""What tiffin says of its settings in Python's words, in those of the shell.

Messages are made far below, and name a setting as Python has it; whoever typed an
option is to read of an option.
"""

from __future__ import annotations

import logging
import re
import shlex

__all__ = ["ShellFormatter", "in_shell"]

OPTIONS = {
    "existing": "--existing",
    "dtype": "--dtype",
    "fields": "--field",
    "streams": "--stream",
    "save": "--save",
    "catalog": "--catalog",
    "via": "--via",
    "root_map": "--root-map",
    "colour": "--colour",
    "axes": "--axes",
    "timezone": "--timezone",
    "compression": "--compression",
}
"""Settings of an export, and the options that they are here."""

ALSO = {"missing": "--dark-missing", "allow": "--allow"}
"""Settings of corrections: options, or in a file's table what they are in Python."""

TEXT = r"'[^'\s]*'"
SETTING = re.compile(
    rf"\b(?P<name>{'|'.join(OPTIONS | ALSO)})="
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
    said = SETTING.sub(_as_option, text)
    return said.replace("as in corrections=", "as Python takes with corrections=")


def _as_option(found: re.Match[str]) -> str:
    name, value = found["name"], found["value"] or ""
    option = (OPTIONS | ALSO)[name]
    texts = [shlex.quote(text[1:-1]) for text in re.findall(TEXT, value)]
    said = " ".join(f"{option} {text}" for text in texts) or option
    return f"{found[0]} ({said})" if name in ALSO and value else said


class ShellFormatter(logging.Formatter):
    """Puts warnings and errors into the words of the shell."""

    def format(self, record: logging.LogRecord) -> str:
        """Give the message."""
        return in_shell(super().format(record))
