"""Several streams, detectors and configurations in one run."""

import numpy as np
from bluesky import plan_stubs as bps
from bluesky import preprocessors as bpp
from bluesky.plans import count

import tiffin
from tiffin import ImageExporter
from tiffin.testing import run_of

from .conftest import Counter, Image


def test_only_the_primary_stream_by_default(RE, img, tmp_path, names_in):
    """S18: of primary, dark and baseline, interleaved; or all on request."""

    @bpp.baseline_decorator([img])
    @bpp.run_decorator()
    def plan():
        yield from bps.trigger_and_read([img], name="dark")
        yield from bps.trigger_and_read([img], name="primary")
        yield from bps.trigger_and_read([img], name="dark")
        yield from bps.trigger_and_read([img], name="primary")

    template = "{stream}_{event.seq_num}.tif"
    default = ImageExporter(template, directory=tmp_path / "default")
    everything = ImageExporter(template, directory=tmp_path / "all", streams=None)
    RE(plan(), [default, everything])

    both = [
        f"{stream}_{n}.tif"
        for stream in ("baseline", "dark", "primary")
        for n in (1, 2)
    ]
    assert names_in(tmp_path / "default") == ["primary_1.tif", "primary_2.tif"]
    assert names_in(tmp_path / "all") == both


def test_two_detectors_in_one_exporter(RE, tmp_path, read):
    """S19: {field} in the name; without fields= all images are exported."""
    saxs, waxs = Counter((6, 9)), Counter((4, 5), "i4")
    detectors = [Image(name="saxs", func=saxs), Image(name="waxs", func=waxs)]
    exporter = ImageExporter("{field}/{event.seq_num}.tif", directory=tmp_path)

    RE(count(detectors, 2), exporter)

    for name, images in (("saxs", saxs), ("waxs", waxs)):
        for n, image in enumerate(images.taken(2), 1):
            np.testing.assert_array_equal(read(tmp_path / f"{name}/{n}.tif"), image)


def test_each_frame_has_the_configuration_of_its_own_time(tmp_path, names_in):
    """S20: a second descriptor after configure() midway."""
    run = run_of({"img": np.zeros((2, 6, 9), "u2")})
    start, (_, first), one, two, stop = run
    first["configuration"] = {"pe1": {"data": {"gain": 1}}}
    second = {**first, "uid": "d-2", "configuration": {"pe1": {"data": {"gain": 8}}}}
    two[1]["descriptor"] = "d-2"
    documents = [start, ("descriptor", first), one, ("descriptor", second), two, stop]

    template = "gain{descriptor.configuration.pe1.data.gain}_{event.seq_num}.tif"
    tiffin.export(documents, template, directory=tmp_path)

    assert names_in(tmp_path) == ["gain1_1.tif", "gain8_2.tif"]


def test_each_leading_axis_has_an_index(tmp_path, read):
    """S13: 4-D and 5-D data, flattened in C order; {i0}, {i1}, {i2} by axis."""
    cube = np.arange(2 * 3 * 4 * 6 * 9, dtype="u2").reshape(2, 3, 4, 6, 9)

    report = tiffin.export(
        run_of({"img": [cube]}), "{i:02d}_{i0}{i1}{i2}.tif", directory=tmp_path
    )

    assert len(report.written) == 24
    for record in report.written:
        i, axes = record.path.stem.split("_")
        np.testing.assert_array_equal(read(record.path), cube[tuple(map(int, axes))])
        assert (
            int(i) == record.i == np.ravel_multi_index(tuple(map(int, axes)), (2, 3, 4))
        )


def test_an_unknown_length_in_the_announced_shape(tmp_path, read):
    """With None in a data key's shape, the array decides."""
    stacks = np.arange(2 * 3 * 6 * 9, dtype="u2").reshape(2, 3, 6, 9)
    run = run_of({"img": stacks})
    run[1][1]["data_keys"]["img"]["shape"] = [None, 6, 9]

    report = tiffin.export(run, "{event.seq_num}_{i}.tif", directory=tmp_path)

    assert len(report.written) == 6
