"""A soak of `tiffin serve`: it, its Tiled server and a 0MQ proxy are killed at random.

``python -m bench.soak 500`` writes 500 runs to the server, as an experiment does that
keeps the documents of a run until the server has them all. Their 0MQ messages are only
hints, which come twice, or are lost. In the end every frame is exported exactly once.
A fifth as many runs more come by Kafka: see `bench.soak_kafka`.
"""

import json
import random
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from unittest.mock import patch

import httpx
import msgpack
import msgpack_numpy
import zmq

from bench.soak_kafka import soak_kafka
from bench.soak_parts import (
    EXPORT,
    Killed,
    Service,
    Soaked,
    await_true,
    check,
    free_port,
    killing,
    small_run,
    states,
)

KEY = "soak"

TWICE = 0.2
"""How many of the messages come twice."""

PACE = 0.5
"""How long the experiment rests after a run, on average [s]."""

PROXY = "bluesky.commandline.zmq_proxy"

LONGEST_END = 600.0

SERVER = """
authentication: {{single_user_api_key: {key}}}
trees:
  - path: /
    tree: catalog
    args:
      uri: "sqlite:///{folder}/catalog.db"
      init_if_not_exists: {new}
      writable_storage: ["{folder}/data", "sqlite:///{folder}/tables.db"]
streaming_cache: {{uri: memory}}
"""

SERVICE = """
[service]
source = "{server}"
interval = 2
http = ""

[[service.listen]]
type = "zmq"
address = "{zmq}"

[[service.listen]]
type = "tiled"
address = "{server}"
"""


class TiledServer(Killed):
    """A Tiled server whose catalogue and data are on the disk."""

    def __init__(self, folder):
        port = free_port()
        self.address = f"http://127.0.0.1:{port}"
        self.data = folder / "data"
        self._clients = []
        self._config = folder / "server.yml"
        place = ("--host", "127.0.0.1", "--port", str(port))
        command = ("tiled", "serve", "config", str(self._config), *place)
        super().__init__("server", *command, folder=folder)

    def start(self):
        """Start it, and wait until it answers."""
        new = not (self._folder / "catalog.db").exists()
        config = SERVER.format(folder=self._folder, key=KEY, new=str(new).lower())
        self._config.write_text(config)
        super().start()
        await_true(self._answers)

    def _answers(self):
        with suppress(httpx.HTTPError):
            return httpx.get(f"{self.address}/healthz", trust_env=False).is_success
        return False

    def client(self):
        """Return a new client, which is closed with the server."""
        from tiled.client import from_uri

        client = from_uri(self.address, api_key=KEY)
        self._clients.append(client)
        return client

    def __exit__(self, *_):
        """End it, and close its clients."""
        for client in self._clients:
            client.context.close()
        super().__exit__()


class Experiment:
    """Writes runs to a server, and tells of their documents by 0MQ."""

    def __init__(self, server, socket, chance):
        self._server, self._socket, self._chance = server, socket, chance
        self._client = None
        self.uids, self.twice = [], 0

    def measure(self, n):
        """Write a run; begin it again until the server has all of it."""
        run = small_run(n)
        uid = run[0][1]["uid"]
        while uid not in self.uids:
            try:
                self._client = self._client or self._server.client()
                if not self._has(uid):
                    self._write(run)
                self.uids.append(uid)
            except httpx.HTTPError:  # the server was killed
                self._client = None
                time.sleep(0.5)

    def _has(self, uid):
        """Return whether the server has all of a run; remove what it has of a part."""
        found = self._client.get(uid)
        if found is None or "stop" in found.metadata:
            return found is not None
        self._client.delete_contents(uid, recursive=True, external_only=False)
        # An array of which the killed server had not noted that it was there.
        shutil.rmtree(self._server.data / uid, ignore_errors=True)
        return False

    def _write(self, run):
        from bluesky_tiled_plugins import TiledWriter

        write = TiledWriter(self._client)
        for name, doc in run:
            write(name, doc)
            again = self._chance.random() < TWICE
            self.twice += again
            data = msgpack.packb(doc, default=msgpack_numpy.encode)
            for _ in range(1 + again):
                self._socket.send(b" ".join([b"", name.encode(), data]))


def soak(folder, runs, seed, every, pace=PACE):
    """Send runs through a service, with something killed `every` so many runs."""
    chance, began = random.Random(seed), time.monotonic()
    inside, outside = (f"127.0.0.1:{free_port()}" for _ in range(2))
    with ExitStack() as stack:
        stack.enter_context(patch("tiled.client.utils.TILED_RETRY_ATTEMPTS", 1))
        server = stack.enter_context(TiledServer(folder))
        config = SERVICE.format(server=server.address, zmq=outside)
        (folder / "tiffin.toml").write_text(f"{config}{EXPORT}")
        places = ("--in-address", inside, "--out-address", outside)
        proxy = stack.enter_context(Killed("proxy", PROXY, *places, folder=folder))
        context = stack.enter_context(zmq.Context())
        socket = stack.enter_context(context.socket(zmq.PUB))
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(f"tcp://{inside}")
        experiment = Experiment(server, socket, chance)
        service = stack.enter_context(Service(folder, TILED_API_KEY=KEY))
        with killing([server, service, proxy], chance, every, experiment.uids) as kills:
            for n in range(runs):
                experiment.measure(n)
                time.sleep(chance.uniform(0, 2 * pace))
        await_true(lambda: len(states(folder, "done")) == runs, LONGEST_END)
        seconds = time.monotonic() - began
        code = service.end()
        found = check(folder, experiment.uids, server.address, code, TILED_API_KEY=KEY)
    return Soaked(kills, experiment.twice, seconds, *found)


def main():
    """Soak with the number of runs, and a seed, from the command line."""
    runs, seed = (*map(int, sys.argv[1:3]), *(500, 1)[len(sys.argv) - 1 :])
    ways = {"Tiled": (soak, runs, 8), "Kafka": (soak_kafka, runs // 5, 10)}
    bad = False
    for name, (way, number, every) in ways.items():
        with tempfile.TemporaryDirectory() as folder:
            found = way(Path(folder), number, seed, every)
        sys.stdout.write(f"{name}: {json.dumps(found._asdict(), indent=1)}\n")
        bad = bad or bool(found.problems)
    sys.exit(bad)


if __name__ == "__main__":
    main()
