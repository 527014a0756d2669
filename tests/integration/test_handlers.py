"""What handlers give is counted; those that harm cost no more than their frames."""

import os
import types
from importlib.metadata import EntryPoint

import h5py
import numpy as np
import pytest
import tifffile

import tiffin
from tests.documents import datum_run, stream_run
from tests.helpers import NAME, feed
from tiffin import ImageExporter
from tiffin.errors import ReadError
from tiffin.readers import handlers, registry

IMAGES = np.arange(6 * 6 * 9, dtype="u4").reshape(6, 6, 9)


def eiger(folder, images=IMAGES, a_file=2, *, counts=None):
    """Write a series as the detector does: a master file, and data files beside it."""
    with h5py.File(folder / "e_1_master.h5", "w") as master:
        for k, first in enumerate(range(0, len(images), a_file)):
            name = f"e_1_data_{k + 1:06d}.h5"
            with h5py.File(folder / name, "w") as data:
                part = images[first : first + a_file]
                data.create_dataset("entry/data/data", data=part, chunks=(1, 6, 9))
            link = h5py.ExternalLink(name, "/entry/data/data")
            master[f"entry/data/data_{k + 1:06d}"] = link
        for name, count in (counts or {}).items():
            master[f"entry/instrument/detector/detectorSpecific/{name}"] = count
    return folder / "e"


def eiger_run(path, *, shape=(6, 6, 9), spec="AD_EIGER2", datum=None, options=None):
    documents = datum_run(path, spec=spec, shape=shape, events=1, options=options or {"images_per_file": 2})  # fmt: skip  # noqa: E501
    for name, doc in documents:
        changed = {"datum_kwargs": datum or {"seq_id": 1}} if name == "datum" else {}
        yield name, {**doc, **changed}


def export(folder, run, **options):
    return tiffin.export(
        run, NAME, directory=folder / "out", on_error="report", **options
    )


def found(report, read):
    return {record.i: read(record.path) for record in report.written}


@pytest.mark.parametrize("spec", ["AD_EIGER", "AD_EIGER2"])
@pytest.mark.parametrize("a_file", [1, 2, 4, 6, 100])
def test_an_eigers_images_are_those_of_all_its_data_files(tmp_path, read, spec, a_file):
    """However many images a data file holds, whatever the documents say of it."""
    report = export(tmp_path, eiger_run(eiger(tmp_path, a_file=a_file), spec=spec))

    assert report.ok
    np.testing.assert_array_equal([read(r.path) for r in report.written], IMAGES)


@pytest.mark.parametrize("suffix", ["", "_1_master.h5"])
def test_an_eigers_series_may_be_told_by_its_resource(tmp_path, read, suffix):
    """As crystallographers do; the path may be the master file's."""
    path = f"{eiger(tmp_path)}{suffix}"
    run = eiger_run(
        path, spec="AD_EIGER_MX", options={"seq_id": 1}, datum={"data_key": "data"}
    )

    report = export(tmp_path, run)

    np.testing.assert_array_equal([read(r.path) for r in report.written], IMAGES)


def test_one_image_of_an_eigers_series(tmp_path, read):
    """A datum may select one."""
    run = eiger_run(
        eiger(tmp_path), spec="AD_EIGER_SLICE", shape=(6, 9),
        datum={"seq_id": 1, "frame_num": 4},
    )  # fmt: skip

    report = export(tmp_path, run)

    np.testing.assert_array_equal([read(r.path) for r in report.written], IMAGES[4:5])


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_an_eigers_missing_data_file_is_named(tmp_path, read, missing):
    """Its images fail; images of the other files keep their numbers."""
    path = eiger(tmp_path, counts={"nimages": 3, "ntrigger": 2})
    (tmp_path / f"e_1_data_{missing:06d}.h5").unlink()

    report = export(tmp_path, eiger_run(path))

    lost = {2 * missing - 2, 2 * missing - 1}
    assert {record.i for record in report.failed} == lost
    for record in report.failed:
        assert f"e_1_data_{missing:06d}.h5" in str(record.error)
    for i, image in found(report, read).items():
        np.testing.assert_array_equal(image, IMAGES[i])


def test_an_eigers_data_file_that_comes_late_is_waited_for(tmp_path, read):
    """Live: the detector writes them one after another."""
    path = eiger(tmp_path)
    late = tmp_path / "e_1_data_000002.h5"
    late.rename(tmp_path / "aside")
    exporter = ImageExporter(NAME, directory=tmp_path / "out", asset_timeout=60)
    feed(exporter, eiger_run(path))
    exporter("stop", {"uid": "stop", "run_start": "run-1", "exit_status": "success"})
    (tmp_path / "aside").rename(late)
    exporter.wait()

    report = exporter.reports["run-1"]

    assert len(report.written) == 6
    for i, image in found(report, read).items():
        np.testing.assert_array_equal(image, IMAGES[i])


def test_images_that_an_eiger_never_wrote_are_noticed(tmp_path):
    """HDF5 would return zeros."""
    path = eiger(tmp_path)
    with h5py.File(tmp_path / "e_1_data_000002.h5", "w") as data:
        data.create_dataset("entry/data/data", (2, 6, 9), "u4", chunks=(1, 6, 9))
        data["entry/data/data"][0] = 7

    report = export(tmp_path, eiger_run(path))

    assert [record.i for record in report.failed] == [3]
    assert "not there (yet)" in str(report.failed[0].error)


@pytest.mark.parametrize("triggers", [2, 3])
def test_several_triggers_in_an_events_place_are_refused(tmp_path, triggers):
    """A datum does not say which trigger is its own: the error names both numbers."""
    images = 6 // triggers
    path = eiger(tmp_path, counts={"nimages": images, "ntrigger": triggers})

    report = export(tmp_path, eiger_run(path, shape=(images, 6, 9)))

    assert not report.written
    for record in report.failed:
        reason = f"6 images for an event, but the descriptor declares {images}"
        assert reason in str(record.error)


@pytest.fixture
def register(monkeypatch):
    """Register a handler, or a reader, as an installed package does."""

    def register(make, room=handlers, name="MINE"):
        module = types.ModuleType("tiffin_test_handler")
        module.__getattr__ = lambda attribute: make
        monkeypatch.setitem(__import__("sys").modules, module.__name__, module)
        entry = EntryPoint(name, f"{module.__name__}:Made", room.GROUP)
        monkeypatch.setattr(room, "entry_points", lambda group: [entry])
        clear()

    def clear():
        for cached in (handlers._entry_points, handlers._loaded, registry.plug_ins):
            cached.cache_clear()

    yield register
    clear()


def giving(array):
    """Make a handler that gives an array for each datum."""
    return lambda path, **options: lambda **datum: array


@pytest.mark.parametrize(("count", "said"), [(5, 3), (5, 1), (2, 3), (0, 3)])
def test_more_or_fewer_images_than_announced_are_failed_frames(
    tmp_path, register, count, said
):
    """The error names both numbers."""
    register(giving(np.ones((count, 6, 9), "u2")))
    run = datum_run("x", spec="MINE", shape=(said, 6, 9), events=2, options={"a": 1})

    report = export(tmp_path, run)

    assert report.failed
    assert len(report.written) == 2 * min(count, said) * (count < said)
    assert all(f"{count}" in str(r.error) and f"{said}" in str(r.error) for r in report.failed)  # fmt: skip  # noqa: E501


@pytest.mark.parametrize(
    ("given", "said"),
    [((1, 6, 9), (6, 9)), ((6, 9), (1, 6, 9)), ((4, 6, 9), (6, 9)),
     ((2, 2, 6, 9), (4, 6, 9)), ((2, 6, 9), (9, 6, 0))],
)  # fmt: skip
def test_announcements_of_older_devices_are_hints(tmp_path, register, given, said):
    """S12, S13: images without a declared number, or with an impossible one."""
    register(giving(np.ones(given, "u2")))
    run = datum_run("x", spec="MINE", shape=said, events=1, options={"a": 1})

    report = export(tmp_path, run)

    assert report.ok
    assert len(report.written) == np.prod(given[:-2])


def test_images_of_a_resources_frames_a_point_are_an_events(tmp_path, register):
    """Older devices declared one image."""
    register(giving(np.ones((5, 6, 9), "u2")))
    options = {"frame_per_point": 5}
    run = datum_run("x", spec="MINE", shape=(1, 6, 9), events=1, options=options)

    assert len(export(tmp_path, run).written) == 5


class Stubborn(BaseException):
    """Nobody catches it by mistake."""


@pytest.mark.parametrize("error", [SystemExit(3), Stubborn("no"), GeneratorExit()])
@pytest.mark.parametrize("when", ["load", "open", "read"])
@pytest.mark.parametrize("kind", ["handler", "reader"])
def test_a_plug_in_that_exits_ends_no_more_than_its_frames(
    tmp_path, register, error, when, kind
):
    """At import, when it opens a file, or when it reads; the error names it."""

    def fail(*args, **options):
        raise error

    class Reader:
        row_shape = read = fail

        def close(self):
            """Nothing is open."""

    if kind == "handler":
        register({"open": fail, "read": lambda path, **options: fail}.get(when))
        run = datum_run("x", spec="MINE", events=2, options={"a": 1})
    else:
        opener = {"open": fail, "read": lambda asset: Reader()}.get(when)
        register(opener, registry, "application/x-own")
        run = stream_run("file:///x", "application/x-own", {}, events=2)
    if when == "load":
        __import__("sys").modules["tiffin_test_handler"].__getattr__ = fail

    report = export(tmp_path, run)

    assert report.failed
    assert not report.written
    assert all(type(error).__name__ in str(r.error) for r in report.failed)


KEYS = {"TPX_HDF5": "entry/instrument/detector/data"}


@pytest.mark.parametrize("spec", ["AD_HDF5", "AD_HDF5_SWMR", "TPX_HDF5"])
@pytest.mark.parametrize("shape", [(6, 9), (1, 6, 9), (9, 6, 0), ()])
@pytest.mark.parametrize("door", ["live", "replay", "get_images"])
def test_a_file_of_a_single_image_is_not_cut_into_rows(tmp_path, spec, shape, door):
    """B7: (rows, columns), point by point, is one image; there is no second one."""
    with h5py.File(tmp_path / "a.h5", "w", libver="latest") as file:
        file.create_dataset(KEYS.get(spec, "entry/data/data"), data=IMAGES[0])
    run = [
        *datum_run(
            tmp_path / "a.h5", spec=spec, shape=shape, events=2,
            options={"frame_per_point": 1},
        )
    ]  # fmt: skip

    if door == "get_images":
        with pytest.raises(ReadError, match="single image"):
            [*tiffin.get_images(run, "img")]
        (image,) = tiffin.get_images([*run[:5], run[-1]], "img")
        np.testing.assert_array_equal(np.squeeze(image), IMAGES[0])
        return
    if door == "live":
        exporter = tiffin.ImageExporter(
            NAME, directory=tmp_path / "out", asset_timeout=0.1
        )
        feed(exporter, run)
        exporter.close()
        (report,) = exporter.reports.values()
    else:
        report = export(tmp_path, run)

    (record,) = report.written
    np.testing.assert_array_equal(tifffile.imread(record.path), IMAGES[0])
    (failed,) = report.failed
    assert "single image" in str(failed.error)


def broken(folder, fault):
    """Write an HDF5 file whose dataset can't be read, with what is to be told of it."""
    with h5py.File(folder / "a.h5", "w") as file:
        if fault == "virtual":
            (folder / "source.h5").write_text("<html>")
            layout = h5py.VirtualLayout((1, 6, 9), "u2")
            layout[0] = h5py.VirtualSource(str(folder / "source.h5"), "x", (6, 9))
            file.create_virtual_dataset("entry/data/data", layout)
            return "source.h5"
        if fault == "group":
            file.create_group("entry/data/data")
            return "is a group"
        links = {
            "external": (h5py.ExternalLink("gone.h5", "/x"), "gone.h5"),
            "soft": (h5py.SoftLink("/nowhere"), "'nowhere' is not there"),
            "circle": (h5py.SoftLink("/entry/data/data"), "in a circle"),
            "empty": (h5py.Empty("u2"), "holds no image"),
        }
        file["entry/data/data"], told = links[fault]
        return told


@pytest.mark.parametrize(
    "fault", ["virtual", "group", "external", "soft", "circle", "empty"]
)
@pytest.mark.parametrize("spec", ["AD_HDF5", "AD_HDF5_SWMR"])
def test_what_a_handlers_file_lacks_is_named(tmp_path, spec, fault):
    """D20: as our own reader does, where libraries say "can't open file"."""
    told = broken(tmp_path, fault)
    run = datum_run(
        tmp_path / "a.h5", spec=spec, shape=(1, 6, 9), events=1,
        options={"frame_per_point": 1},
    )  # fmt: skip

    report = export(tmp_path, run)

    (failed,) = report.failed
    assert told in str(failed.error)


@pytest.mark.parametrize("fault", ["never written", "allow_external"])
def test_files_of_an_image_each_are_looked_at_first(tmp_path, fault):
    """B7, A4: AD_HDF5_SINGLE files are checked for rows never written and for
    external data.
    """
    (tmp_path / "raw").write_bytes(IMAGES[0].tobytes())
    for n in range(2):
        with h5py.File(tmp_path / f"a_{n}.h5", "w") as file:
            options = {"data": IMAGES[n]}
            if n and fault == "never written":
                options = {"shape": (6, 9), "dtype": "u2", "chunks": (6, 9)}
            elif n:
                raw = [(str(tmp_path / "raw"), 0, 108)]
                options = {"shape": (6, 9), "dtype": "u2", "external": raw}
            file.create_dataset("entry/data/data", **options)
    run = datum_run(
        tmp_path, spec="AD_HDF5_SINGLE", shape=(6, 9), events=2,
        options={"template": "%s%s_%d.h5", "filename": "a"},
    )  # fmt: skip

    report = export(tmp_path, run)

    assert [record.seq_num for record in report.written] == [1]
    (failed,) = report.failed
    assert fault in str(failed.error)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("spec", "options"),
    [("AD_TIFF", {"template": "%s%s_%d.tif", "filename": "a"}),
     ("AD_HDF5_SINGLE", {"template": "%s%s_%d.h5", "filename": "a"}),
     ("NPY_SEQ", None), ("IMM", {"frames_per_point": 1}), ("AD_EIGER2", None)],
)  # fmt: skip
def test_a_handlers_file_that_is_a_pipe_is_never_waited_for(tmp_path, spec, options):
    """The files that a handler or a resource names are checked first."""
    for name in ("a_0.tif", "a_0.h5", "a_0.npy", "a", "a_1_master.h5"):
        os.mkfifo(tmp_path / name)
    whole = tmp_path / "a" if spec in ("NPY_SEQ", "IMM", "AD_EIGER2") else tmp_path
    datum = {"AD_EIGER2": {"seq_id": 1}, "NPY_SEQ": {"index": 0}, "IMM": {"index": 0}}
    run = eiger_run(
        whole, spec=spec, datum=datum.get(spec, {"point_number": 0}),
        options=options or {"images_per_file": 1} if spec != "NPY_SEQ" else {"a": 1},
    )  # fmt: skip

    report = export(tmp_path, run)

    assert report.failed
    assert not report.written
