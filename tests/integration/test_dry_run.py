"""A dry run says of each file what an export would: also why one can't be written."""

import numpy as np
import pytest

import tiffin
from tests.documents import FRAMES, hdf5, stream_run, write_jsonl
from tests.helpers import export_live
from tests.shell import tiffin as shell
from tiffin.corrections import Cast, Scale
from tiffin.errors import DtypeError
from tiffin.testing import run_of

NAME = "{start.scan_id}_{event.seq_num}.tif"


def run(dtype, *shape):
    return run_of({"img": np.ones((2, *(shape or (6, 9))), dtype)}, scan_id=7)


def fates(report):
    """Return what became of each image, and why."""
    return [
        (record.id[1:], record.status.replace("planned", "written"), str(record.error))
        for record in report.records
        if record.kind != "sidecar"
    ]


REFUSED = [
    ("f4", {"profile": "gsas2"}),
    ("u4", {"profile": "imagej", "stack": "run"}),
    ("u8", {}),
    ("?", {}),
    ("f8", {"format": "png"}),
    ("f4", {"profile": "gsas2", "corrections": Cast("float64")}),
]


@pytest.mark.parametrize(("dtype", "settings"), REFUSED)
def test_an_image_that_can_not_be_written_is_refused(tmp_path, dtype, settings):
    """With the words of the export, replayed and live; and there are no sidecars."""
    name = NAME.replace("tif", settings.get("format", "tif"))
    settings |= {"on_error": "report", "sidecars": "run.json"}
    planned = tiffin.export(
        run(dtype), name, directory=tmp_path / "a", dry_run=True, **settings
    )
    live = export_live(run(dtype), name, tmp_path / "b", dry_run=True, **settings)
    done = tiffin.export(run(dtype), name, directory=tmp_path / "c", **settings)

    assert fates(planned) == fates(live) == fates(done)
    assert len(planned.failed) == len(planned.records) == 2
    assert not planned.ok


@pytest.mark.parametrize(
    ("dtype", "settings"),
    [
        ("f4", {"profile": "gsas2", "dtype": "int32"}),
        ("f4", {"profile": "gsas2", "corrections": Cast("int32")}),
        ("f8", {"format": "png", "stretch": "log"}),
        ("c8", {"format": "npy"}),
    ],
)
def test_an_image_that_is_converted_is_planned(tmp_path, dtype, settings):
    """What counts is what would be in the file."""
    name = NAME.replace("tif", settings.get("format", "tif"))
    planned = tiffin.export(
        run(dtype), name, directory=tmp_path / "a", dry_run=True, **settings
    )
    done = tiffin.export(run(dtype), name, directory=tmp_path / "b", **settings)

    assert fates(planned) == fates(done)
    assert planned.ok


def test_what_corrections_make_is_not_known_before(tmp_path):
    """So such an image is planned."""
    settings = {"profile": "gsas2", "corrections": [Scale(2)]}
    planned = tiffin.export(
        run("u2"), NAME, directory=tmp_path, dry_run=True, **settings
    )

    assert len(planned.planned) == 4


def test_colour_images_that_the_program_can_not_read_are_refused(tmp_path):
    """By the same sentence as in the export."""
    settings = {"colour": "img", "profile": "gsas2", "on_error": "report"}
    colours = run("u2", 6, 9, 3)
    planned = tiffin.export(colours, NAME, directory=tmp_path, dry_run=True, **settings)
    done = tiffin.export(colours, NAME, directory=tmp_path, **settings)

    assert fates(planned) == fates(done)
    assert "a colour image" in str(planned.failed[0].error)


def test_images_in_files_are_refused_by_what_is_declared(tmp_path):
    """No file is opened for it."""
    source = stream_run(
        hdf5(tmp_path / "a.h5", FRAMES), "application/x-hdf5",
        {"dataset": "/entry/data/data"}, events=12,
    )  # fmt: skip
    source[1][1]["data_keys"]["img"]["dtype_numpy"] = "<f4"
    (tmp_path / "a.h5").unlink()
    planned = tiffin.export(
        source, "{event.seq_num}.tif", directory=tmp_path, profile="gsas2",
        dry_run=True, on_error="report",
    )  # fmt: skip

    assert [r.status for r in planned.records] == ["failed"] * 12
    assert "float32 can't be read exactly by GSAS-II" in str(planned.failed[0].error)


def test_a_dry_run_raises_what_the_export_would(tmp_path):
    """By default, an error is raised, with the report."""
    with pytest.raises(DtypeError, match="GSAS-II") as caught:
        tiffin.export(
            run("f4"), NAME, directory=tmp_path, profile="gsas2", dry_run=True
        )

    assert len(caught.value.report.failed) == 2


def test_every_file_is_listed(tmp_path):
    """The images, the files beside them, and those of the run."""
    settings = {"profile": "gsas2", "sidecars": ["run.json", "frames.csv"]}
    planned = tiffin.export(
        run("u2"), NAME, directory=tmp_path, dry_run=True, **settings
    )
    live = export_live(run("u2"), NAME, tmp_path, dry_run=True, **settings)
    tiffin.export(run("u2"), NAME, directory=tmp_path, **settings)

    there = {path for path in tmp_path.iterdir() if path.is_file()}
    assert len(there) == 6
    for report in (planned, live):
        assert {record.path for record in report.planned} == there
        assert len(report.records) == 6
        kinds = [record.kind for record in report.records]
        assert kinds == [None, "sidecar"] * 2 + ["sidecar"] * 2


def test_the_shell_lists_them_once(tmp_path):
    """`tiffin names` and ``--dry-run``, which count the frames."""
    source = write_jsonl(run("u2"), tmp_path / "a.jsonl")
    options = (source, "-t", NAME, "-d", tmp_path / "out", "--profile", "gsas2")
    names = shell("names", *options)
    dry = shell("export", *options, "--dry-run")

    wanted = [f"7_{n}.tif{end}" for n in (1, 2) for end in ("", ".metadata")]
    for told in (names, dry):
        assert told.returncode == 0, told.stderr
        assert [line.split("/")[-1] for line in told.stdout.splitlines()] == wanted
    assert "2 frames" in names.stderr


def test_the_names_command_says_what_can_not_be_written(tmp_path):
    """In options of the shell; ``--dtype`` and ``--stretch`` are taken into account."""
    source = write_jsonl(run("f4"), tmp_path / "a.jsonl")
    options = (source, "-t", NAME, "-d", tmp_path, "--profile", "gsas2")
    refused = shell("names", *options)
    converted = shell("names", *options, "--dtype", "int32")
    png = ("-t", "{event.seq_num}.png", "--format", "png", "--stretch", "log")
    stretched = shell("names", source, "-d", tmp_path, *png)

    assert refused.returncode == 1
    assert "ask for one of uint16, uint32, int32 with --dtype" in refused.stdout
    assert "2 failed" in refused.stderr
    assert converted.returncode == 0, converted.stderr
    assert stretched.returncode == 0, stretched.stderr
