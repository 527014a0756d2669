"""What the soaks share: processes that are killed at random, and the last check."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from itertools import chain
from typing import NamedTuple

import numpy as np

from tiffin.service import Journal
from tiffin.testing import run_of

FRAMES = 3

LONGEST_START = 120.0

PORTS = random.SystemRandom()
"""Two processes of tests that choose at once choose different ports."""

EXPORT = """
[exports.tiff]
template = "{start.scan_id}/{event.seq_num:03d}.tif"
directory = "out"
"""


class Soaked(NamedTuple):
    """What has become of the runs.

    Attributes
    ----------
    kills : dict
        How often each process was killed.
    twice : int
        How many documents were sent twice.
    seconds : float
        How long it took, without the last check.
    done : int
        How many runs are exported.
    verified : str
        What ``tiffin verify --against`` says.
    problems : list of str
        What is wrong; empty if every frame was exported exactly once.
    """

    kills: dict
    twice: int
    seconds: float
    done: int
    verified: str
    problems: list


def free_port():
    """Return a port that nobody uses, nor gets from the system before it is used."""
    with socket.socket() as found:
        while True:
            try:
                found.bind(("127.0.0.1", PORTS.randrange(20_000, 32_000)))
                return found.getsockname()[1]
            except OSError:  # it is taken
                continue


def small_run(n):
    """Return the documents of a run whose images are all of its number."""
    return run_of({"img": np.full((FRAMES, 8, 6), n, "u2")}, scan_id=n)


class Killed:
    """A process that is killed and started again."""

    def __init__(self, name, *command, folder, **environment):
        self.name = name
        self._command, self._folder = [sys.executable, "-m", *command], folder
        self._environment = os.environ | environment
        self._log = (folder / f"{name}.log").open("a")
        self.start()

    def start(self):
        """Start it."""
        self._process = subprocess.Popen(
            self._command,
            stdout=self._log,
            stderr=self._log,
            cwd=self._folder,
            env=self._environment,
        )

    def kill(self):
        """Kill it with SIGKILL."""
        self._process.kill()
        self._process.wait()

    def end(self):
        """End it with SIGTERM, as a person would; return its code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def __enter__(self):
        """Return itself, to be ended."""
        return self

    def __exit__(self, *_):
        """End it, whatever has happened."""
        self.end()
        self._log.close()


class Service(Killed):
    """The service `tiffin serve` of the folder's ``tiffin.toml``."""

    def __init__(self, folder, **environment):
        command = ("tiffin", "serve", str(folder / "tiffin.toml"))
        super().__init__("service", *command, folder=folder, **environment)

    def start(self):
        """Start it, and wait until it works."""
        log = self._folder / "service.log"
        before = log.read_text().count("tiffin serves")
        super().start()
        await_true(lambda: log.read_text().count("tiffin serves") > before)


def await_true(condition, limit=LONGEST_START):
    """Wait until something is true, or the time is over."""
    end = time.monotonic() + limit
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)


@contextmanager
def killing(processes, chance, every, sent):
    """Kill a process each time that `sent` has grown by so many, and start it again.

    Each is killed as often as the others, however long it takes to start them.
    """
    over, kills = threading.Event(), Counter()

    def work():
        next_one = 0.0
        while True:
            for each in chance.sample(processes, len(processes)):
                next_one += chance.uniform(0.5, 1.5) * every
                while len(sent) < next_one:
                    if over.wait(chance.uniform(0, 0.5)):
                        return
                each.kill()
                each.start()
                kills[each.name] += 1

    killer = threading.Thread(target=work)
    killer.start()
    try:
        yield kills
    finally:
        over.set()
        killer.join()


def states(folder, state=None):
    """Return the runs of the journal by uid."""
    journal = Journal(folder / "state/journal.sqlite")
    found = journal.newest(10**6, state=state)
    journal.close()
    return {run.uid: run for run in found}


def check(folder, uids, source, code, **environment):
    """Return how many runs are done, what `tiffin verify` says, and what is wrong."""
    runs = states(folder)
    done = [uid for uid in uids if uid in runs and runs[uid].state == "done"]
    problems = [
        f"run {n} is {uid in runs and (runs[uid].state, runs[uid].why)}"
        for n, uid in enumerate(uids)
        if uid not in done
    ]
    if code:
        problems.append(f"the service ended with {code}")
    out = folder / "out"
    wanted = {f"{n}/{k + 1:03d}.tif" for n in range(len(uids)) for k in range(FRAMES)}
    files = {path.relative_to(out).as_posix() for path in out.glob("[!.]*/*")}
    problems += [f"{name} must not be there" for name in sorted(files - wanted)]
    problems += [f"{name} is missing" for name in sorted(wanted - files)]
    lines = (path.read_text().splitlines() for path in out.glob(".tiffin/*.jsonl"))
    listed = Counter(
        line["path"]
        for line in map(json.loads, chain.from_iterable(lines))
        if line.get("status") == "written"
    )
    problems += [f"{name} was written {k} times" for name, k in listed.items() if k > 1]
    said = verify(folder, source, environment)
    each = len(wanted)
    for words in (f"{each} intact", f"source: {each} the same, 0 not", "status 0"):
        if words not in said:
            problems.append(f"tiffin verify does not say {words!r}")
    return len(done), said, problems


def verify(folder, source, environment):
    """Return what `tiffin verify --against` says of all runs of a source."""
    command = ["verify", "out", "--against", source, "--since", "1d"]
    verified = subprocess.run(
        [sys.executable, "-m", "tiffin", *command],
        cwd=folder,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return f"{verified.stdout}{verified.stderr}exit status {verified.returncode}"
