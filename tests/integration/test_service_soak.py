"""Runs through a service that is killed at random, and messages that come twice."""

import pytest

from bench.soak import soak


@pytest.mark.slow
def test_every_frame_is_exported_once_and_lost_messages_are_noted(tmp_path):
    """`make soak` does the same with 500 runs."""
    found = soak(tmp_path, runs=40, seed=3, every=4.0)
    assert not found.problems, (tmp_path / "log.txt").read_text()[-3000:]
    assert found.kills >= 2
    assert found.whole >= 20
    assert found.whole + found.incomplete + found.unheard == 40
