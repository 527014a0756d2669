"""The commands of the tutorial, and what they print."""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

from tests.shell import tiffin

PAGE = Path(__file__).parents[1] / "docs" / "tutorial" / "first-export.md"

HOME = "/home/ada"
"""Where the page is read as being typed."""

ADDRESS = "http://localhost:8000"
"""The server of the page."""

ENVIRONMENT = {"COLUMNS": "95", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", "TZ": "UTC"}

BLOCK = re.compile(r"(?<=```console\n).*?(?=```)", re.DOTALL)

COMMAND = re.compile(r"((?:[^\n]*\\\n)*[^\n]*)\n(.*)", re.DOTALL)

DIFFERENT = (
    (r"\b20\d{6}-\d{6}\b", "TIME"),
    (r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "UUID"),
    (r"\b(?=[0-9a-f]*\d)[0-9a-f]{8}\b", "UID8"),
    (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?([+-]\d\d:\d\d|Z)?", "TIME"),
    (r"\b1\d{9}(\.\d+)?\b", "SECONDS"),
    (r"\b\d+(\.\d+)? (s|ms|MB/s|kB|MB|GB)\b", r"NUMBER \2"),
    (r" +", " "),
)
"""What differs each time: uids, times, durations, sizes, and so columns."""


class Step(NamedTuple):
    """A command, and what the page shows below it."""

    command: str
    shown: str


def steps():
    """Return the commands of the page in order."""
    found = []
    for block in BLOCK.findall(PAGE.read_text("utf-8")):
        found += map(_step, parts_of(block))
    return found


def parts_of(block):
    """Return commands, each with what is shown below it."""
    return re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]


def _step(part):
    """Split a command, which may go on after a backslash, from what is shown."""
    command, shown = COMMAND.fullmatch(part).groups()
    return Step(command, shown)


def normalised(text):
    """Return text without what differs each time."""
    for pattern, name in DIFFERENT:
        text = re.sub(pattern, name, text)
    return [line.strip() for line in text.strip().splitlines()]


def as_on_the_page(text, home, address):
    """Return what a command prints, with the folder and the server of the page."""
    return text.replace(address, ADDRESS).replace(str(home), HOME)


class Walk:
    """Types commands one after the other, and remembers folder and environment.

    Parameters
    ----------
    home : Path
        Where it begins.
    run : callable
        Runs the words of a command in a folder with an environment; returns its status
        and what it prints.
    address : str
        The server in place of that of the page.
    """

    def __init__(self, home, run, address):
        self.home = self.folder = home
        self.environment = dict(ENVIRONMENT)
        self._run, self._address = run, address

    def type(self, command):
        """Return the status of a command and what it prints, as on the page."""
        joined = command.replace("\\\n", " ")
        words = shlex.split(joined.replace(ADDRESS, self._address))
        if words[0] == "cd":
            self.folder = self.folder / words[1]
            return 0, ""
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            self.environment.setdefault(name, value)
            return 0, ""
        status, printed = self._run(words, self.folder, self.environment)
        return status, as_on_the_page(printed, self.home, self._address)


def in_this_process(words, folder, environment):
    """Run a command of tiffin here; installing is done, and other programs are run."""
    if words[0] == "tiffin":
        told = tiffin(*words[1:], cwd=folder, env=environment, together=True)
        return told.returncode, told.stdout
    if words[0] in ("python3", ".", "pip"):
        return 0, ""
    return in_a_process(words, folder, environment)


def in_a_process(words, folder, environment):
    """Run a program; return its status, and what it prints in the order of printing."""
    done = subprocess.run(
        words,
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=100,
    )
    return done.returncode, done.stdout


def write(told):
    """Write what the commands print into the page."""
    answers = iter(told)

    def block(found):
        lines = []
        for part in parts_of(found[0]):
            lines += [f"$ {_step(part).command}", *next(answers).rstrip().splitlines()]
        return "\n".join(lines) + "\n"

    PAGE.write_text(BLOCK.sub(block, PAGE.read_text("utf-8")), "utf-8")
