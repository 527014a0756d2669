"""What many tests do: feed an exporter, and compare files with images."""

import os
import time
import traceback

import numpy as np

from tiffin import ImageExporter

NAME = "{event.seq_num}_{i}.tif"


def until(condition, limit=90.0):
    """Wait until something is true; the limit only guards against a hang."""
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def feed(exporter, documents):
    for name, doc in documents:
        exporter(name, doc)


def export_live(documents, template, directory, **settings):
    """Feed one run to an exporter; return its report."""
    with ImageExporter(template, directory=directory, **settings) as exporter:
        feed(exporter, documents)
    (report,) = exporter.reports.values()
    return report


def check(report, images, read, *, dtype=None):
    """Every image was written, with its pixels and its dtype (or the one given)."""
    assert report.ok, report.failed[:1]
    for record, image in zip(report.written, images, strict=True):
        pixels = read(record.path)
        np.testing.assert_array_equal(pixels, image)
        assert pixels.dtype == record.dtype == (dtype or image.dtype)


def check_whole(report, frames, read, each=1, failed=()):
    """Check that what was written is right, and that only these frames failed."""
    found = [each * (record.seq_num - 1) + record.i for record in report.failed]
    assert sorted(found) == list(failed)
    written = {each * (r.seq_num - 1) + r.i: r.path for r in report.written}
    assert sorted(written) == [k for k in range(len(frames)) if k not in failed]
    for k, path in written.items():
        np.testing.assert_array_equal(read(path), frames[k])


def let_others_in(folder):
    """Let other users enter a folder of a test: pytest makes it for one user."""
    for each in (folder, *folder.parents):
        if each.owner() == "root" and str(each).startswith("/tmp/"):
            each.chmod(0o755)


def as_another_user(work, folder):
    """Do some work as a user without rights, in a folder; return whether it is true.

    A child process does it, which ends here whatever happens: it must not go on with
    the tests of its parent.
    """
    child = os.fork()
    if not child:
        try:
            os.chdir(folder)  # the user may not enter that of the tests
            os.setgroups([1000])
            os.setgid(1000)
            os.setuid(1001)
            os._exit(0 if work() else 1)
        except BaseException:  # noqa: BLE001 (the child ends here)
            traceback.print_exc()
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
