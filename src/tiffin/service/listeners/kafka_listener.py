"""Listen to a Kafka topic, as bluesky-kafka writes it: msgpack of (name, document).

Offsets are committed only behind runs that are on the disk, so that after a crash all
documents of unfinished runs come again. bluesky-kafka itself is not imported: it
changes msgpack for the whole process.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from tiffin.errors import SourceError, optional_import
from tiffin.settings import check_model
from tiffin.sources import unpack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.service.listeners.hints import Hints

__all__ = ["check", "listen"]

NEEDS = ("confluent_kafka", "kafka")
"""The library, and the extra that has it."""

logger = logging.getLogger("tiffin")

POLL = 0.5
"""How long to wait for a message [s]."""


class KafkaOptions(BaseModel):
    """The options of this listener."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    address: str
    topics: tuple[str, ...]
    group: str = "tiffin"
    settings: dict[str, Any] = {}


def check(options: Mapping[str, Any]) -> KafkaOptions:
    """Check the options."""
    given = dict(options)
    if isinstance(given.get("topics"), list):
        given["topics"] = tuple(given["topics"])
    return check_model(KafkaOptions, given)


class Offsets:
    """Which offset of each partition can be committed.

    Documents of a run come again until the run is on the disk.
    """

    def __init__(self) -> None:
        self._open: dict[tuple[str, int], dict[str, int]] = {}

    def take(
        self, place: tuple[str, int], offset: int, name: str, doc: Mapping[str, Any]
    ) -> int:
        """Note a document; return the first offset that must come again."""
        runs = self._open.setdefault(place, {})
        if name == "start":
            runs.setdefault(str(doc.get("uid")), offset)
        elif name == "stop":
            runs.pop(str(doc.get("run_start")), None)
        return min(runs.values(), default=offset + 1)

    def forget(self, places: list[tuple[str, int]]) -> None:
        """Forget partitions that another consumer has now."""
        for place in places:
            self._open.pop(place, None)


def listen(options: Mapping[str, Any], hints: Hints) -> None:
    """Take documents until the service stops."""
    with optional_import("Kafka needs its library", extra="kafka"):
        from confluent_kafka import Consumer, KafkaException, TopicPartition
    chosen = check(options)
    consumer = Consumer(
        {
            "session.timeout.ms": 6000,
            **chosen.settings,
            "bootstrap.servers": chosen.address,
            "group.id": chosen.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    offsets = Offsets()
    committed: dict[tuple[str, int], int] = {}

    def lost(_: Any, partitions: list[Any]) -> None:
        offsets.forget([(each.topic, each.partition) for each in partitions])

    consumer.subscribe(list(chosen.topics), on_revoke=lost, on_lost=lost)
    try:
        while not hints.stopping.is_set():
            message = consumer.poll(POLL)
            if message is None:
                continue
            if message.error():
                raise KafkaException(message.error())
            place = (str(message.topic()), int(message.partition() or 0))
            again = _take(message, place, offsets, hints)
            if again is not None and again > committed.get(place, -1):
                committed[place] = again
                consumer.commit(
                    offsets=[TopicPartition(*place, again)], asynchronous=False
                )
    finally:
        consumer.close()


def _take(
    message: Any, place: tuple[str, int], offsets: Offsets, hints: Hints
) -> int | None:
    """Take a message; return the offset to commit, None if it is no document."""
    try:
        item = unpack(message.value())
    except SourceError as error:
        logger.warning("Kafka: a message can't be read: %s", error)
        return None
    is_pair = isinstance(item, list) and len(item) == 2
    if not (is_pair and isinstance(item[0], str) and isinstance(item[1], dict)):
        logger.warning("Kafka: a message is not (name, document)")
        return None
    name, doc = item
    hints.take(name, doc)  # raises if it can't be spooled: nothing is committed then
    return offsets.take(place, int(message.offset()), name, doc)
