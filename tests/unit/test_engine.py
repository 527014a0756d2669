"""The pool, the claims and the ledger."""

import threading

import pytest

from tiffin.engine import Claims, Ledger, Pool
from tiffin.errors import CollisionError, ReadError
from tiffin.records import Record


def test_the_budget_makes_the_submitter_wait():
    """S44: what waits is bounded by bytes, and the waiting is counted."""
    pool = Pool(workers=1, budget=100, name="test")
    gate = threading.Event()
    done = []
    pool.submit(80, gate.wait)
    late = threading.Thread(target=lambda: pool.submit(80, lambda: done.append(1)))
    late.start()
    late.join(0.2)
    waited = late.is_alive()

    gate.set()
    late.join(5)
    pool.close()

    assert waited
    assert pool.waits == 1
    assert done == [1]


def test_a_job_larger_than_the_budget_runs_alone():
    """A frame larger than the whole budget is exported all the same."""
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
    begun.wait(5)
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
    claims = Claims()
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
        record = Record(
            status="failed", path=None, run="r", field="f", seq_num=group, error=error
        )
        ledger.put((group, 0), record)

    assert [record.seq_num for record in ledger.report().records] == [1, 2, 3]
    assert len([r for r in caplog.records if r.levelname == "ERROR"]) == 1
