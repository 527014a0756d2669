"""Print the log and the lines of scans on stderr, once."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

TIFFIN = logging.getLogger("tiffin")
SCANS = logging.getLogger("tiffin.scans")

COLOURS = {logging.ERROR: "\x1b[1;31m", logging.WARNING: "\x1b[33m"}


def say(level: int, line: str) -> None:
    """Log a line about a scan, shown by default.

    Python shows no INFO by default. A level that the user has set, of the logger
    `tiffin.scans` or `tiffin`, is kept.
    """
    if SCANS.level or TIFFIN.level:
        SCANS.log(level, "%s", line)
    elif level > logging.root.manager.disable and not SCANS.disabled:
        record = SCANS.makeRecord(SCANS.name, level, "", 0, "%s", (line,), None)
        SCANS.handle(record)


def print_log() -> None:
    """Print the log of tiffin on stderr from now on, unless another handler does."""
    TIFFIN.addHandler(_HANDLER)  # once, however often this is called


class _Terminal(logging.Handler):
    """Prints records with the prefix "tiffin: ", in a colour on a terminal."""

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr
        if stream is None or _is_shown(record, but=self):
            return
        try:
            text = "".join(map(_printable, self.format(record)))
            colour = COLOURS.get(record.levelno, "")
            if colour and stream.isatty() and not os.environ.get("NO_COLOR"):
                text = f"{colour}{text}\x1b[0m"
            stream.write(text + "\n")
            stream.flush()
        except (OSError, ValueError):  # stderr is closed: the scan goes on
            pass


def _printable(character: str) -> str:
    if character.isprintable() or character == "\n":
        return character
    return ascii(character)[1:-1]


def _is_shown(record: logging.LogRecord, *, but: logging.Handler) -> bool:
    """Return whether another handler prints a record."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None:
        for handler in logger.handlers:
            if handler is not but and record.levelno >= handler.level:
                stream: Any = getattr(handler, "stream", None)
                stream = stream or getattr(getattr(handler, "console", None), "file", 0)
                if stream in (sys.stderr, sys.stdout, sys.__stderr__, sys.__stdout__):
                    return True
        logger = logger.parent if logger.propagate else None
    return False


_HANDLER = _Terminal()
_HANDLER.setFormatter(logging.Formatter("tiffin: %(message)s"))
