"""What many tests do: feed an exporter, and compare files with images."""

import numpy as np

from tiffin import ImageExporter

NAME = "{event.seq_num}_{i}.tif"


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
