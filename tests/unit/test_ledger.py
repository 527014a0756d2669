"""What became of frames, by run; what is kept of it, and for how long."""

import gc
import pickle
import weakref

import numpy as np
import pytest

from tiffin.engine import Ledger, slim
from tiffin.errors import ReadError
from tiffin.frames import FrameId
from tiffin.records import Record


class Image:
    """Stands for a large array, and is known to be gone."""


def record(run, status="written", **more):
    return Record(id=FrameId(run), status=status, **more)


def filled(ledger, runs, frames=3):
    """Keep records of so many runs, one failed in each."""
    for n in range(runs):
        run = f"r{n}"
        ledger.begin(run)
        for i in range(frames):
            error = ReadError("gone") if i == 0 else None
            status = "failed" if error else "written"
            place = (run, ledger.new_group(), 0)
            ledger.put(place, record(run, status, error=error, clipped=1))
        ledger.end(run)
    return ledger


def test_the_newest_runs_keep_their_records_and_older_ones_their_counts():
    """C15: what is kept is bounded; what became of a run can still be told."""
    ledger = filled(Ledger(keep=2), 5)

    reports = [ledger.report(f"r{n}") for n in range(5)]

    assert [len(report.records) for report in reports] == [0, 0, 0, 3, 3]
    assert all(report.counts() == {"written": 2, "failed": 1} for report in reports[3:])
    assert all(report.counts()["written"] == 2 for report in reports)
    assert all(report.counts()["failed"] == 1 for report in reports)
    assert not any(report.ok for report in reports)
    assert [report.clipped for report in reports] == [3] * 5
    assert [report.is_whole for report in reports] == [False] * 3 + [True] * 2
    assert str(reports[0]) == "2 written, 0 skipped, 1 failed (without records)"
    assert ledger.report().counts()["failed"] == 5


def test_what_belongs_to_no_run_is_counted_and_not_kept_for_ever():
    """C15: unknown documents may come for years."""
    ledger = Ledger(keep=2)

    for _ in range(5_000):
        place = ("", ledger.new_group(), 0)
        ledger.put(place, record("", "failed", error=ReadError("what?")))
    for n in range(5_000):
        ledger.put((f"r{n}", ledger.new_group(), 0), record(f"r{n}", "failed"))

    assert ledger.report("").counts()["failed"] == 5_000
    assert len(ledger.report("").records) <= 2_000
    assert sum(len(ledger.report(run).records) for run in ledger.runs) <= 2_002


def test_a_run_that_comes_again_begins_anew():
    """Its earlier messages are dropped."""
    ledger = filled(Ledger(keep=1), 3)

    ledger.forget("r0")
    ledger.begin("r0")

    assert ledger.is_open("r0")
    assert not ledger.report("r0").counts()


def test_a_frame_that_is_planned_is_not_ok_outside_a_dry_run():
    """B8, contract: ok is False while anything is planned."""
    reports = []
    for dry_run in (False, True):
        ledger = Ledger(dry_run=dry_run)
        ledger.put(("r", 1, 0), record("r", "planned"))
        ledger.put(("r", 2, 0), record("r"))
        reports.append(ledger.report("r"))

    assert [report.ok for report in reports] == [False, True]
    assert str(reports[0]) == "1 written, 0 skipped, 0 failed, 1 under way"
    assert "1 under way" in repr(reports[0])
    assert str(reports[1]) == "1 planned, 0 skipped, 0 failed"
    assert [pickle.loads(pickle.dumps(report)) for report in reports] == reports


def holding(image, kind):
    """Fail in a way that holds an image."""
    if kind == "argument":
        raise ValueError("bad", image)
    if kind == "attribute":
        error = ValueError("bad")
        error.image = image
        raise error
    if kind == "missing attribute":
        return image.missing
    if kind == "group":
        raise ExceptionGroup("two", [ValueError(image), OSError(5, "x", image)])
    raise ValueError(f"bad {image}"[:3])  # its traceback has the image


@pytest.mark.parametrize(
    "kind", ["argument", "attribute", "missing attribute", "group", "traceback"]
)
@pytest.mark.parametrize("chain", ["none", "cause", "context"])
def test_an_error_that_was_recorded_holds_no_image(kind, chain):
    """C12: tracebacks, causes, contexts and arguments release their images."""

    def fail():
        image = Image()
        alive.append(weakref.ref(image))
        try:
            holding(image, kind)
        except Exception as error:
            if chain == "none":
                raise
            if chain == "cause":
                raise ReadError("it failed") from error
            raise ReadError("it failed")  # noqa: B904 (a context is meant)

    alive, ledger = [], Ledger()
    try:
        fail()
    except Exception as error:  # noqa: BLE001 (any kind)
        caught = error
    ledger.put(("r", 1, 0), record("r", "failed", error=caught))
    gc.collect()

    assert alive[0]() is None
    assert ledger.report("r").failed[0].error is caught


def test_errors_in_a_circle_are_no_trap():
    """C12: an error may be its own cause."""
    one, other = ValueError(np.zeros(10**5)), KeyError("b")
    one.__cause__, other.__context__ = other, one

    slim(one)

    assert len(str(one)) < 1000
    assert one.__cause__ is other


def test_notes_of_an_error_are_kept_short():
    """Notes are no longer than the error's own message may be."""
    error = ValueError("x")
    error.add_note("a short one")
    error.add_note("a" * 10**6)

    slim(error)

    assert error.__notes__[0] == "a short one"
    assert len(error.__notes__[1]) < 20_000


def test_what_was_said_of_no_run_makes_no_report():
    """It has a report only once it has a record."""
    ledger = Ledger()
    ledger.say("", ReadError("the disk is full"))
    assert ledger.runs == ()
    assert not ledger.has_run("")

    ledger.put(("", ledger.new_group(), 0), record("", "failed"))
    assert ledger.runs == ("",)
    assert ledger.has_run("")
