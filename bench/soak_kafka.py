"""A soak of `tiffin serve` by Kafka: documents come twice, and the service is killed.

The service has no catalogue: the documents go into its folder. A broker keeps them
until they are on the disk there, so every frame is exported exactly once in the end.
"""

import random
import time

import msgpack
import msgpack_numpy
from confluent_kafka import Producer

from bench.soak_parts import (
    EXPORT,
    Service,
    Soaked,
    await_true,
    check,
    killing,
    small_run,
    states,
)

PACE = 0.3
"""How long the experiment rests after a run, on average [s]."""

TWICE = 0.2
"""How many of the documents come twice."""

LONGEST_END = 120.0

SERVICE = """
[service]
source = "documents"
interval = 0.3
http = ""

[[service.listen]]
type = "kafka"
address = "{kafka}"
topics = ["soak"]
"""


def soak_kafka(folder, runs, seed, every):
    """Send runs through a service that is killed `every` so many runs."""
    chance, began, uids, twice = random.Random(seed), time.monotonic(), [], 0
    kafka = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1})
    (broker,) = kafka.list_topics().brokers.values()
    config = SERVICE.format(kafka=f"{broker.host}:{broker.port}")
    (folder / "tiffin.toml").write_text(f"{config}{EXPORT}")
    with Service(folder) as service:
        with killing([service], chance, every, uids) as kills:
            for n in range(runs):
                documents = small_run(n)
                uids.append(documents[0][1]["uid"])
                twice += send(documents, chance, kafka)
                time.sleep(chance.uniform(0, 2 * PACE))
        await_true(lambda: len(states(folder, "done")) == runs, LONGEST_END)
        seconds = time.monotonic() - began
        found = check(folder, uids, "documents", service.end())
    return Soaked(kills, twice, seconds, *found)


def send(documents, chance, kafka):
    """Send a run; return how many of its documents were sent twice.

    Some come twice in a row, and some runs once more when they are over.
    """
    whole, twice = chance.random() < TWICE / 4, 0
    for name, doc in documents * (1 + whole):
        again = chance.random() < TWICE
        twice += again
        data = msgpack.packb([name, doc], default=msgpack_numpy.encode)
        for _ in range(1 + again):
            kafka.produce("soak", value=data, key="one")
    kafka.flush(20)
    return twice + whole * len(documents)
