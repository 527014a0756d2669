"""Every recording exports to exactly its truth."""

import shutil

import numpy as np
import pytest

import tiffin
from tests.stores import LIBRARIES_WARN, store_in_tiled
from tiffin.dtypes import TIFF_DTYPES

pytestmark = LIBRARIES_WARN

READABLE = [
    "01_inline_event_count",
    "02_inline_event_scan_dtypes",
    "03_inline_event_shapes",
    "04_inline_multi_stream",
    "07_inline_interleaved_runs",
    "08_inline_event_page",
    "10_resource_datum_npy_seq",
    "13_ad_tiff_1frame",
    "15_ad_hdf5_1frame",
    "20_stream_hdf5_sim_count",
    "22_stream_hdf5_two_detectors_step",
    "23_stream_tiff_adcore",
    "30_btp_external_assets",
    "62_databroker2_replay_of_14",
    "71_tiled_replay_of_20",
]
LISTS = ["60_databroker2_replay_of_01", "70_tiled_replay_of_02"]

TEMPLATE = "{start.uid}/{stream}/{field}/{event.seq_num}_{i}.tif"


def expected(recording):
    """Return (run, stream, field, seq_num, i) → image, of the truth."""
    uids = [doc["uid"] for name, doc in recording.documents() if name == "start"]
    frames = {}
    for (run, stream, field, seq_num), array in recording.truth().items():
        images = array.reshape(-1, *array.shape[-2:])
        for i, image in enumerate(images):
            frames[uids[run], stream, field, int(seq_num), i] = image
    return frames


def check(report, wanted, read, *, same_dtype=True):
    found = {(r.run, r.stream, r.field, r.seq_num, r.i): r for r in report.records}
    assert set(wanted) <= set(found)
    for key, image in wanted.items():
        record = found[key]
        if image.dtype.name in TIFF_DTYPES:
            assert record.status == "written", record.error
            pixels = read(record.path)
            np.testing.assert_array_equal(pixels, image)
            assert record.shape == image.shape
            assert record.dtype == pixels.dtype
            if same_dtype:
                assert pixels.dtype == image.dtype.newbyteorder("=")
        else:
            assert record.status == "failed"
            assert image.dtype.name in str(record.error)
    assert len(report.written) == sum(
        i.dtype.name in TIFF_DTYPES for i in wanted.values()
    )


@pytest.mark.parametrize("name", READABLE)
def test_a_recording_gives_its_truth(name, sample, read, tmp_path):
    """All streams and fields, every pixel, dtype and shape (S12, S14, S18, S21)."""
    recording = sample(name)

    report = tiffin.export(
        recording.documents(),
        TEMPLATE,
        directory=tmp_path,
        streams=None,
        on_error="report",
    )

    check(report, expected(recording), read)


@pytest.mark.parametrize("name", READABLE[:3])
@pytest.mark.parametrize("arrays", ["list"])
def test_a_recording_as_json_gives_its_truth(name, arrays, sample, read, tmp_path):
    """S15: nested lists get the dtype that the descriptor declares."""
    recording = sample(name)

    report = tiffin.export(
        recording.documents(arrays), TEMPLATE, directory=tmp_path, on_error="report"
    )

    declared = name != "01_inline_event_count"
    check(report, expected(recording), read, same_dtype=declared)


@pytest.mark.parametrize("name", LISTS)
def test_a_replay_of_lists_gives_its_truth(name, sample, read, tmp_path):
    """S15: what databroker and Tiled return has the right values, and dtypes where
    declared.
    """
    recording = sample(name)

    report = tiffin.export(
        recording.documents(), TEMPLATE, directory=tmp_path, on_error="report"
    )

    check(report, expected(recording), read, same_dtype="tiled" in name)


def test_a_field_over_two_resources_counts_each_from_its_start(sample, tmp_path, read):
    """Recording 33: seq_nums repeat, and {frame} tells the frames apart."""
    recording = sample("33_btp_external_assets_single_key_two_files")

    report = tiffin.export(
        recording.documents(), "{frame}.tif", directory=tmp_path, dtype="int32"
    )

    truth = [image[0] for _, image in sorted(recording.truth_of_files().items())]
    assert [record.seq_num for record in report.written] == [1, 2, 3, 1, 2, 3, 4, 5]
    for record, image in zip(report.written, truth, strict=True):
        np.testing.assert_array_equal(read(record.path), image)


def test_a_handler_that_nobody_registers_is_named(sample, tmp_path):
    """An unknown spec fails, with the spec and the entry-point group."""
    recording = sample("31_btp_external_assets_legacy")

    report = tiffin.export(
        recording.documents(), TEMPLATE, directory=tmp_path, on_error="report"
    )

    assert [record.status for record in report.records] == ["failed"] * 3
    assert "AD_HDF5_SWMR_STREAM" in str(report.failed[0].error)
    assert "databroker.handlers" in str(report.failed[0].error)


STORED = [
    ("13_ad_tiff_1frame", "auto"),
    ("15_ad_hdf5_1frame", "http"),
    ("20_stream_hdf5_sim_count", "auto"),
]
STORED_TOO = [
    ("02_inline_event_scan_dtypes", "auto"),
    ("03_inline_event_shapes", "auto"),
    ("04_inline_multi_stream", "auto"),
    ("08_inline_event_page", "auto"),
    ("10_resource_datum_npy_seq", "auto"),
    ("15_ad_hdf5_1frame", "files"),
    ("22_stream_hdf5_two_detectors_step", "auto"),
    ("23_stream_tiff_adcore", "auto"),
    ("23_stream_tiff_adcore", "http"),
    ("30_btp_external_assets", "auto"),
]


@pytest.mark.parametrize(
    ("name", "via"),
    STORED + [pytest.param(*pair, marks=pytest.mark.slow) for pair in STORED_TOO],
)
def test_a_recording_stored_in_tiled_gives_its_truth(
    name, via, sample, tiled, read, tmp_path
):
    """Through TiledWriter and back, from the server or from the files behind it."""
    recording = sample(name)
    # Where the server may read; in place, it refuses.
    shutil.copytree(recording.folder, tmp_path / name)
    recording.folder = tmp_path / name
    documents = renewed(recording.documents())
    run = store_in_tiled(tiled, documents)

    report = tiffin.export(
        run,
        TEMPLATE,
        directory=tmp_path / "out",
        streams=None,
        on_error="report",
        via=via,
    )

    wanted = {
        (run.metadata["start"]["uid"], *key[1:]): image
        for key, image in expected(recording).items()
    }
    check(report, wanted, read)


def renewed(documents):
    """Return the run with new uids: a server takes each only once."""
    import uuid

    uids = {
        doc["uid"]: str(uuid.uuid4())
        for name, doc in documents
        if name in ("start", "descriptor", "stop", "resource", "stream_resource")
    }

    def new(item):
        if isinstance(item, dict):
            return {key: new(value) for key, value in item.items()}
        if isinstance(item, list):
            return [new(value) for value in item]
        if isinstance(item, str):
            head, slash, tail = item.partition("/")
            return uids.get(item) or (
                uids[head] + slash + tail if head in uids else item
            )
        return item

    return [(name, new(doc)) for name, doc in documents]
