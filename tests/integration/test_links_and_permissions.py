"""Folders below the root: entered through no link, made with the permissions asked."""

import asyncio
import os
import stat

import numpy as np
import pytest
from bluesky import RunEngine
from typer.testing import CliRunner

import tiffin
from tests.helpers import as_another_user, export_live, feed, let_others_in, until
from tiffin.cli import app
from tiffin.compat import LiveTiffExporter
from tiffin.errors import SettingsError, WriteError
from tiffin.testing import run_of
from tiffin.writers.leftovers import temporary_name

NAME = "{start.sample}/{event.seq_num}.tif"
DEEP = "{start.sample}/raw/x/{event.seq_num}.tif"


def a_run(n=2, **start):
    return run_of(
        {"img": np.ones((n, 6, 9), "u2")}, scan_id=7, **{"sample": "Ni", **start}
    )


@pytest.fixture
def places(tmp_path):
    """A root, and a folder outside it."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    return root, outside


def replayed(run, template, root, **settings):
    return tiffin.export(run, template, directory=root, on_error="report", **settings)


def recipe(run, template, root, existing="error", **settings):
    overwrite = existing == "replace"
    whole = f"{root}/{template}"
    exporter = LiveTiffExporter("img", whole, overwrite=overwrite, **settings)
    feed(exporter, run)
    (report,) = exporter.reports.values()
    return report


DOORS = [replayed, export_live, recipe]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("existing", ["error", "replace"])
def test_a_folder_that_is_a_link_is_refused(places, door, existing):
    """A3: a value names a folder that is a link: nothing is written outside, and
    frames fail with the reason.
    """
    root, outside = places
    (root / "Ni").symlink_to(outside)

    report = door(a_run(), NAME, root, existing=existing)

    assert not report.ok
    assert len(report.failed) == 2
    said = str(report.failed[0].error)
    assert f"{root}/Ni is a link" in said
    assert "follow_links=True" in said
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("door", DOORS)
def test_links_are_followed_where_that_is_asked(places, door, names_in):
    """follow_links=True: files are written where the link leads, by every way of
    exporting.
    """
    root, outside = places
    (root / "Ni").symlink_to(outside)

    report = door(a_run(), NAME, root, follow_links=True)

    assert report.ok
    assert names_in(outside) == ["1.tif", "2.tif"]


@pytest.mark.parametrize("existing", ["skip", "resume", "unique"])
def test_what_lies_behind_a_link_is_not_looked_at(places, existing, names_in):
    """Files there are not adopted, and do not affect the search for a free name."""
    root, outside = places
    run = a_run()
    assert replayed(run, NAME, root).ok
    (root / "Ni").rename(outside / "Ni")
    (root / "Ni").symlink_to(outside / "Ni")

    report = replayed(run, NAME, root, existing=existing)
    planned = replayed(run, NAME, root, existing=existing, dry_run=True)

    assert len(report.failed) == len(planned.failed) == 2
    assert names_in(outside / "Ni") == ["1.tif", "2.tif"]


@pytest.mark.parametrize("depth", ["Ni", "Ni/raw", "Ni/raw/x"])
def test_a_link_anywhere_on_the_way_is_refused(places, depth):
    """Every folder is checked, not only the last; a link within the root is refused
    too.
    """
    root, outside = places
    for target in (outside, root):
        link = root / depth
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
        before = sorted(target.rglob("*"))

        assert len(replayed(a_run(), DEEP, root).failed) == 2
        assert [p for p in sorted(target.rglob("*.tif")) if p not in before] == []
        link.unlink()


@pytest.mark.parametrize("door", [export_live, recipe])
@pytest.mark.parametrize("depth", ["Ni", "Ni/raw", "Ni/raw/x"])
def test_a_folder_swapped_in_mid_run_is_refused(places, depth, door):
    """It was a folder when the run began, and has files of it."""
    root, outside = places
    run = a_run(3)
    seen = []

    def documents():
        for name, doc in run:
            seen.append(name)
            if seen.count("event") == 2 and name == "event":
                until(lambda: (root / "Ni/raw/x/1.tif").exists())
                (root / depth).rename(outside / "was")
                (root / depth).symlink_to(outside / "was")
            yield name, doc

    report = door(documents(), DEEP, root)

    assert [r.status for r in report.records] == ["written", "failed", "failed"]
    assert len(list(outside.rglob("*.tif"))) == 1


def test_the_root_may_be_a_link(places):
    """It is given by the user: directory=, or the literal beginning of the template."""
    root, outside = places
    (root / "link").symlink_to(outside)

    assert replayed(a_run(), NAME, root / "link").ok
    assert replayed(a_run(sample="Au"), f"{root}/link/{NAME}", None).ok
    assert recipe(a_run(sample="Pt"), NAME, root / "link").ok
    assert len(list(outside.rglob("*.tif"))) == 6


def test_the_run_engine_goes_on(places):
    """Live, a link in the way fails the frames and never the plan."""
    root, outside = places
    (root / "Ni").symlink_to(outside)
    exporter = tiffin.ImageExporter(NAME, directory=root)
    engine = RunEngine(loop=asyncio.new_event_loop(), context_managers=[])
    engine.subscribe(exporter)

    engine(_plan())
    exporter.close()

    (report,) = exporter.reports.values()
    assert len(report.failed) == 2
    assert list(outside.iterdir()) == []


def _plan():
    from bluesky import plan_stubs, plans
    from ophyd.sim import det, img

    yield from plan_stubs.null()
    yield from plans.count([img, det], num=2, md={"sample": "Ni"})


@pytest.mark.parametrize("where", ["option", "file"])
def test_the_shell_follows_links_too(places, tmp_path, where, names_in):
    """--follow-links, or follow-links = true in a file."""
    root, outside = places
    (root / "Ni").symlink_to(outside)
    source = documents_in(tmp_path / "run.jsonl", a_run())
    arguments = ["export", source, "-t", NAME, "-d", str(root)]
    assert CliRunner().invoke(app, arguments).exit_code == 1
    if where == "option":
        arguments += ["--follow-links", "--directory-mode", "750"]
    else:
        config = tmp_path / "tiffin.toml"
        config.write_text('follow-links = true\ndirectory-mode = "750"\n')
        arguments += ["--config", str(config)]

    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert names_in(outside) == ["1.tif", "2.tif"]


def documents_in(path, run):
    import json

    lines = (json.dumps([n, d], default=lambda a: a.tolist()) for n, d in run)
    path.write_text("\n".join(lines))
    return str(path)


# ---- what else may have a name


def make_folder(path):
    path.mkdir()
    (path / "x").touch()


@pytest.mark.parametrize("existing", ["error", "skip", "replace", "unique", "resume"])
@pytest.mark.parametrize("make", [os.mkfifo, make_folder, "/dev/zero"])
@pytest.mark.parametrize("door", [replayed, export_live])
def test_what_is_no_file_in_place_of_a_name_does_not_hang(
    tmp_path, make, existing, door
):
    """D20: with a FIFO, a folder or a device in the way, every frame has its record."""
    path = tmp_path / "1.tif"
    path.symlink_to(make) if isinstance(make, str) else make(path)

    report = door(a_run(), "{event.seq_num}.tif", tmp_path, existing=existing)

    assert len(report.records) == 2
    assert not report.planned
    assert (tmp_path / "2.tif").is_file()
    if existing == "resume":
        assert not report.ok


@pytest.mark.parametrize("make", [os.mkfifo, "file", "nowhere", "/dev/zero"])
def test_what_is_no_folder_in_place_of_one_is_told(tmp_path, make):
    """D20: frames fail with the reason, and reporting it raises nothing."""
    path = tmp_path / "Ni"
    if make == "file":
        path.touch()
    else:
        path.symlink_to(make) if isinstance(make, str) else make(path)

    for existing in ("error", "resume", "unique"):
        for follow_links in (False, True):
            settings = {"existing": existing, "follow_links": follow_links}
            report = replayed(a_run(), NAME, tmp_path, **settings)
            assert [type(r.error) for r in report.failed] == [WriteError] * 2


# ---- permissions


def permissions(path):
    return oct(stat.S_IMODE(path.stat().st_mode))


@pytest.fixture
def usual_umask():
    """Files that the group does not write to, as nearly everywhere."""
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.usefixtures("usual_umask")
@pytest.mark.parametrize("door", [replayed, export_live])
@pytest.mark.parametrize(
    ("modes", "files", "folders"),
    [
        ({}, 0o644, 0o755),
        ({"mode": "664"}, 0o664, 0o775),
        ({"mode": 0o640}, 0o640, 0o750),
        ({"mode": "600"}, 0o600, 0o700),
        ({"mode": "444"}, 0o444, 0o755),
        ({"directory_mode": "2770"}, 0o644, 0o2770),
        ({"mode": "640", "directory_mode": 0o711}, 0o640, 0o711),
    ],
)
def test_modes_hold_for_all_that_is_made(tmp_path, door, modes, files, folders):
    """D21: for files, the manifest, its folder, the root and the folders between."""
    root = tmp_path / "new" / "root"

    assert door(a_run(), DEEP, root, **modes).ok

    for folder in (
        root.parent,
        root,
        root / ".tiffin",
        root / "Ni",
        root / "Ni/raw/x",
    ):
        assert permissions(folder) == oct(folders)
    for file in root.rglob("*.tif"):
        assert permissions(file) == oct(files)
    (manifest,) = (root / ".tiffin").iterdir()
    assert permissions(manifest) == oct(files | 0o600)


@pytest.mark.usefixtures("usual_umask")
def test_a_folder_keeps_the_s_bit_that_it_was_given(tmp_path):
    """D21: folders with a setgid bit keep it."""
    tmp_path.chmod(0o2775)

    assert replayed(a_run(), DEEP, tmp_path, mode="664").ok

    assert permissions(tmp_path / "Ni/raw/x") == oct(0o2775)


@pytest.mark.parametrize("mode", [True, -1, 0o10000, "rwx", 7.0, [1]])
def test_a_mode_that_is_none_is_refused(mode):
    """The message names the setting and what was got."""
    with pytest.raises(SettingsError, match="directory_mode must be permissions"):
        tiffin.ImageExporter("x.tif", directory_mode=mode)


@pytest.mark.usefixtures("usual_umask")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_a_second_account_goes_on_in_a_shared_folder(tmp_path):
    """D21: with its next scan, with a resume of the same run, and past leftovers of
    the first account.
    """
    let_others_in(tmp_path)
    shared = tmp_path / "shared"
    shared.mkdir()
    os.chown(shared, 0, 1000)
    shared.chmod(0o2775)
    run = a_run(3)
    assert replayed(run, NAME, shared, mode="664").ok
    (shared / "Ni" / "2.tif").unlink()
    left = shared / "Ni" / temporary_name().replace(f"-{os.getpid()}-", "-4194304-")
    left.write_bytes(b"begun")

    def second():
        resumed = replayed(run, NAME, shared, mode="664", existing="resume")
        other = replayed(a_run(sample="Au"), NAME, shared, mode="664")
        again = replayed(run, NAME, shared, mode="664", existing="replace")
        return all([len(resumed.written) == 1, resumed.ok, other.ok, again.ok])

    assert as_another_user(second, shared)
    assert tiffin.verify(shared).ok
