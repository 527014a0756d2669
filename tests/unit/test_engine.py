"""The pool, the claims and the ledger."""

import threading
import time

import pytest

from tests.helpers import until
from tiffin.engine import Claims, Ledger, Patience, Pool, Retries
from tiffin.errors import CollisionError, ReadError
from tiffin.frames import FrameId
from tiffin.records import Record


def test_the_budget_makes_the_submitter_wait():
    """S44: queued bytes are bounded, and waiting is counted."""
    pool = Pool(workers=1, budget=100, name="test")
    gate = threading.Event()
    done = []
    pool.submit(80, gate.wait)
    late = threading.Thread(target=lambda: pool.submit(80, lambda: done.append(1)))
    late.start()
    until(lambda: pool.waits)
    early = [*done]

    gate.set()
    late.join(60)
    pool.close()

    assert early == []
    assert pool.waits == 1
    assert done == [1]


def test_a_job_larger_than_the_budget_runs_alone():
    """A frame larger than the whole budget is exported, too."""
    pool = Pool(workers=2, budget=10, name="test")
    done = []
    for n in range(3):
        pool.submit(1000, lambda n=n: done.append(n))
    pool.close()

    assert sorted(done) == [0, 1, 2]


def test_a_job_that_raises_does_not_end_the_pool(caplog):
    """A defect in one job is logged, the others run."""
    pool = Pool(workers=1, budget=10, name="test")
    done = []
    pool.submit(1, lambda: 1 / 0)
    pool.submit(1, lambda: done.append(1))
    pool.close()

    assert done == [1]
    assert "ZeroDivisionError" in caplog.text


def test_a_closed_pool_starts_anew():
    """Closing ends the threads; a later job starts new ones."""
    pool = Pool(workers=1, budget=10, name="test")
    done = []
    pool.submit(1, lambda: done.append(1))
    pool.close()
    before = threading.active_count()
    pool.submit(1, lambda: done.append(2))
    pool.close()

    assert done == [1, 2]
    assert threading.active_count() <= before


def test_cancelling_drops_what_no_worker_has_begun():
    """Ctrl-C: what has begun is finished, the rest is dropped."""
    pool = Pool(workers=1, budget=100, name="test")
    gate, begun, done = threading.Event(), threading.Event(), []
    pool.submit(1, lambda: (begun.set(), gate.wait(), done.append("begun")))
    assert begun.wait(60)
    for n in range(5):
        pool.submit(1, lambda n=n: done.append(n))

    pool.cancel()
    gate.set()
    pool.close()

    assert done == ["begun"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a.tif", "A.TIF"),
        ("caf\u00e9.tif", "cafe\u0301.tif"),
        ("stra\u00dfe", "STRASSE"),
    ],
)
def test_names_that_some_disks_hold_equal_collide(one, other):
    """S10: case and the composition of letters do not tell names apart."""
    claims = Claims(lambda holder, owner: ["{i}"])
    claims.take(one, "frame 1")

    with pytest.raises(CollisionError, match="frame 1"):
        claims.take(other, "frame 2")

    claims.take(one, "frame 1")  # its own name again


def test_records_come_in_frame_order_and_causes_are_said_once(caplog):
    """Whatever order the workers end in; a cause is logged once a run."""
    ledger = Ledger()
    groups = [ledger.new_group() for _ in range(3)]
    for group in reversed(groups):
        error = ReadError(f"file {group} vanished")
        which = FrameId("r", field="f", seq_num=group)
        record = Record(id=which, status="failed", error=error)
        ledger.put(("r", group, 0), record)

    assert [record.seq_num for record in ledger.report().records] == [1, 2, 3]
    assert len([r for r in caplog.records if r.levelname == "ERROR"]) == 1


class Attempts:
    """Attempts of a `Retries`, each run in a thread of its own, as a pool would."""

    def __init__(self, timeout=60):
        self.retries = Retries(timeout, self._submit)
        self._threads = []

    def _submit(self, job):
        self._threads.append(threading.Thread(target=job))
        self._threads[-1].start()

    def end(self):
        assert self.retries.wait(Patience.of(60))
        for thread in self._threads:
            thread.join(60)


def test_what_can_be_done_at_the_end_of_a_run_is_done_when_it_returns():
    """S40: a file that is complete at the stop document is not waited for."""
    attempts, is_there, tried = Attempts(), threading.Event(), []

    def attempt(last):
        tried.append(is_there.is_set())
        return is_there.is_set()

    attempts.retries.postpone("run", attempt)
    while not tried:
        time.sleep(0.01)
    is_there.set()
    left = attempts.retries.end_run("run")

    assert not left
    assert tried[-1]
    attempts.end()


def test_an_attempt_that_began_before_the_end_of_a_run_does_not_count():
    """S40: it may have looked too early, so one more is made at once."""
    attempts, began, go_on = Attempts(), threading.Event(), threading.Event()
    tried = []

    def attempt(last):
        tried.append(last)
        began.set()
        go_on.wait(60)
        return len(tried) > 1

    attempts.retries.postpone("run", attempt)
    assert began.wait(60)
    timer = threading.Timer(0.1, go_on.set)
    timer.start()
    left = attempts.retries.end_run("run")

    timer.join()
    assert not left
    assert tried == [False, False]
    attempts.end()


def test_a_file_that_only_the_caller_can_close_is_not_waited_for():
    """S40: the end of a run returns after one try; retries follow in the background."""
    attempts, closed = Attempts(), threading.Event()

    attempts.retries.postpone("run", lambda last: closed.is_set())
    left = attempts.retries.end_run("run")
    closed.set()

    assert left
    attempts.end()
    assert not attempts.retries.end_run("run")
