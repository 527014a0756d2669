"""How the program that runs is typed, so that a user can type it again."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path


def program() -> str:
    """Return the name or the path by which the shell finds this program."""
    started = Path(sys.argv[0])
    if sys.argv[0] == "tiffin":
        return "tiffin"
    if started.name == "__main__.py":
        return f"{shlex.quote(sys.executable)} -m tiffin"
    found = shutil.which("tiffin")
    if found is not None and started.exists() and Path(found).samefile(started):
        return "tiffin"
    return shlex.quote(str(started.absolute()))
