"""A soak of `tiffin serve`: runs by Kafka and 0MQ, duplicates, and SIGKILL at random.

``python -m bench.soak 500`` exports 500 runs. Kafka keeps messages, so that every frame
of its runs must be there in the end. 0MQ loses what comes while nobody listens: a run
that was not heard whole must be noted as incomplete, and is never exported short.
"""

import json
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import msgpack
import msgpack_numpy
import numpy as np
import zmq
from confluent_kafka import Producer

from tiffin.service import Journal
from tiffin.testing import run_of

FRAMES = 3
PACE = 0.3
TWICE = 0.2
LONGEST_END = 60.0

CONFIG = """
[service]
source = "documents"
interval = 0.3
http = ""

[[service.listen]]
type = "kafka"
address = "{kafka}"
topics = ["soak"]

[[service.listen]]
type = "zmq"
address = "{zmq}"

[exports.tiff]
template = "{{start.scan_id}}/{{event.seq_num:03d}}.tif"
directory = "out"
"""


class Soaked(NamedTuple):
    """What has become of the runs: how many, and the complaints."""

    kills: int
    whole: int
    incomplete: int
    unheard: int
    problems: list[str]


def free_port():
    """Return a port that nobody uses."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Killed:
    """A process that is killed at random, and started again."""

    def __init__(self, *command, folder, log):
        self._command, self._folder = [sys.executable, "-m", *command], folder
        self._log = log
        self._process = None
        self.start()

    def start(self):
        """Start it."""
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=self._log, cwd=self._folder
        )

    def kill(self):
        """Kill it as the system would, and start it again."""
        self._process.kill()
        self._process.wait()
        self.start()

    def end(self):
        """End it as a person would; return its code."""
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(60)


def soak(folder, runs, seed, every):
    """Send runs through a service, with something killed `every` so many seconds."""
    chance = random.Random(seed)
    inside, outside = (f"127.0.0.1:{free_port()}" for _ in range(2))
    kafka = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1})
    (broker,) = kafka.list_topics().brokers.values()
    config = folder / "tiffin.toml"
    address = f"{broker.host}:{broker.port}"
    config.write_text(CONFIG.format(kafka=address, zmq=outside))
    over = threading.Event()
    with (folder / "log.txt").open("w") as log, zmq.Context() as context:
        proxy = Killed(
            *("bluesky.commandline.zmq_proxy", "--in-address", inside),
            *("--out-address", outside),
            **{"folder": folder, "log": log},
        )
        service = Killed("tiffin", "serve", str(config), folder=folder, log=log)
        kills = []

        def kill():
            while not over.wait(chance.uniform(0.5, 1.5) * every):
                chance.choice([service, service, proxy]).kill()
                kills.append(time.time())

        killer = threading.Thread(target=kill)
        with context.socket(zmq.PUB) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(f"tcp://{inside}")
            await_start(folder / "log.txt")
            killer.start()
            sent = send(runs, chance, kafka, socket)
            over.set()
            killer.join()
            try:
                await_end(folder, sent)
            finally:
                codes = service.end(), proxy.end()
    found = check(folder, sent, len(kills))
    if codes[0]:
        found.problems.append(f"the service ended with {codes[0]}")
    return found


def send(runs, chance, kafka, socket):
    """Send runs by Kafka and 0MQ in turn; return their ways by uid."""
    sent = {}
    for n in range(runs):
        way = ("kafka", "zmq")[n % 2]
        images = np.full((FRAMES, 8, 6), n, "u2")
        documents = run_of({"img": images}, scan_id=n)
        sent[documents[0][1]["uid"]] = way
        again = 2 if chance.random() < TWICE / 4 else 1
        for name, doc in documents * again:
            times = 2 if chance.random() < TWICE else 1
            data = msgpack.packb(doc, default=msgpack_numpy.encode)
            if way == "zmq":  # so that a kill comes within a run, too
                time.sleep(chance.uniform(0, PACE / 3))
            for _ in range(times):
                if way == "zmq":
                    socket.send(b" ".join([b"", name.encode(), data]))
                else:
                    pair = msgpack.packb([name, doc], default=msgpack_numpy.encode)
                    kafka.produce("soak", value=pair, key="one")
        kafka.flush(20)
        time.sleep(chance.uniform(0, 2 * PACE))
    return sent


def await_start(log):
    """Wait until the service listens."""
    while "tiffin serves" not in log.read_text():
        time.sleep(0.2)
    time.sleep(2.0)


def await_end(folder, sent):
    """Wait until nothing is to be done."""
    end = time.monotonic() + LONGEST_END
    while time.monotonic() < end:
        journal = Journal(folder / "state/journal.sqlite")
        states = {run.uid: run.state for run in journal.newest(10**6)}
        journal.close()
        heard = all(
            states.get(uid) in ("done", "failed")
            for uid, way in sent.items()
            if way == "kafka"
        )
        if heard and not {"waiting", "working"} & {*states.values()}:
            return
        time.sleep(0.5)


def check(folder, sent, kills):
    """Compare what was exported with what was sent."""
    journal = Journal(folder / "state/journal.sqlite")
    found = {run.uid: run for run in journal.newest(10**6)}
    journal.close()
    problems, whole, incomplete, unheard = [], 0, 0, 0
    for n, (uid, way) in enumerate(sent.items()):
        run, files = found.get(uid), list((folder / f"out/{n}").glob("*.tif"))
        if run is not None and run.state == "done":
            whole += 1
            if len(files) != FRAMES or run.failed:
                problems.append(f"run {n} is done with {len(files)} files")
            continue
        if files:
            problems.append(f"run {n} is not done, and has {len(files)} files")
        if way == "kafka":
            problems.append(f"run {n}, by Kafka, is {run and (run.state, run.why)}")
        elif run is None:
            unheard += 1
        elif run.is_incomplete or run.state == "open":  # its stop was lost
            incomplete += 1
        else:
            problems.append(f"run {n} is {run.state}: {run.why}")
    command = ["verify", folder / "out", "--against", folder / "documents"]
    verified = subprocess.run(
        [sys.executable, "-m", "tiffin", *command],
        capture_output=True,
        text=True,
        check=False,
    )
    if verified.returncode:
        problems.append(f"tiffin verify: {verified.stdout}{verified.stderr}")
    return Soaked(kills, whole, incomplete, unheard, problems)


def main():
    """Soak with the number of runs, and a seed, from the command line."""
    runs, seed = (*map(int, sys.argv[1:3]), *(500, 1)[len(sys.argv) - 1 :])
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), runs, seed, every=8.0)
    sys.stdout.write(f"{json.dumps(found._asdict(), indent=1)}\n")
    sys.exit(bool(found.problems))


if __name__ == "__main__":
    main()
