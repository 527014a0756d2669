"""Ctrl-C between two documents: nothing is half done, and nothing waits for ever."""

import os
import signal
import threading

import numpy as np
import pytest

import tiffin
from tiffin.engine import Interrupts
from tiffin.testing import run_of


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupt_is_held_back_until_it_is_asked_for():
    """The current item is finished; the interrupt comes between two items."""
    done = []

    def work():
        with Interrupts() as interrupts:
            for number in interrupts.between(range(5)):
                if number == 1:
                    ctrl_c()
                done.append(number)

    with pytest.raises(KeyboardInterrupt):
        work()

    assert done == [0, 1]


def test_the_second_interrupt_is_not_held_back():
    """A second Ctrl-C interrupts at once."""
    told = []

    def work():
        with Interrupts(lambda: told.append("first")):
            ctrl_c()
            told.append("going on")
            ctrl_c()
            told.append("never")

    with pytest.raises(KeyboardInterrupt):
        work()

    assert told == ["first", "going on"]


def test_an_interrupt_of_the_last_moment_is_not_lost():
    """Also after the last item."""
    with pytest.raises(KeyboardInterrupt), Interrupts():
        ctrl_c()


def test_the_handler_is_given_back():
    """Afterwards Ctrl-C works as before; a user's own handler is never replaced."""
    mine = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        with Interrupts():
            assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
            ctrl_c()
    finally:
        signal.signal(signal.SIGINT, mine)
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) is not mine

    assert signal.getsignal(signal.SIGINT) is mine


def test_threads_hold_nothing():
    """Signals belong to the main thread; other threads do nothing."""
    told = []

    def work():
        with Interrupts() as interrupts:
            told.extend(interrupts.between("ab"))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)

    assert told == ["a", "b"]


def test_an_interrupted_export_has_whole_files_and_ends(tmp_path, read):
    """Ctrl-C while a file is being made: the export ends, and all files are whole."""
    images = np.ones((200, 6, 9), "u2")

    def interrupting(image, frame):
        if frame.seq_num == 20:
            signal.raise_signal(signal.SIGINT)
        return image

    with pytest.raises(KeyboardInterrupt):
        tiffin.export(
            run_of({"img": images}),
            "{event.seq_num}.tif",
            directory=tmp_path,
            corrections=[interrupting],
        )

    written = list(tmp_path.glob("*.tif"))
    assert 1 <= len(written) < 200
    assert all((read(path) == 1).all() for path in written)
