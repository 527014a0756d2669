"""The doors of suitcase-tiff: only the import changes (S46)."""

import gc
import inspect
import io
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import suitcase.tiff_series
import suitcase.tiff_stack
import tifffile
from area_detector_handlers.handlers import AreaDetectorHDF5Handler
from event_model import RunRouter
from suitcase.utils import MemoryBuffersManager, MultiFileManager

from tiffin import read_metadata
from tiffin.compat.suitcase import tiff_series, tiff_stack
from tiffin.errors import (
    CollisionError,
    DtypeError,
    ExistsError,
    MissingKeyError,
    ReadError,
    SettingsError,
    TemplateError,
)
from tiffin.testing import run_of

IMAGES = np.arange(3 * 6 * 9, dtype="u2").reshape(3, 6, 9)
DOORS = pytest.mark.parametrize("door", [tiff_series, tiff_stack])


@pytest.fixture
def run():
    return run_of({"img": IMAGES}, scan_id=7, sample="Ni")


def pixels(paths):
    """Return all pages of some files, one after another."""
    pages = []
    for path in paths:
        with tifffile.TiffFile(path) as file:
            pages += [page.asarray() for page in file.pages]
    return np.stack(pages)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [(suitcase.tiff_series, tiff_series), (suitcase.tiff_stack, tiff_stack)],
)
def test_the_signatures_are_those_of_suitcase(theirs, ours):
    """S46: old calls work by position and by name, and read the same pixels."""
    for name in ("export", "Serializer", "get_prefixed_filename"):
        old = inspect.signature(getattr(theirs, name)).parameters
        new = inspect.signature(getattr(ours, name)).parameters
        assert {key: new[key].default for key in old} == {
            key: old[key].default for key in old
        }
        assert [key for key in new if key in old] == list(old)


@DOORS
def test_an_old_program_gets_the_same_files(door, run, tmp_path):
    """S46: names, artifacts and pixels are those of suitcase-tiff."""
    theirs = getattr(suitcase, door.__name__.rpartition(".")[2])
    prefix = "{start[scan_id]}/{stream_name}_{field}_{start[sample]}-"

    old = theirs.export(run, tmp_path / "old", prefix)
    new = door.export(run, tmp_path / "new", prefix)

    assert list(new) == list(old) == ["stream_data"]
    relative = [path.relative_to(tmp_path / "new") for path in new["stream_data"]]
    assert relative == [
        path.relative_to(tmp_path / "old") for path in old["stream_data"]
    ]
    np.testing.assert_array_equal(pixels(new["stream_data"]), IMAGES)
    np.testing.assert_array_equal(pixels(old["stream_data"]), IMAGES)


@DOORS
def test_values_that_would_wrap_are_refused(door, tmp_path):
    """Numbers are sacred: suitcase-tiff writes 65535 for -1."""
    run = run_of({"img": np.full((1, 6, 9), -1, "i4")})

    with pytest.raises(
        DtypeError, match=r"uint16.* holds 0 to 65535.* -1 .*; astype=None"
    ):
        door.export(run, tmp_path)
    assert [*tmp_path.iterdir()] == []
    for astype in ("int32", np.float64, None):
        found = door.export(run, tmp_path / str(astype), astype=astype)
        assert (pixels(found["stream_data"]) == -1).all()


@DOORS
def test_what_would_be_cut_is_refused(door, tmp_path):
    """Fractions and NaN do not become integers."""
    for value in (0.5, np.nan):
        with pytest.raises(DtypeError, match="uint16"):
            door.export(run_of({"img": np.full((1, 6, 9), value)}), tmp_path)


@DOORS
def test_an_existing_file_is_not_replaced(door, run, tmp_path):
    """A second export of a run is refused, and the files of the first stay."""
    paths = door.export(run, tmp_path)["stream_data"]
    before = [path.read_bytes() for path in paths]

    with pytest.raises(
        ExistsError, match=r"already a file at .*choose another directory"
    ):
        door.export(run, tmp_path, astype="float32")
    assert [path.read_bytes() for path in paths] == before
    manager = MultiFileManager(tmp_path, allowed_modes=("wb",))
    door.export(run, manager, astype="float32")
    assert pixels(paths).dtype == np.float32


def test_files_are_closed_as_they_are_written(run, tmp_path):
    """suitcase-tiff keeps a file open for each image."""
    serializer = tiff_series.Serializer(tmp_path)
    gc.collect()
    before = len([*Path("/proc/self/fd").iterdir()])

    for name, doc in run[:-1]:
        serializer(name, doc)
        assert len([*Path("/proc/self/fd").iterdir()]) == before

    assert len(serializer.artifacts["stream_data"]) == 3
    np.testing.assert_array_equal(pixels(serializer.artifacts["stream_data"]), IMAGES)


@DOORS
@pytest.mark.parametrize("value", ["..", "/etc", "../../x", "a/b", "\0", ".", ""])
def test_metadata_does_not_leave_the_directory(door, value, tmp_path):
    """A value adds no folder, and no name is outside of the directory."""
    run = run_of({"img": IMAGES[:1]}, sample=value)

    for k, prefix in enumerate(["{start[sample]}-", "x/{start[sample]}/{field}-"]):
        directory = tmp_path / f"{k}" / "deep"
        (path,) = door.export(run, directory, prefix)["stream_data"]
        assert directory in path.parents
        assert len(path.relative_to(directory).parts) <= 1 + prefix.count("/")


@DOORS
def test_a_link_is_not_followed(door, tmp_path):
    """A folder named by metadata may be a link to elsewhere."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "Ni").symlink_to(tmp_path)
    run = run_of({"img": IMAGES[:1]}, sample="Ni")

    for directory in (tmp_path / "out", MultiFileManager(tmp_path / "out")):
        with pytest.raises((OSError, TemplateError), match=r"link|leads out"):
            door.export(run, directory, "{start[sample]}/")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@DOORS
@pytest.mark.parametrize("prefix", ["../{field}", "/tmp/{field}"])
def test_a_prefix_does_not_leave_the_directory(door, prefix, run, tmp_path):
    """The folder is what directory= is for."""
    with pytest.raises(TemplateError, match="outside of the directory"):
        door.export(run, tmp_path, prefix)


def test_prefixes_of_the_documentation_work(tmp_path):
    """Also the time, which suitcase-tiff documents and can't format."""
    run = run_of({"img": IMAGES[:1]}, motors=["x"], plan_name="scan")
    run[0][1]["time"] = 0.0
    prefix = "{start[plan_name]}-{start[motors]}-{start[time]:%Y/%m_%H:%M}-"

    (path,) = tiff_series.export(run, tmp_path, prefix)["stream_data"]

    assert path.name.endswith("-primary-img-00000.tiff")
    assert path.parent.name in ("scan-['x']-1970", "scan-['x']-1969")


@pytest.mark.parametrize(
    ("prefix", "error", "message"),
    [
        ("{strat[uid]}", SettingsError, "{strat.* there are {start}"),
        ("{start[uid]", SettingsError, "not a format string"),
        ("{}", SettingsError, "there are {start}"),
        ("{start[sampel]}", MissingKeyError, "sampel"),
        ("{start[sample]:.2f}", TemplateError, "gives no name"),
        ("{start.sample}", TemplateError, r"as in \{start\[sample\]\}"),
    ],
)
def test_a_wrong_prefix_is_refused(prefix, error, message, run, tmp_path):
    """The message says what there is."""
    with pytest.raises(error, match=message):
        tiff_series.export(run, tmp_path, prefix)


@DOORS
def test_buffers_in_memory(door, run, tmp_path):
    """suitcase-tiff documents a `MemoryBuffersManager`, and fails with one."""
    manager = MemoryBuffersManager()

    artifacts = door.export(run, manager)

    assert artifacts == manager.artifacts
    for buffer in artifacts["stream_data"]:
        buffer.seek(0)
    np.testing.assert_array_equal(
        pixels([io.BytesIO(b.getvalue()) for b in artifacts["stream_data"]]), IMAGES
    )
    names = [each["postfix"] for each in manager.get_artifacts("stream_data")]
    paths = door.export(run, tmp_path)["stream_data"]
    assert names == [path.name for path in paths]


@DOORS
def test_files_of_a_manager(door, run, tmp_path):
    """A `MultiFileManager` chooses the paths, and may be closed afterwards."""
    manager = MultiFileManager(tmp_path)

    artifacts = door.export(run, manager)
    manager.close()

    assert artifacts == manager.artifacts
    np.testing.assert_array_equal(pixels(artifacts["stream_data"]), IMAGES)


@DOORS
def test_options_of_tifffile_work(door, run, tmp_path):
    """suitcase-tiff passes the names of its kwargs on, and not their values."""
    cases = [
        {"compression": "zlib", "compressionargs": {"level": 9}},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"imagej": True},
        {"description": "Ni", "resolution": (2, 2)},
    ]
    for k, options in enumerate(cases):
        paths = door.export(run, tmp_path / f"{k}", **options)["stream_data"]
        np.testing.assert_array_equal(pixels(paths), IMAGES)
        with tifffile.TiffFile(paths[0]) as file:
            page = file.pages[0]
            found = {
                "compression": page.compression.name == "ADOBE_DEFLATE",
                "bigtiff": file.is_bigtiff,
                "byteorder": file.byteorder == ">",
                "imagej": file.is_imagej,
                "description": page.description == "Ni",
            }
        assert [key for key, is_there in found.items() if is_there] == [
            next(iter(options))
        ]


@DOORS
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compress": 6}, "compress is not an option.*'compression'"),
        ({"shape": (1, 2)}, "shape can't be used"),
        ({"dtype": "u1"}, "dtype can't be used: use astype="),
        ({"byteorder": "big"}, "byteorder"),
        ({"astype": "uint17"}, "astype must be one of uint8"),
        ({"astype": "int64"}, "astype must be one of uint8"),
        ({"astype": "int32", "imagej": True}, "astype must be one of uint8, .*float32"),
        ({"directory": 7}, "directory must be a path or a manager"),
    ],
)
def test_wrong_options_are_refused_by_name(door, options, message, tmp_path):
    """Before any document comes."""
    with pytest.raises(SettingsError, match=message):
        door.Serializer(**{"directory": tmp_path, **options})


@DOORS
def test_the_files_carry_metadata(door, run, tmp_path):
    """With the options of tifffile as well."""
    for k, options in enumerate([{}, {"bigtiff": True}]):
        paths = door.export(run, tmp_path / f"{k}", **options)["stream_data"]
        if door is tiff_series:
            found = [read_metadata(path) for path in paths]
        else:
            found = [read_metadata(paths[0], page=n) for n in range(3)]
        assert [(each["scan_id"], each["seq_num"]) for each in found] == [
            (7, n) for n in (1, 2, 3)
        ]


@DOORS
def test_images_in_files_are_read(door, sample, tmp_path):
    """suitcase-tiff needs filled documents; tiffin reads what datums refer to."""
    recorded = sample("15_ad_hdf5_1frame")
    images = [array for _, array in sorted(recorded.truth().items())]

    found = door.export(recorded.documents(), tmp_path, astype=images[0].dtype)

    np.testing.assert_array_equal(
        pixels(sorted(found["stream_data"])), np.concatenate(images)
    )


@DOORS
def test_documents_that_were_filled_in(door, sample, tmp_path):
    """As a RunRouter with handlers gives them, with the resources before them."""
    recorded = sample("15_ad_hdf5_1frame")
    images = [array for _, array in sorted(recorded.truth().items())]
    router = RunRouter(
        [lambda name, doc: ([door.Serializer(tmp_path, astype=None)], [])],
        handler_registry={"AD_HDF5": AreaDetectorHDF5Handler},
        fill_or_fail=True,
    )

    for name, doc in recorded.documents():
        router(name, doc)

    np.testing.assert_array_equal(
        pixels(sorted(tmp_path.iterdir())), np.concatenate(images)
    )


@DOORS
def test_stream_datums_are_read(door, sample, tmp_path):
    """suitcase-tiff writes nothing of such runs, and says nothing."""
    recorded = sample("20_stream_hdf5_sim_count")
    images = [array for _, array in sorted(recorded.truth().items())]

    found = door.export(recorded.documents(), tmp_path, astype=None)

    np.testing.assert_array_equal(
        pixels(sorted(found["stream_data"])), np.concatenate(images)
    )


@DOORS
def test_images_that_are_missing_are_an_error(door, sample, tmp_path):
    """No image is left out silently."""
    documents = sample("15_ad_hdf5_1frame").documents()
    run = [(name, doc) for name, doc in documents if not name.startswith("datum")]

    with pytest.raises(ReadError, match="datum"):
        door.export(run, tmp_path)
    assert [*tmp_path.iterdir()] == []


@DOORS
@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"compression": "zlib"}])
def test_after_an_error_nothing_is_open(door, options, tmp_path):
    """A stack is there whole or not at all, and no file stays open or is left over."""
    images = np.stack([np.zeros((6, 9), "i4"), np.full((6, 9), -1, "i4")])
    run = run_of({"img": images})
    serializer = door.Serializer(tmp_path, **options)
    before = [*Path("/proc/self/fd").iterdir()]

    for name, doc in run[:3]:
        serializer(name, doc)
    with pytest.raises(DtypeError):
        serializer(*run[3])
    assert len([*Path("/proc/self/fd").iterdir()]) == len(before)
    serializer(*run[4])
    left = [path.name[37:] for path in tmp_path.iterdir()]  # behind the uid
    assert left == (["primary-img-00000.tiff"] if door is tiff_series else [])


@DOORS
@pytest.mark.parametrize("options", [{}, {"bigtiff": True}, {"compression": "zlib"}])
def test_a_full_disk_leaves_no_file(door, options, tmp_path):
    """What can't be written whole is not there, and its files are closed."""
    noise = np.random.default_rng(1).integers(0, 2**16, (2, 90, 90), "u2")
    before = [*Path("/proc/self/fd").iterdir()]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            door.export(run_of({"img": noise}), tmp_path, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert [*tmp_path.iterdir()] == []
    assert len([*Path("/proc/self/fd").iterdir()]) == len(before)


@DOORS
def test_fields_with_one_name_are_refused(door, tmp_path):
    """No file holds the images of two fields, and none replaces another's."""
    run = run_of({"a/b": IMAGES, "a_b": IMAGES})

    with pytest.raises((CollisionError, ExistsError)):
        door.export(run, tmp_path)


@pytest.mark.filterwarnings("ignore:The descriptor claims:UserWarning")
def test_a_stack_of_two_shapes(tmp_path):
    """TIFF can have pages of two shapes; ImageJ would cut them wrongly."""
    run = run_of({"img": [np.zeros((6, 9), "u2"), np.zeros((5, 9), "u2")]})

    (path,) = tiff_stack.export(run, tmp_path, "a-")["stream_data"]
    with tifffile.TiffFile(path) as file:
        assert [page.shape for page in file.pages] == [(6, 9), (5, 9)]
    with pytest.raises(DtypeError, match=r"\[5, 9\].*first page is uint16\[6, 9\]"):
        tiff_stack.export(run, tmp_path, "b-", imagej=True)
    assert [*tmp_path.iterdir()] == [path]


def test_an_existing_stack_is_refused_at_once(run, tmp_path):
    """Not at the end of the run, when its images are gone."""
    tiff_stack.export(run, tmp_path)
    serializer = tiff_stack.Serializer(tmp_path)

    for name, doc in run[:2]:
        serializer(name, doc)
    with pytest.raises(ExistsError):
        serializer(*run[2])


@DOORS
def test_a_run_without_a_stop_document(door, sample, tmp_path):
    """What waits for other documents is written when the serializer is closed."""
    recorded = sample("20_stream_hdf5_sim_count")
    images = [array for _, array in sorted(recorded.truth().items())]
    ignored = ("event", "event_page", "stop")
    run = [(name, doc) for name, doc in recorded.documents() if name not in ignored]

    found = door.export(run, tmp_path, astype=None)

    np.testing.assert_array_equal(
        pixels(sorted(found["stream_data"])), np.concatenate(images)
    )


def test_one_serializer_takes_one_run(run, tmp_path):
    """As in suitcase-tiff; a RunRouter makes one for each run."""
    serializer = tiff_series.Serializer(tmp_path / "one")
    serializer(*run[0])
    with pytest.raises(RuntimeError, match="RunRouter"):
        serializer(*run_of({"img": IMAGES})[0])

    router = RunRouter(
        [lambda name, doc: ([tiff_series.Serializer(tmp_path / "many")], [])]
    )
    for documents in (run, run_of({"img": IMAGES})):
        for name, doc in documents:
            router(name, doc)
    assert len([*Path(tmp_path / "many").iterdir()]) == 6


def test_suitcase_is_optional():
    """The doors import nothing of suitcase."""
    code = "import sys, tiffin.compat.suitcase; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert [m for m in done.stdout.split() if m.partition(".")[0] == "suitcase"] == []


def test_a_subclass_sees_each_document(run, tmp_path):
    """S46: the methods for documents can be overridden, as before."""
    seen = []

    class Mine(tiff_series.Serializer):
        def event(self, doc):
            seen.append(doc["seq_num"])
            super().event(doc)

    with Mine(tmp_path) as serializer:
        for name, doc in run:
            serializer(name, doc)

    assert seen == [1, 2, 3]
    assert len(serializer.artifacts["stream_data"]) == 3
