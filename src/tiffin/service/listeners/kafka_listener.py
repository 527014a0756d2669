"""Listen to a Kafka topic, as bluesky-kafka writes it: msgpack of (name, document).

Offsets are committed only behind runs that are on the disk, so that after a crash all
documents of unfinished runs come again. bluesky-kafka itself is not imported: it
changes msgpack for the whole process.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from tiffin.errors import SourceError, optional_import
from tiffin.service.listeners.hints import NOT_TAKEN, PAUSE, TAKEN_AGAIN
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

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: str
    address: str
    topics: Annotated[tuple[str, ...], Field(min_length=1)]
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
        from confluent_kafka import Consumer
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
    try:
        Reader(consumer, hints).read(list(chosen.topics))
    finally:
        consumer.close()


class Reader:
    """Takes messages, and commits what is on the disk.

    While there is no room, it pauses its partitions and goes on polling: a consumer
    that does not poll loses its place in the group.
    """

    def __init__(self, consumer: Any, hints: Hints) -> None:
        self._consumer = consumer
        self._hints = hints
        self._offsets = Offsets()
        self._committed: dict[tuple[str, int], int] = {}
        self._held: deque[Any] = deque()
        self._is_paused = False
        self._next_try = 0.0
        self._said = ""

    def read(self, topics: list[str]) -> None:
        """Read until the service stops."""
        from confluent_kafka import KafkaException

        self._consumer.subscribe(
            topics,
            on_assign=self._assigned,
            on_revoke=self._revoked,
            on_lost=self._revoked,
        )
        while not self._hints.stopping.is_set():
            message = self._consumer.poll(POLL)
            if message is not None:
                if message.error():
                    raise KafkaException(message.error())
                self._held.append(message)
            self._take_held()

    def _assigned(self, _consumer: Any, _partitions: list[Any]) -> None:
        self._is_paused = True  # perhaps from an earlier time

    def _revoked(self, _consumer: Any, partitions: list[Any]) -> None:
        places = [(each.topic, each.partition) for each in partitions]
        self._offsets.forget(places)
        self._held = deque(m for m in self._held if _place(m) not in places)

    def _take_held(self) -> None:
        """Take the messages that are here; pause if there is no room for them."""
        while self._held and time.monotonic() >= self._next_try:
            problem = self._take(self._held[0])
            if problem:
                self._next_try = time.monotonic() + PAUSE
                if problem != self._said:
                    self._said = problem
                    logger.error(NOT_TAKEN, problem)
                break
            self._held.popleft()
            if self._said and not self._held:
                self._said = ""
                logger.warning(TAKEN_AGAIN)
        if self._held:  # each time: there may be new partitions
            self._consumer.pause(self._consumer.assignment())
            self._is_paused = True
        elif self._is_paused:
            self._consumer.resume(self._consumer.assignment())
            self._is_paused = False

    def _take(self, message: Any) -> str:
        """Take a message; return why there is no room, ``""`` if it is taken."""
        from confluent_kafka import TopicPartition

        document = _document(message)
        if document is None:
            return ""
        problem = self._hints.offer(*document)
        if problem:
            return problem
        place = _place(message)
        again = self._offsets.take(place, int(message.offset()), *document)
        if again > self._committed.get(place, -1):
            self._committed[place] = again
            offset = TopicPartition(*place, again)
            self._consumer.commit(offsets=[offset], asynchronous=False)
        return ""


def _place(message: Any) -> tuple[str, int]:
    return str(message.topic()), int(message.partition() or 0)


def _document(message: Any) -> tuple[str, Mapping[str, Any]] | None:
    """Return name and document of a message, None if it is none."""
    try:
        item = unpack(message.value())
    except SourceError as error:
        logger.warning("Kafka: a message can't be read: %s", error)
        return None
    is_pair = isinstance(item, list) and len(item) == 2
    if not (is_pair and isinstance(item[0], str) and isinstance(item[1], dict)):
        logger.warning("Kafka: a message is not (name, document)")
        return None
    return item[0], item[1]
