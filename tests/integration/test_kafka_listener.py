"""Kafka keeps messages: whatever happens to a service, every run gets to the disk."""

import time

import numpy as np
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from tests.integration.test_listeners import config_with
from tests.integration.test_service import service, until
from tiffin.service.listeners.kafka_listener import Offsets
from tiffin.service.spool import Spool
from tiffin.sources import pack
from tiffin.testing import run_of

__all__ = ["service"]


@pytest.fixture
def broker():
    """A broker of librdkafka with a topic, in this process."""
    producer = Producer({"bootstrap.servers": "unused", "test.mock.num.brokers": 1})
    (broker,) = producer.list_topics("bl1").brokers.values()
    yield f"{broker.host}:{broker.port}", producer
    producer.flush(5)


PARTITIONS = 4


def send(producer, n, documents):
    """Send documents to the partition of a run's number."""
    for name, doc in documents:
        producer.produce("bl1", value=pack([name, doc]), partition=n % PARTITIONS)
    producer.flush(10)


def committed(address):
    """Return the committed offset of each partition."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "tiffin"})
    places = [TopicPartition("bl1", n) for n in range(PARTITIONS)]
    found = [place.offset for place in consumer.committed(places, timeout=60)]
    consumer.close()
    return found


def obstacle(folder, run):
    """Keep a run from being spooled, until this folder is removed."""
    start = run[0][1]
    path = folder / f".{start['scan_id']}_{start['uid']}.part"
    path.mkdir(parents=True)
    return path


class TestKafka:
    def test_runs_of_a_topic_are_exported(self, tmp_path, service, broker):
        """Offsets are committed behind runs that are on the disk."""
        address, producer = broker
        run = run_of({"img": np.ones((3, 4, 6), "u2")}, scan_id=9)
        for name, doc in run:
            producer.produce("bl1", value=pack([name, doc]), key="k")
        producer.flush(10)
        options = f'address = "{address}"\ntopics = ["bl1"]'
        started = service(config_with(tmp_path, "kafka", options))
        until(lambda: started.journal.counts() == {"done": 1})
        assert len(list((tmp_path / "out/9").glob("*.tif"))) == 3

    def test_messages_come_twice_and_some_are_none(self, tmp_path, service, broker):
        """A run is exported once, whatever else is in the topic."""
        address, producer = broker
        run = run_of({"img": np.ones((3, 4, 6), "u2")}, scan_id=9)
        producer.produce("bl1", value=b"garbage", key="k")
        producer.produce("bl1", value=pack({"no": "pair"}), key="k")
        for name, doc in [*run[:4], *run[2:], *run]:
            producer.produce("bl1", value=pack([name, doc]), key="k")
        producer.flush(10)
        options = f'address = "{address}"\ntopics = ["bl1"]'
        started = service(config_with(tmp_path, "kafka", options))
        until(lambda: started.journal.counts() == {"done": 1})
        assert started.journal.totals()["written"] == 3
        assert started.journal.totals()["failed"] == 0

    @pytest.mark.slow
    def test_without_room_it_pauses_and_polls(self, tmp_path, service, broker, caplog):
        """It keeps its place in the group; nothing is lost or committed too early."""
        address, producer = broker
        options = (
            f'address = "{address}"\ntopics = ["bl1"]\n'
            'settings = {"max.poll.interval.ms" = 6000}'
        )
        started = service(config_with(tmp_path, "kafka", options))
        until(lambda: started.status.works)
        first, second = (
            run_of({"img": np.ones((3, 4, 6), "u2")}, scan_id=n) for n in (1, 2)
        )
        blocked = obstacle(tmp_path / "documents", second)
        send(producer, 0, first)
        until(lambda: started.journal.counts() == {"done": 1})
        send(producer, 0, second)
        send(producer, 1, second)  # also messages that come twice
        until(lambda: "no message is taken meanwhile" in caplog.text, limit=40)
        time.sleep(8)  # longer than it may be without a poll
        assert started.journal.counts() == {"done": 1}
        assert committed(address)[:2] == [len(first), -1001]
        blocked.rmdir()
        until(lambda: started.journal.counts() == {"done": 2}, limit=40)
        until(lambda: committed(address)[:2] == [len(first + second), len(second)])
        assert started.journal.totals()["written"] == 6
        assert "listening again" not in caplog.text
        assert caplog.text.count("messages are taken again") == 1

    @pytest.mark.slow
    def test_a_run_that_was_interrupted_comes_again(self, tmp_path, service, broker):
        """Nothing is committed before its stop document is on the disk."""
        address, producer = broker
        run = run_of({"img": np.ones((3, 4, 6), "u2")}, scan_id=9)
        options = f'address = "{address}"\ntopics = ["bl1"]'
        config = config_with(tmp_path, "kafka", options)
        first = service(config)
        for name, doc in run[:4]:
            producer.produce("bl1", value=pack([name, doc]), key="k")
        producer.flush(10)
        until(lambda: first.journal.counts() == {"open": 1})
        first.stop()
        for name, doc in run[4:]:
            producer.produce("bl1", value=pack([name, doc]), key="k")
        producer.flush(10)
        second = service(config)
        until(lambda: second.journal.counts() == {"done": 1})
        assert second.journal.totals()["written"] == 3

    @pytest.mark.slow
    def test_a_consumer_that_was_put_out_goes_on(
        self, tmp_path, service, broker, monkeypatch
    ):
        """A disk that hangs for long costs its place in the group, and no run."""
        address, producer = broker
        real, slept = Spool.add, []

        def slow(spool, name, doc):
            if name == "event" and not slept:
                slept.append(True)
                time.sleep(8)
            real(spool, name, doc)

        monkeypatch.setattr(Spool, "add", slow)
        run = run_of({"img": np.ones((3, 4, 6), "u2")}, scan_id=9)
        for name, doc in run:
            producer.produce("bl1", value=pack([name, doc]), key="k")
        producer.flush(10)
        options = (
            f'address = "{address}"\ntopics = ["bl1"]\n'
            'settings = {"max.poll.interval.ms" = 6000}'
        )
        started = service(config_with(tmp_path, "kafka", options))
        until(lambda: started.journal.counts() == {"done": 1})
        assert slept
        assert started.journal.totals()["written"] == 3


@pytest.mark.parametrize(
    ("documents", "again"),
    [
        ("a", [0]),
        ("aA", [0, 2]),
        ("abA", [0, 0, 1]),
        ("abAB", [0, 0, 1, 4]),
        ("abBA", [0, 0, 0, 4]),
        ("aaA", [0, 0, 3]),
        ("A", [1]),
    ],
)
def test_offsets_are_committed_behind_the_oldest_open_run(documents, again):
    """Small letters are start documents, capitals the stops of the same runs."""
    offsets, found = Offsets(), []
    for n, letter in enumerate(documents):
        name = "start" if letter.islower() else "stop"
        doc = {"uid": letter, "run_start": letter.lower()}
        found.append(offsets.take(("topic", 0), n, name, doc))
    assert found == again


@pytest.mark.slow
class TestRebalance:
    def test_a_run_that_goes_on_moves_to_another_service(
        self, tmp_path, service, broker
    ):
        """Two services share a topic; the second one comes while runs go on."""
        address, producer = broker
        options = f'address = "{address}"\ntopics = ["bl1"]'
        runs = [
            run_of({"img": np.ones((3, 4, 6), "u2")}, scan_id=n)
            for n in range(3 * PARTITIONS)
        ]
        over, going_on = runs[:PARTITIONS], runs[PARTITIONS:]
        for n, run in enumerate(over):
            send(producer, n, run)
        for n, run in enumerate(going_on):
            send(producer, n, run[:4])
        services = []
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            services.append(service(config_with(tmp_path / name, "kafka", options)))
            journal = services[-1].journal
            until(lambda j=journal: j.counts().get("open", 0) >= 2)
        first, second = services
        # Behind the runs that are on the disk, and before those that go on.
        until(lambda: committed(address) == [len(over[0])] * PARTITIONS)
        for n, run in enumerate(going_on):
            send(producer, n, run[4:])
        uids = {run[0][1]["uid"] for run in runs}
        until(lambda: done(first) | done(second) == uids)
        assert done(second)
        ends = [len(over[0]) + 2 * len(runs[0])] * PARTITIONS
        until(lambda: committed(address) == ends)

    def test_a_service_without_room_keeps_its_place(
        self, tmp_path, service, broker, caplog
    ):
        """It pauses, and another one gets only its share of the topic."""
        address, producer = broker
        options = (
            f'address = "{address}"\ntopics = ["bl1"]\n'
            'settings = {"max.poll.interval.ms" = 6000}'
        )
        runs = [
            run_of({"img": np.ones((3, 4, 6), "u2")}, scan_id=n)
            for n in range(PARTITIONS)
        ]
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
        first = service(config_with(tmp_path / "a", "kafka", options))
        until(lambda: first.status.works)
        obstacles = [obstacle(tmp_path / "a/documents", run) for run in runs]
        for n, run in enumerate(runs):
            send(producer, n, run)
        until(lambda: "no message is taken meanwhile" in caplog.text, limit=40)
        second = service(config_with(tmp_path / "b", "kafka", options))
        until(lambda: len(done(second)) == PARTITIONS / 2, limit=60)
        time.sleep(8)  # longer than it may be without a poll
        assert len(done(second)) == PARTITIONS / 2
        for each in obstacles:
            each.rmdir()
        until(lambda: len(done(first)) == PARTITIONS / 2, limit=20)
        assert not done(first) & done(second)
        until(lambda: committed(address) == [len(runs[0])] * PARTITIONS)


def done(service):
    """Return the uids of the runs that a service has exported."""
    return {run.uid for run in service.journal.newest(state="done")}
