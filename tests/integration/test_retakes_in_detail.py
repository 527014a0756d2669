"""What becomes of points that are taken again where something else is special."""

import numpy as np
import pytest

from tests.documents import dark_run, uid_of
from tests.helpers import feed
from tests.run_forms import in_datums
from tiffin import ImageExporter, export, verify
from tiffin.corrections import DarkSubtract, Sum
from tiffin.testing import run_of

NAME = "{event.seq_num}.tif"
DOORS = ["live", "replay"]


def numbered(documents, seq_nums):
    """Return a run's documents with other seq_nums."""
    events = [doc for name, doc in documents if name == "event"]
    for event, seq_num in zip(events, seq_nums, strict=True):
        event["seq_num"] = seq_num
    return documents


def constant(*values, shape=(4, 6)):
    return [np.full(shape, value, "u2") for value in values]


def exported(door, documents, template, folder, **settings):
    if door == "replay":
        settings = {"on_error": "report"} | settings
        return export(documents, template, directory=folder, **settings)
    exporter = ImageExporter(template, directory=folder, **settings)
    feed(exporter, documents)
    exporter.close()
    return exporter.reports[documents[-1][1]["run_start"]]


def content(folder, read):
    return {path.name: int(read(path).flat[0]) for path in folder.glob("*.tif")}


@pytest.mark.parametrize("door", DOORS)
def test_a_retake_of_fewer_images_leaves_none_of_the_others(door, tmp_path, read):
    """Files of the earlier take that the retake lacks are removed."""
    stacks = [*constant(1, 2, shape=(3, 4, 6)), *constant(3, shape=(2, 4, 6))]
    run = numbered(run_of({"img": stacks}), [1, 2, 2])

    report = exported(door, run, "{event.seq_num}_{i}.tif", tmp_path)

    firsts = {f"1_{i}.tif": 1 for i in range(3)}
    assert content(tmp_path, read) == firsts | {"2_0.tif": 3, "2_1.tif": 3}
    assert not report.failed
    assert verify(tmp_path).ok


@pytest.mark.parametrize("door", DOORS)
def test_chosen_images_of_a_retake_replace_those_chosen_before(door, tmp_path, read):
    """frames= skips images of an event; a retake has its own running numbers."""
    stacks = constant(1, 2, 3, shape=(3, 4, 6))
    run = numbered(run_of({"img": stacks}), [1, 2, 2])

    report = exported(door, run, "{frame}.tif", tmp_path, frames="1::2")

    assert content(tmp_path, read) == {"1.tif": 1, "3.tif": 3, "5.tif": 3}
    assert (len(report.written), len(report.skipped), len(report.failed)) == (3, 2, 0)


@pytest.mark.parametrize("door", DOORS)
def test_each_field_has_its_retakes(door, tmp_path, read):
    """Two cameras, both with repeated points."""
    data = {"a": constant(1, 2, 3), "b": constant(11, 12, 13)}
    run = numbered(run_of(data), [1, 2, 2])

    exported(door, run, "{field}_{event.seq_num}.tif", tmp_path)

    wanted = {"a_1.tif": 1, "a_2.tif": 3, "b_1.tif": 11, "b_2.tif": 13}
    assert content(tmp_path, read) == wanted


@pytest.mark.parametrize("door", DOORS)
def test_all_points_since_a_checkpoint_may_be_taken_again(door, tmp_path, read):
    """Several times, too."""
    seq_nums = [1, 2, 3, 2, 3, 2, 3, 4]
    run = numbered(run_of({"img": constant(*range(8))}), seq_nums)

    report = exported(door, run, NAME, tmp_path)

    assert content(tmp_path, read) == {"1.tif": 0, "2.tif": 5, "3.tif": 6, "4.tif": 7}
    assert (len(report.written), len(report.skipped), len(report.failed)) == (4, 4, 0)
    assert verify(tmp_path).ok


def test_points_that_are_taken_again_at_once_keep_their_files(tmp_path, read):
    """A worker that is late with one take removes no file of a later take."""
    template = "{start.scan_id}_{event.seq_num}.tif"
    seq_nums = [1, 2, 3, 2, 3, 2, 3, 4]
    with ImageExporter(template, directory=tmp_path) as exporter:
        for n in range(100):
            run = run_of({"img": constant(*range(8))}, scan_id=n)
            feed(exporter, numbered(run, seq_nums))

    wanted = {1: 0, 2: 5, 3: 6, 4: 7}
    assert content(tmp_path, read) == {
        f"{n}_{seq_num}.tif": value
        for n in range(100)
        for seq_num, value in wanted.items()
    }
    assert verify(tmp_path).ok


@pytest.mark.parametrize("existing", ["error", "skip", "unique", "resume"])
@pytest.mark.parametrize("door", DOORS)
def test_a_retake_overwrites_nothing_of_others(door, existing, tmp_path, read):
    """A file from before the run is no earlier take."""
    tmp_path.joinpath("2.tif").write_bytes(b"other")
    run = numbered(run_of({"img": constant(1, 2, 3)}), [1, 2, 2])

    report = exported(door, run, NAME, tmp_path, existing=existing)

    assert tmp_path.joinpath("2.tif").read_bytes() == b"other"
    assert len(report.failed) == (existing in ("error", "resume"))
    if existing == "unique":
        assert int(read(tmp_path / "2-2.tif").flat[0]) == 3


@pytest.mark.parametrize("door", DOORS)
def test_a_retake_that_can_not_be_read_fails_and_says_so(door, tmp_path):
    """The earlier take stays superseded; if its file was written, the report says
    so.
    """
    (tmp_path / "data").mkdir()
    run = in_datums(np.stack(constant(1, 2, 3)), tmp_path / "data")
    run = numbered(run, [1, 2, 2])
    (tmp_path / "data" / "img_2.npy").unlink()

    more = {"asset_timeout": 0} if door == "live" else {}
    report = exported(door, run, NAME, tmp_path / "out", **more)

    assert [record.seq_num for record in report.failed] == [2]
    assert [record.seq_num for record in report.skipped] == [2]
    if tmp_path.joinpath("out", "2.tif").exists():
        assert "holds an earlier take" in str(report.failed[0].error)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("save", ["sub", ("sub", "light")])
def test_retakes_have_their_dark_subtracted(door, save, tmp_path, read):
    """Each kind of image is that of the latest take."""
    dark = dark_run(10, shape=(4, 6))
    light = run_of({"img": constant(21, 22, 23)}, dark_frame=uid_of(dark))

    settings = {"corrections": [DarkSubtract()], "save": save, "catalog": dark}
    exported(
        door, numbered(light, [1, 2, 2]), "{kind}_{event.seq_num}.tif",
        tmp_path, **settings,
    )  # fmt: skip

    lights = {"light_1.tif": 21, "light_2.tif": 23} if save != "sub" else {}
    subtracted = {"sub_1.tif": 11, "sub_2.tif": 13}
    assert content(tmp_path, read) == subtracted | lights


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("repeats", ["last", "first"])
def test_a_dry_run_names_each_point_once(dry_run, repeats, tmp_path):
    """As the export does."""
    run = numbered(run_of({"img": constant(1, 2, 3)}), [1, 2, 2])

    report = export(run, NAME, directory=tmp_path, dry_run=dry_run, repeats=repeats)

    status = "planned" if dry_run else "written"
    names = [r.path.name for r in report.records if r.status == status]
    assert names == ["1.tif", "2.tif"]


@pytest.mark.parametrize("door", DOORS)
def test_the_first_take_is_joined_where_that_is_asked_for(door, tmp_path, read):
    """repeats="first" sums first takes."""
    run = numbered(run_of({"img": constant(1, 2, 30, 4)}), [1, 2, 2, 3])

    report = exported(door, run, NAME, tmp_path, corrections=[Sum(3)], repeats="first")

    assert content(tmp_path, read) == {"1.tif": 7}
    assert len(report.skipped) == 1


@pytest.mark.parametrize("repeats", ["first", "all"])
def test_a_resume_with_other_takes_is_refused(repeats, tmp_path):
    """The manifest says which takes the files are of."""
    run = numbered(run_of({"img": constant(1, 2, 3)}), [1, 2, 2])
    export(run, "{frame}.tif", directory=tmp_path)

    settings = {"existing": "resume", "repeats": repeats, "on_error": "report"}
    report = export(run, "{frame}.tif", directory=tmp_path, **settings)

    assert not report.ok
    assert "repeats" in str(report.failed[0].error)
