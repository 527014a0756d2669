"""PNG, npy and a plug-in's format go the same ways as TIFF."""

import os
import subprocess
import sys
from pathlib import Path

import fabio
import numpy as np
import pytest
from bluesky.plans import count
from PIL import Image

import tiffin
from tests.documents import FRAMES, hdf5, stream_run, write_jsonl
from tests.helpers import export_live
from tests.shell import tiffin as shell
from tiffin import ImageExporter
from tiffin.corrections import Bin
from tiffin.errors import DtypeError, ResumeError
from tiffin.testing import run_of

PLUGIN = Path(__file__).parents[2] / "examples" / "plugin_format"
IMAGES = np.arange(3 * 6 * 9, dtype="u2").reshape(3, 6, 9)
FORMATS = ["png", "npy"]


def name_of(form):
    return f"{{start.scan_id}}_{{event.seq_num}}.{form}"


def read(path):
    """Read a file with a library that did not write it."""
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    with Image.open(path) as file:
        return np.asarray(file)


def check(folder, form, images=IMAGES):
    files = sorted(folder.glob(f"*.{form}"))
    assert [path.name for path in files] == [
        f"7_{n + 1}.{form}" for n in range(len(images))
    ]
    for path, image in zip(files, images, strict=True):
        np.testing.assert_array_equal(read(path), image)
    return files


@pytest.fixture
def run():
    return run_of({"img": IMAGES}, scan_id=7, sample="µ Å 😀")


@pytest.fixture(params=FORMATS)
def form(request):
    return request.param


def test_live_and_replayed(RE, img, images, tmp_path, form):
    """The same bytes from a RunEngine as from its documents."""
    documents = []
    RE.subscribe(lambda *pair: documents.append(pair))
    with ImageExporter(name_of(form), directory=tmp_path / "a", format=form) as live:
        RE.subscribe(live)
        RE(count([img], 2), scan_id=7)
    tiffin.export(documents, name_of(form), directory=tmp_path / "b", format=form)

    for path in check(tmp_path / "a", form, images.taken(2)):
        assert (tmp_path / "b" / path.name).read_bytes() == path.read_bytes()


def test_images_of_files(tmp_path, form):
    """Stream datums of an HDF5 file, live."""
    run = stream_run(
        hdf5(tmp_path / "a.h5", FRAMES, chunks=(1, 6, 9), compression="gzip"),
        "application/x-hdf5", {"dataset": "/entry/data/data"}, events=12,
    )  # fmt: skip
    template = f"{{event.seq_num:02d}}.{form}"
    report = export_live(run, template, tmp_path / "out", format=form)

    assert report.ok
    found = [read(record.path) for record in report.written]
    np.testing.assert_array_equal(found, FRAMES)


def test_a_dry_run_has_the_names_and_writes_nothing(run, tmp_path, form):
    """And `tiffin names` the same, with the sizes that are known."""
    report = tiffin.export(
        run, name_of(form), directory=tmp_path / "out", format=form, dry_run=True
    )
    source = write_jsonl(run, tmp_path / "runs.jsonl")
    told = shell(
        "names", source, "-t", name_of(form), "-d", tmp_path / "out", "--format", form
    )

    assert [r.path.name for r in report.planned] == [f"7_{n}.{form}" for n in (1, 2, 3)]
    assert not (tmp_path / "out").exists()
    assert told.returncode == 0, told.stderr
    assert f"7_3.{form}" in told.stdout
    assert told.stdout.split()[0] == ("?" if form == "png" else str(128 + 108))


def test_resume_and_verify(run, tmp_path, form):
    """What is lost or damaged is written again; what is whole is kept."""
    settings = {"directory": tmp_path, "format": form}
    tiffin.export(run, name_of(form), **settings)
    first, second, third = check(tmp_path, form)
    before = third.stat().st_mtime_ns
    first.unlink()
    second.write_bytes(b"damaged")
    assert str(tiffin.verify(tmp_path)) == "1 intact, 1 missing, 1 damaged"

    report = tiffin.export(run, name_of(form), existing="resume", **settings)
    assert (len(report.written), len(report.skipped)) == (2, 1)
    check(tmp_path, form)
    assert third.stat().st_mtime_ns == before
    assert tiffin.verify(tmp_path).ok
    with pytest.raises(ResumeError, match="format was"):
        tiffin.export(run, "{i}.tif", directory=tmp_path, existing="resume")


def test_a_resume_with_another_stretch_is_refused(run, tmp_path):
    """Its pixels would be others."""
    settings = {"directory": tmp_path, "format": "png"}
    tiffin.export(run, name_of("png"), stretch="log", **settings)

    with pytest.raises(ResumeError, match="stretch was 'log', is 'linear'"):
        tiffin.export(
            run, name_of("png"), stretch="linear", existing="resume", **settings
        )


@pytest.mark.parametrize("options", [[], ["--stretch", "percentile"]], ids=str)
def test_the_shell_exports_and_compares(run, tmp_path, form, options):
    """``--format`` and ``--stretch``; ``verify --against`` knows both."""
    if options and form == "npy":
        options = []
    source = write_jsonl(run, tmp_path / "runs.jsonl")
    out = tmp_path / "out"
    given = ["-t", name_of(form), "-d", out, "--format", form, *options]

    assert shell("export", source, *given).returncode == 0
    assert len(list(out.glob(f"*.{form}"))) == 3
    told = shell("verify", out, "--against", source)
    assert told.returncode == 0, told.stderr
    assert "3 the same" in told.stderr
    path = out / f"7_2.{form}"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert shell("verify", out, "--against", source).returncode == 1


def test_a_configuration_file_does_the_same(run, tmp_path):
    """Format and stretch are options as any other."""
    source = write_jsonl(run, tmp_path / "runs.jsonl")
    config = tmp_path / "tiffin.toml"
    config.write_text('template = "{i}/{event.seq_num}.png"\nformat = "png"\n'
                      'stretch = "log"\n')  # fmt: skip

    told = shell("export", source, "--config", config, "-d", tmp_path / "out")
    assert told.returncode == 0, told.stderr
    found = tiffin.read_metadata(tmp_path / "out" / "0" / "2.png")
    assert found["stretch"]["kind"] == "log"


def test_corrections_come_before_the_format(run, tmp_path):
    """A sum of pixels needs a stretch in a PNG, which npy holds as it is."""
    wanted = IMAGES.reshape(3, 2, 3, 3, 3).sum(axis=(2, 4))
    steps = [Bin(3)]
    tiffin.export(
        run, name_of("npy"), directory=tmp_path, format="npy", corrections=steps
    )
    check(tmp_path, "npy", wanted)

    settings = {"directory": tmp_path, "format": "png", "corrections": steps}
    with pytest.raises(DtypeError, match=r"dtype='uint16'.*stretch='linear'"):
        tiffin.export(run, name_of("png"), **settings)
    tiffin.export(run, name_of("png"), dtype="uint16", **settings)
    check(tmp_path, "png", wanted)
    found = tiffin.read_metadata(tmp_path / "7_1.png")
    assert found["corrections"][0].startswith("Bin")


def test_a_png_has_the_metadata(run, tmp_path):
    """With all characters, and the stretch, also without other metadata."""
    settings = {"format": "png", "stretch": "linear"}
    tiffin.export(run, name_of("png"), directory=tmp_path / "a", **settings)
    tiffin.export(
        run, name_of("png"), directory=tmp_path / "b", metadata=None, **settings
    )

    found = tiffin.read_metadata(tmp_path / "a" / "7_1.png")
    assert (found["sample"], found["seq_num"]) == ("µ Å 😀", 1)
    stretch = {"kind": "linear", "low": 0.0, "high": 53.0, "dtype": "uint16"}
    assert found["stretch"] == stretch
    assert tiffin.read_metadata(tmp_path / "b" / "7_1.png") == {"stretch": stretch}


def test_npy_writes_what_no_tiff_holds(tmp_path):
    """int64 and complex numbers, exactly."""
    run = run_of({"img": np.full((1, 6, 9), 2**62), "c": np.full((1, 2, 2), 1j)})
    report = tiffin.export(run, "{field}.npy", directory=tmp_path, format="npy")

    assert report.ok
    assert (read(tmp_path / "img.npy") == 2**62).all()
    assert (read(tmp_path / "c.npy") == 1j).all()


# ---- the format of a plug-in


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with the example plug-in, installed."""
    site = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps"]
    subprocess.run([*command, "--target", site, PLUGIN], check=True, timeout=100)
    return site


def in_shell(site, *arguments):
    paths = os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", "tiffin", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip


def test_the_worked_example_adds_a_format(run, tmp_path, site):
    """Its files are written by name, read by fabio, verified and resumed."""
    source = write_jsonl(run, tmp_path / "runs.jsonl")
    out = tmp_path / "out"
    given = ["export", source, "-t", name_of("edf"), "-d", out, "--format", "edf"]

    told = in_shell(site, *given)
    assert told.returncode == 0, told.stderr
    for n, image in enumerate(IMAGES, 1):
        with fabio.open(out / f"7_{n}.edf") as file:
            np.testing.assert_array_equal(file.data, image)
            assert '"scan_id": 7' in file.header["tiffin"]
    (out / "7_2.edf").unlink()
    told = in_shell(site, *given, "--existing", "resume")
    assert "1 written, 2 skipped" in told.stderr
    told = in_shell(site, "verify", out, "--against", source)
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["-t", "{i}.tif"], "or --format tiff"),
        (["-t", "{i}.edf", "--compression", "zlib"], "is not for --format edf"),
        (["-t", "{i}.edf", "--format", "efd"], "did you mean 'edf'"),
    ],
)  # fmt: skip
def test_what_a_plug_in_does_not_do_is_refused(run, tmp_path, site, options, says):
    """As for formats of ours."""
    source = write_jsonl(run, tmp_path / "runs.jsonl")
    form = [] if "--format" in options else ["--format", "edf"]

    told = in_shell(site, "export", source, "-d", tmp_path / "out", *options, *form)
    assert told.returncode == 2
    assert says in told.stderr


@pytest.mark.parametrize("value", ["tiffin_gone:Writer", "tiffin.errors:Gone"])
def test_a_plug_in_that_is_broken_is_named(run, tmp_path, value):
    """Not installed completely, for example."""
    info = tmp_path / "site" / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n"
    )
    (info / "entry_points.txt").write_text(f"[tiffin.formats]\nbroken = {value}\n")
    source = write_jsonl(run, tmp_path / "runs.jsonl")

    told = in_shell(
        tmp_path / "site", "export", source, "-t", "{i}", "--format", "broken"
    )
    assert told.returncode == 2
    assert "--format 'broken' of a plug-in can't be loaded" in told.stderr
