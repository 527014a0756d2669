"""Runs through a service that is killed at random, and messages that come twice."""

import pytest

from bench.soak import soak
from bench.soak_kafka import soak_kafka
from tests.stores import LIBRARIES_WARN

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400), *LIBRARIES_WARN]


class TestSoak:
    """`make soak` does the same with 500 runs."""

    def test_every_frame_in_a_catalogue_is_exported_once(self, tmp_path):
        """Though the service, the Tiled server and the proxy of 0MQ are killed."""
        found = soak(tmp_path, runs=12, seed=4, every=2.5, pace=0.2)
        assert not found.problems, logs(tmp_path)
        assert found.done == 12
        assert set(found.kills) == {"server", "service", "proxy"}
        assert found.twice

    def test_every_frame_that_comes_by_kafka_is_exported_once(self, tmp_path):
        """Though the service is killed, which has nothing but these messages."""
        found = soak_kafka(tmp_path, runs=20, seed=3, every=5)
        assert not found.problems, logs(tmp_path)
        assert found.done == 20
        assert found.kills["service"] >= 1
        assert found.twice


def logs(folder):
    """Return the ends of the logs."""
    return {path.name: path.read_text()[-2000:] for path in folder.glob("*.log")}
