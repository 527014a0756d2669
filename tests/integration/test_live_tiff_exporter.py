"""The old exporter: its signature, its hooks, its subclasses (S46)."""

import copy
import inspect
from pathlib import Path

import numpy as np
import pytest
from bluesky.plans import count

from tests.documents import datum_run
from tests.helpers import feed
from tests.stores import LIBRARIES_WARN
from tiffin import LiveTiffExporter, get_images, process
from tiffin.errors import ExistsError, MissingKeyError, TemplateError
from tiffin.testing import run_of

pytestmark = LIBRARIES_WARN

IMAGES = np.arange(3 * 6 * 9, dtype="i4").reshape(3, 6, 9)
NAME = "/{start.scan_id}_step{event.seq_num}.tif"


@pytest.fixture
def run():
    return run_of({"img": IMAGES}, scan_id=7)


def test_the_signature_is_the_old_one():
    """S46: old calls work by position and by name."""
    parameters = list(inspect.signature(LiveTiffExporter).parameters.values())[:5]

    assert [(p.name, p.default) for p in parameters] == [
        ("field", inspect.Parameter.empty),
        ("template", inspect.Parameter.empty),
        ("dryrun", False),
        ("overwrite", False),
        ("db", None),
    ]


def test_filenames_outlive_the_run(run, tmp_path, read):
    """S37: they are those of the last run."""
    exporter = LiveTiffExporter("img", f"{tmp_path}/a/b{NAME}")

    feed(exporter, run)

    assert exporter.filenames == [f"{tmp_path}/a/b/7_step{n}.tif" for n in (1, 2, 3)]
    for name, image in zip(exporter.filenames, IMAGES, strict=True):
        np.testing.assert_array_equal(read(Path(name)), image)
    feed(exporter, run_of({"img": IMAGES[:1]}, scan_id=8))
    assert exporter.filenames == [f"{tmp_path}/a/b/8_step1.tif"]
    assert len(exporter.reports) == 2


def test_a_subclass_corrects_its_own_copy(run, tmp_path, read):
    """S30, S46: event() gets a writable array of its own, once an event, in order."""
    seen = []

    class InPlace(LiveTiffExporter):
        def event(self, doc):
            seen.append(doc["seq_num"])
            doc["data"][self.field] -= 5
            doc["data"]["more"] = 1
            super().event(doc)

    before = copy.deepcopy(run)
    exporter = InPlace("img", f"{tmp_path}{NAME}")
    feed(exporter, run)

    assert seen == [1, 2, 3]
    for name, image in zip(exporter.filenames, IMAGES, strict=True):
        np.testing.assert_array_equal(read(Path(name)), image - 5)
    for (_, then), (_, now) in zip(before, run, strict=True):
        assert then.keys() == now.keys()
        if "data" in then:
            assert list(then["data"]) == list(now["data"])
            np.testing.assert_array_equal(then["data"]["img"], now["data"]["img"])


def test_a_subclass_may_change_the_metadata_it_names_with(run, tmp_path, names_in):
    """Names are made from the documents that the hooks pass on."""

    class Renamed(LiveTiffExporter):
        def start(self, doc):
            doc["scan_id"] = "renamed"
            super().start(doc)

        def event(self, doc):
            doc["seq_num"] += 100
            super().event(doc)

    feed(Renamed("img", f"{tmp_path}{NAME}"), run)

    assert names_in(tmp_path) == [f"renamed_step{n}.tif" for n in (101, 102, 103)]
    assert run[0][1]["scan_id"] == 7


def test_a_subclass_may_save_in_its_own_way(run, tmp_path):
    """S46: the _save_image hook gets the image and its file name."""
    saved = {}

    class Saver(LiveTiffExporter):
        def _save_image(self, image, filename):
            saved[filename] = image
            self.filenames.append(filename)

    exporter = Saver("img", f"{tmp_path}{NAME}")
    feed(exporter, run)

    assert list(saved) == exporter.filenames
    np.testing.assert_array_equal(np.stack(list(saved.values())), IMAGES)
    assert list(tmp_path.iterdir()) == []


def test_all_hooks_are_called(run, tmp_path):
    """S46: start, descriptor, event and _save_image for each, stop."""
    called = []

    class Hooked(LiveTiffExporter):
        def start(self, doc):
            called.append("start")
            super().start(doc)

        def descriptor(self, doc):
            called.append("descriptor")
            super().descriptor(doc)

        def event(self, doc):
            called.append(f"event {doc['seq_num']}")
            super().event(doc)

        def _save_image(self, image, filename):
            called.append(f"save {Path(filename).name}")
            super()._save_image(image, filename)

        def stop(self, doc):
            called.append("stop")
            super().stop(doc)

    feed(Hooked("img", f"{tmp_path}{NAME}"), run)

    of_events = [
        word for n in (1, 2, 3) for word in (f"event {n}", f"save 7_step{n}.tif")
    ]
    assert called == ["start", "descriptor", *of_events, "stop"]


def test_what_a_hook_raises_is_the_users_word(RE, img, tmp_path):
    """Contract: it propagates, as it always did."""

    class NoDark(LiveTiffExporter):
        def start(self, doc):
            raise ValueError("No dark_frame was recorded.")

    with pytest.raises(ValueError, match=r"No dark_frame was recorded\."):
        RE(count([img], 1), NoDark("img", f"{tmp_path}{NAME}"))


def test_what_saving_raises_is_the_users_word_too(tmp_path):
    """It propagates, later images of the event are not saved, and all are counted."""

    class Full(LiveTiffExporter):
        def _save_image(self, image, filename):
            if filename.endswith("_1.tif"):
                raise RuntimeError("my disk is full")
            super()._save_image(image, filename)

    exporter = Full("img", f"{tmp_path}/{{event.seq_num}}_{{i}}.tif")
    with pytest.raises(RuntimeError, match="my disk is full"):
        feed(exporter, run_of({"img": IMAGES[None]}))

    (report,) = exporter.reports.values()
    assert [record.status for record in report.records] == [
        "written",
        "failed",
        "failed",
    ]
    assert "my disk is full" in str(report.failed[0].error)


def test_a_mask_of_a_hook_is_not_lost(run, tmp_path):
    """A TIFF has no mask: the image fails, as anywhere."""

    class Masks(LiveTiffExporter):
        def event(self, doc):
            doc["data"]["img"] = np.ma.masked_less(doc["data"]["img"], 3)
            super().event(doc)

    exporter = Masks("img", f"{tmp_path}{NAME}")
    feed(exporter, run)

    (report,) = exporter.reports.values()
    assert [record.status for record in report.records] == [
        "failed",
        "written",
        "written",
    ]


def test_an_existing_file_is_recorded_or_raised(run, tmp_path):
    """Contract: on_error='raise' raises the same OSError as before."""
    target = tmp_path / "7_step2.tif"
    target.write_bytes(b"precious")
    reporting = LiveTiffExporter("img", f"{tmp_path}{NAME}")
    raising = LiveTiffExporter("img", f"{tmp_path}/7_step2.tif", on_error="raise")

    feed(reporting, run)

    (report,) = reporting.reports.values()
    assert [record.status for record in report.records] == [
        "written",
        "failed",
        "written",
    ]
    with pytest.raises(ExistsError) as caught:
        feed(raising, run)
    assert isinstance(caught.value, OSError)
    assert target.read_bytes() == b"precious"


def test_overwrite_replaces(run, tmp_path, read):
    """S31: overwrite=True replaces a file."""
    (tmp_path / "7_step2.tif").write_bytes(b"old")

    feed(LiveTiffExporter("img", f"{tmp_path}{NAME}", overwrite=True), run)

    np.testing.assert_array_equal(read(tmp_path / "7_step2.tif"), IMAGES[1])


def test_dryrun_names_and_writes_nothing(run, tmp_path, names_in):
    """S36: dryrun=True lists file names and writes nothing."""
    exporter = LiveTiffExporter("img", f"{tmp_path}{NAME}", dryrun=True)

    feed(exporter, run)

    assert len(exporter.filenames) == 3
    assert names_in(tmp_path) == []


def test_stacks_need_i(tmp_path, names_in):
    """S11: otherwise nothing of the stack is written, and the report says why."""
    stacks = run_of({"img": IMAGES[None]}, scan_id=1)
    without = LiveTiffExporter("img", f"{tmp_path}/{{event.seq_num}}.tif")
    with_i = LiveTiffExporter("img", f"{tmp_path}/{{event.seq_num}}_{{i}}.tif")

    feed(without, stacks)
    nothing = names_in(tmp_path)
    feed(with_i, stacks)

    (report,) = without.reports.values()
    assert nothing == []
    assert len(report.failed) == 3
    assert names_in(tmp_path) == ["1_0.tif", "1_1.tif", "1_2.tif"]


def test_a_missing_key_is_recorded_or_raised(run, tmp_path):
    """A failure of our own follows on_error."""
    template = f"{tmp_path}/{{start.sampel}}_{{event.seq_num}}.tif"
    reporting = LiveTiffExporter("img", template)

    feed(reporting, run)

    (report,) = reporting.reports.values()
    assert len(report.failed) == 3
    with pytest.raises(MissingKeyError):
        feed(LiveTiffExporter("img", template, on_error="raise"), run)


def test_a_template_that_cannot_work_raises_in_the_constructor():
    """Before the beam."""
    with pytest.raises(TemplateError):
        LiveTiffExporter("img", "{strat.scan_id}.tif")


def test_a_field_that_never_comes_is_in_the_report(run, tmp_path):
    """S16: it does not pass silently."""
    exporter = LiveTiffExporter("pe1_image", f"{tmp_path}{NAME}")

    feed(exporter, run)

    (report,) = exporter.reports.values()
    assert not report.ok
    assert "its image fields are: img" in str(report.failed[0].error)


def test_a_subclass_may_change_anything_nested(run, tmp_path):
    """S30: lists, mappings and other arrays are copies as well."""
    run[0][1]["items"] = [{"a": 1}]
    run[2][1]["data"]["other"] = np.ones(3)

    class Vandal(LiveTiffExporter):
        def start(self, doc):
            doc["items"][0]["a"] = 99
            super().start(doc)

        def event(self, doc):
            if "other" in doc["data"]:
                doc["data"]["other"] *= 0
            super().event(doc)

    feed(Vandal("img", f"{tmp_path}{NAME}"), run)

    assert run[0][1]["items"] == [{"a": 1}]
    assert run[2][1]["data"]["other"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("value", [3.0, np.arange(4), np.zeros((0, 6, 9)), None])
def test_what_is_no_image_never_raises(run, tmp_path, value):
    """It is a failed record, also if a subclass set it; other frames are written."""
    run[3][1]["data"] = {"img": value}
    plain = LiveTiffExporter("img", f"{tmp_path}/a{NAME}")

    class Broken(LiveTiffExporter):
        def event(self, doc):
            doc["data"]["img"] = value
            super().event(doc)

    broken = Broken("img", f"{tmp_path}/b{NAME}")
    feed(plain, run)
    feed(broken, run_of({"img": IMAGES}, scan_id=7))

    (report,) = plain.reports.values()
    assert [r.status for r in report.records][::2] == ["written", "written"]
    assert report.records[1].status in ("failed", "skipped")
    (report,) = broken.reports.values()
    assert len(report.records) == 3
    assert not report.written


def test_interleaved_runs_do_not_overwrite_each_other(tmp_path):
    """Two open runs with one name: the first keeps it."""
    one, two = (run_of({"img": IMAGES[:1]}, scan_id=n) for n in (1, 2))
    exporter = LiveTiffExporter("img", f"{tmp_path}/X.tif", overwrite=True)

    feed(exporter, [one[0], two[0], *one[1:3], *two[1:], one[3]])

    statuses = [r.records[0].status for r in exporter.reports.values()]
    assert statuses == ["written", "failed"]
    feed(exporter, run_of({"img": IMAGES[:1]}, scan_id=3))
    assert list(exporter.reports.values())[-1].ok  # a later run may overwrite


def test_subtraction_as_in_the_recipe_with_files(
    RE, broker, external, images, tmp_path, read
):
    """S39, S46: external images, a dark run, db.process and process."""
    RE.subscribe(broker.v1.insert)
    (dark_uid,) = RE(count([external], 1))
    uids = RE(count([external], 2), dark_frame=dark_uid)

    class Subtracted(LiveTiffExporter):
        def start(self, doc):
            (self.dark,) = get_images(broker[doc["dark_frame"]], "ext")
            super().start(doc)

        def event(self, doc):
            doc["data"][self.field] = doc["data"][self.field] - self.dark
            super().event(doc)

    exporter = Subtracted("ext", f"{tmp_path}/a{NAME}")
    broker.process(broker[uids], exporter)
    reports = process(broker[uids], Subtracted("ext", f"{tmp_path}/b{NAME}"))

    dark, *lights = images.taken(3)
    for n, light in enumerate(lights, 1):
        for folder in ("a", "b"):
            pixels = read(tmp_path / folder / f"2_step{n}.tif")
            np.testing.assert_array_equal(pixels, light - dark)
    assert reports[uids[0]].ok


def test_a_dry_run_reads_no_pixel(tmp_path):
    """S36: names are made from documents, also after the detector's files are gone."""
    template = "{start.scan_id}_{event.seq_num}_{i}.tif"
    exporter = LiveTiffExporter("img", f"{tmp_path}/{template}", dryrun=True)

    process(list(datum_run(tmp_path / "gone.h5")), exporter)

    (report,) = exporter.reports.values()
    assert len(report.planned) == 12
    assert report.ok
    names = [f"{tmp_path}/7_{n}_{i}.tif" for n in (1, 2, 3, 4) for i in (0, 1, 2)]
    assert exporter.filenames == names


def test_a_dry_run_shows_pixels_to_the_hooks_of_a_subclass(run, tmp_path):
    """Its event() may choose a name by the pixels."""
    seen = []

    class Looking(LiveTiffExporter):
        def event(self, doc):
            seen.append(doc["data"][self.field].sum())
            super().event(doc)

    exporter = Looking("img", f"{tmp_path}{NAME}", dryrun=True)
    process(run, exporter)

    assert seen == [image.sum() for image in IMAGES]
    (report,) = exporter.reports.values()
    assert len(report.planned) == 3


def test_what_an_error_says_to_ask_for_works(tmp_path, read):
    """int64: `dtype=` casts; an existing file: `overwrite=True`."""
    run = run_of({"img": IMAGES.astype("i8")}, scan_id=7)
    refusing = LiveTiffExporter("img", f"{tmp_path}{NAME}")
    casting = LiveTiffExporter("img", f"{tmp_path}{NAME}", dtype="int32")
    again = LiveTiffExporter("img", f"{tmp_path}{NAME}", dtype="int32")

    for exporter in (refusing, casting, again):
        process(run, exporter)

    failed = [next(iter(e.reports.values())).failed for e in (refusing, casting, again)]
    assert [len(records) for records in failed] == [3, 0, 3]
    assert "dtype='int32'" in str(failed[0][0].error)
    assert "overwrite=True" in str(failed[2][0].error)
    assert "existing=" not in str(failed[2][0].error)
    for name, image in zip(casting.filenames, IMAGES, strict=True):
        np.testing.assert_array_equal(read(name), image)


def test_a_run_in_a_run_keeps_the_names_of_both(tmp_path):
    """S21, S37: a nested run's start does not clear the names of the outer run."""
    outer, inner = (run_of({"img": IMAGES[:2]}, scan_id=n) for n in (1, 2))
    exporter = LiveTiffExporter("img", f"{tmp_path}{NAME}")

    feed(exporter, [*outer[:3], *inner, *outer[3:]])

    names = [Path(name).name for name in exporter.filenames]
    assert names == ["1_step1.tif", "2_step1.tif", "2_step2.tif", "1_step2.tif"]
    feed(exporter, run_of({"img": IMAGES[:1]}, scan_id=3))
    assert [Path(name).name for name in exporter.filenames] == ["3_step1.tif"]
