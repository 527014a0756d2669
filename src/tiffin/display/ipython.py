"""The IPython session that runs, and the tracebacks that it shows."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

NOT_THE_USERS = (
    str(Path(__file__).parents[1]),
    *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
    *("<string>", "<frozen "),  # made by Python
)
"""Folders whose lines are left out of a short traceback."""


def running_ipython() -> Any:
    """Return the IPython session that runs, or None."""
    module = sys.modules.get("IPython")
    return None if module is None else module.get_ipython()


def short_traceback(error: BaseException) -> Callable[[], list[str]]:
    """Return the function that IPython calls to show an error of tiffin.

    It shows the lines of the user, without those of tiffin and other libraries.
    `%debug` has all of them, and so has ``%tb Verbose``. With ``%xmode Verbose``, an
    AttributeError makes IPython show its own traceback.
    """
    session = running_ipython()
    if getattr(getattr(session, "InteractiveTB", None), "mode", "") == "Verbose":
        message = "_render_traceback_: the full traceback is asked for"
        raise AttributeError(message)
    return partial(_lines, error, session)


def _lines(error: BaseException, session: Any) -> list[str]:
    lines = []
    for frame in traceback.extract_tb(error.__traceback__):
        if frame.filename.startswith(NOT_THE_USERS):
            continue
        where = _name_of(frame.filename, session)
        lines.append(f"{where}, line {frame.lineno}\n    {frame.line}")
    notes = getattr(error, "__notes__", ())
    return [*lines, f"{type(error).__name__}: {error}", *map(str, notes)]


def _name_of(file: str, session: Any) -> str:
    """Return the name of a cell, such as "Cell In[3]", or of a file."""
    compiler = getattr(session, "compile", None)
    name = getattr(compiler, "format_code_name", lambda _: None)(file)
    return f"File {file}" if name is None else " ".join(name)
