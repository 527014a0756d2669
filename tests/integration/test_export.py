"""One call: a source in, files and a report out."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

import tiffin
from tiffin.errors import (
    CollisionError,
    CorrectionError,
    DtypeError,
    FieldError,
    MissingKeyError,
    SettingsError,
    SourceError,
    TemplateError,
    TiffinError,
)
from tiffin.testing import run_of

IMAGES = np.arange(3 * 6 * 9, dtype="u2").reshape(3, 6, 9)
NAME = "{start.scan_id}_{event.seq_num}.tif"


@pytest.fixture
def run():
    return run_of({"img": IMAGES, "T": [1.5, 2.5, 3.5]}, scan_id=7, sample_name="UO2")


def test_each_event_becomes_a_file(run, tmp_path, read, names_in):
    """S37: the report names the file of each event."""
    report = tiffin.export(run, NAME, directory=tmp_path / "out")

    assert names_in(tmp_path / "out") == ["7_1.tif", "7_2.tif", "7_3.tif"]
    assert report.ok
    assert [record.seq_num for record in report.written] == [1, 2, 3]
    for record, image in zip(report.written, IMAGES, strict=True):
        assert record.path.is_absolute()
        assert (record.run, record.stream, record.field) == (
            run[0][1]["uid"],
            "primary",
            "img",
        )
        assert (record.i, record.shape, record.dtype) == (0, (6, 9), np.dtype("u2"))
        assert record.error is None
        np.testing.assert_array_equal(read(record.path), image)


def test_without_a_directory_the_literal_folders_are_the_root(
    run, tmp_path, names_in, monkeypatch
):
    """`directory=None`: relative paths start at the working directory at
    construction.
    """
    monkeypatch.chdir(tmp_path)

    tiffin.export(run, f"{tmp_path}/abs/{NAME}")
    tiffin.export(run, "a/b/{start.sample_name}/" + NAME)

    assert names_in(tmp_path)[:2] == ["a/b/UO2/7_1.tif", "a/b/UO2/7_2.tif"]
    assert names_in(tmp_path / "abs") == ["7_1.tif", "7_2.tif", "7_3.tif"]


def test_a_stack_becomes_a_file_each(tmp_path, read):
    """S11: a 3-D event gives n files with {i}; a 2-D event has i = 0."""
    stacks = np.arange(2 * 4 * 6 * 9, dtype="u2").reshape(2, 4, 6, 9)

    report = tiffin.export(
        run_of({"img": stacks}), "{event.seq_num}_{i}.tif", directory=tmp_path
    )
    flat = tiffin.export(
        run_of({"img": IMAGES}), "flat_{event.seq_num}_{i}.tif", directory=tmp_path
    )

    assert [(r.seq_num, r.i) for r in report.written] == [
        (s, i) for s in (1, 2) for i in range(4)
    ]
    for record in report.written:
        np.testing.assert_array_equal(
            read(record.path), stacks[record.seq_num - 1, record.i]
        )
    assert flat.written[0].path.name == "flat_1_0.tif"


@pytest.mark.parametrize("frames", [3, 4])
def test_a_stack_of_three_or_four_is_no_colour(tmp_path, read, frames):
    """S14: three or four grey frames stay separate frames."""
    stack = np.arange(frames * 54, dtype="u1").reshape(1, frames, 6, 9)

    report = tiffin.export(run_of({"img": stack}), "{i}.tif", directory=tmp_path)

    assert len(report.written) == frames
    for record in report.written:
        np.testing.assert_array_equal(read(record.path), stack[0, record.i])


def test_a_stack_without_i_is_refused_before_the_first_file(tmp_path, names_in):
    """S11: the error says what to add to the template."""
    stacks = np.zeros((2, 4, 6, 9), "u2")

    with pytest.raises(CollisionError, match=r"add \{i\}") as caught:
        tiffin.export(
            run_of({"img": stacks}), "{event.seq_num}.tif", directory=tmp_path
        )

    assert len(caught.value.report.failed) == 8
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("declared", "held"),
    [((6, 9), (1, 6, 9)), ((1, 6, 9), (6, 9)), ((6, 9), (4, 6, 9))],
)
def test_the_array_is_the_truth_about_its_shape(tmp_path, read, declared, held):
    """S12: each image is exported, whatever the descriptor says."""
    array = np.arange(np.prod(held), dtype="i4").reshape(held)
    run = run_of({"img": [array]})
    run[1][1]["data_keys"]["img"]["shape"] = list(declared)

    report = tiffin.export(run, "{i}.tif", directory=tmp_path)

    images = array.reshape(-1, 6, 9)
    assert len(report.written) == len(images)
    for record in report.written:
        np.testing.assert_array_equal(read(record.path), images[record.i])


def test_the_same_export_twice_gives_the_same_bytes(run, tmp_path, names_in):
    """Same input, same settings: same file, byte for byte."""
    for folder in ("a", "b"):
        tiffin.export(run, NAME, directory=tmp_path / folder, workers=2)

    names = names_in(tmp_path / "a")
    assert len(names) == len(IMAGES)
    for name in names:
        one, other = (tmp_path / folder / name for folder in ("a", "b"))
        assert one.read_bytes() == other.read_bytes()


def test_a_dry_run_names_what_a_real_run_writes(run, tmp_path):
    """S36: the same names, no pixel read, no folder made."""

    class Unreadable:
        shape, dtype, ndim = (6, 9), np.dtype("u2"), 2

        def __array__(self, *args, **kwargs):
            raise AssertionError("a dry run read pixels")

    unread = run_of({"img": IMAGES}, scan_id=7)
    for name, doc in unread:
        if name == "event":
            doc["data"] = {"img": Unreadable()}

    planned = tiffin.export(unread, NAME, directory=tmp_path / "out", dry_run=True)
    folder_made = (tmp_path / "out").exists()
    report = tiffin.export(run, NAME, directory=tmp_path / "out")

    assert not folder_made
    assert [r.path for r in planned.planned] == [r.path for r in report.written]
    assert planned.ok
    assert str(planned) == "3 planned, 0 skipped, 0 failed"


def test_an_event_without_the_field_is_skipped_and_counted(tmp_path):
    """S16: another detector was triggered."""
    run = run_of({"img": IMAGES})
    run[3][1]["data"] = {}

    report = tiffin.export(run, "{event.seq_num}.tif", directory=tmp_path)

    assert [record.status for record in report.records] == [
        "written",
        "skipped",
        "written",
    ]
    assert "event 2 has no 'img'" in str(report.skipped[0].error)


def test_a_field_that_the_run_lacks_is_an_error_that_lists_the_images(run, tmp_path):
    """S16: never an empty success."""
    with pytest.raises(FieldError) as caught:
        tiffin.export(run, NAME, directory=tmp_path, fields=["imag"])

    assert "has no field 'imag': did you mean 'img'?" in str(caught.value)
    assert "its image fields are: img (stream 'primary')" in str(caught.value)


def test_a_scalar_field_is_an_error_that_lists_the_images(run, tmp_path):
    """S17: a motor is no image."""
    with pytest.raises(
        FieldError, match=r"'T' .* is not an image: its shape is \[\].*img"
    ):
        tiffin.export(run, NAME, directory=tmp_path, fields="T")


def test_a_field_of_another_stream_says_which(tmp_path):
    """S17: the error names the stream and the setting."""
    run = run_of({"img": IMAGES}, stream="dark")

    with pytest.raises(FieldError, match=r"streams=\('dark',\)"):
        tiffin.export(run, "{event.seq_num}.tif", directory=tmp_path, fields="img")


@pytest.mark.parametrize("source", [[], iter([]), run_of({"T": [1.5]})])
def test_nothing_exported_is_never_a_success(source, tmp_path):
    """S16: no run, or no image in it, is an error or a failed record."""
    with pytest.raises(TiffinError):
        tiffin.export(source, "{event.seq_num}.tif", directory=tmp_path)


def test_reporting_nothing_exported_is_a_failed_record(tmp_path):
    """S16: the report is not ok."""
    report = tiffin.export(
        run_of({"T": [1.5]}),
        "{event.seq_num}.tif",
        directory=tmp_path,
        on_error="report",
    )

    assert not report.ok
    assert "has no image in 'primary'" in str(report.failed[0].error)


def test_a_missing_start_key_stops_before_the_first_write(run, tmp_path, names_in):
    """S05: the error names the nearest keys."""
    with pytest.raises(MissingKeyError, match="did you mean 'sample_name'"):
        tiffin.export(run, "{start.sample}_{event.seq_num}.tif", directory=tmp_path)

    assert names_in(tmp_path) == []


def test_a_collision_fails_all_who_claim_the_name(run, tmp_path, names_in):
    """Contract: on replay all claimants of one name fail."""
    run[3][1]["data"]["T"] = 1.5

    report = tiffin.export(
        run, "{event.data.T}.tif", directory=tmp_path, on_error="report"
    )

    assert [record.status for record in report.records] == [
        "failed",
        "failed",
        "written",
    ]
    assert names_in(tmp_path) == ["3.5.tif"]


def test_a_file_that_vanished_fails_alone(sample, tmp_path):
    """A vanished file: that frame failed, the others written."""
    documents = sample("10_resource_datum_npy_seq").documents()
    for name, doc in documents:
        if name == "datum" and doc["datum_kwargs"]["index"] == 1:
            doc["datum_kwargs"] = {"index": 99}

    with pytest.raises(TiffinError, match="NPY_SEQ") as caught:
        tiffin.export(documents, "{event.seq_num}.tif", directory=tmp_path)

    report = caught.value.report
    assert [record.status for record in report.records] == [
        "written",
        "failed",
        "written",
    ]


def advice(images, tmp_path, **settings):
    """Export what can't be, and return what the error says to ask for."""
    with pytest.raises(DtypeError) as caught:
        tiffin.export(run_of({"img": images}), NUMBER, directory=tmp_path, **settings)
    told = str(caught.value)
    asked = [f"{name}={value}" for name, value in re.findall(ASKED, told)]
    return told, eval(f"dict({', '.join(asked)})")  # noqa: S307 (our own)


NUMBER = "{event.seq_num}.tif"
ASKED = r"(dtype|corrections)=(\[.*?\]|'\w+')"


@pytest.mark.parametrize("dtype", ["i8", "u8", "?", "f2", "g", "c8", "c16"])
def test_a_dtype_without_a_tiff_says_what_to_ask_for(tmp_path, read, dtype):
    """The error names the dtype, and the advice it gives works."""
    images = np.ones((1, 6, 9), dtype)

    told, settings = advice(images, tmp_path)
    run = run_of({"img": images})
    report = tiffin.export(run, NUMBER, directory=tmp_path, **settings)

    assert str(np.dtype(dtype)) in told
    assert (read(report.written[0].path) == 1).all()


def test_a_cast_of_complex_numbers_says_how_to_make_them_real(tmp_path, read):
    """No dtype alone can do it; a correction before it can."""
    images = np.full((1, 6, 9), 3 + 4j, "c8")

    _, settings = advice(images, tmp_path, dtype="uint16")
    settings["dtype"] = "uint16"
    report = tiffin.export(
        run_of({"img": images}), NUMBER, directory=tmp_path, **settings
    )

    assert (read(report.written[0].path) == 5).all()


@pytest.mark.parametrize("dtype", ["O", "U3", "S3", "M8[s]", "m8[s]", "i4,f4", "V4"])
@pytest.mark.parametrize("asked", [{}, {"dtype": "int32"}])
def test_what_no_tiff_holds_is_told_without_advice(tmp_path, dtype, asked):
    """Text, times, records and objects are no numbers: no setting helps."""
    told, settings = advice(np.zeros((1, 6, 9), dtype), tmp_path, **asked)

    assert str(np.dtype(dtype)) in told
    assert settings == {}


def test_complex_numbers_in_lists_are_made_real_likewise(tmp_path, read):
    """They stay complex until the corrections have run."""
    run = run_of({"img": [[[3 + 4j, 1]]]}, dtype_numpy=False)

    with pytest.raises(DtypeError, match="corrections=") as caught:
        tiffin.export(run, NUMBER, directory=tmp_path)
    report = tiffin.export(
        run,
        NUMBER,
        directory=tmp_path,
        corrections=[lambda image, frame: abs(image)],
    )

    assert "complex128" in str(caught.value)
    assert read(report.written[0].path).tolist() == [[5, 1]]


def test_lists_of_true_and_false_are_no_numbers(tmp_path, read):
    """The error says so, and what dtype= would make of them."""
    run = run_of({"img": [[[True, False]]]}, dtype_numpy=False)

    with pytest.raises(DtypeError, match=r"dtype='uint8' writes 1 and 0"):
        tiffin.export(run, NUMBER, directory=tmp_path)
    report = tiffin.export(run, NUMBER, directory=tmp_path, dtype="uint8")

    assert read(report.written[0].path).tolist() == [[1, 0]]


def test_a_cast_that_holds_every_value_is_made(tmp_path, read):
    """int64 becomes uint16 on request where every value fits, and fails where it
    doesn't.
    """
    images = np.array([[[0, 65535]], [[1, 65536]]], dtype="i8")

    report = tiffin.export(
        run_of({"img": images}),
        "{event.seq_num}.tif",
        directory=tmp_path,
        dtype="uint16",
        on_error="report",
    )

    assert [record.status for record in report.records] == ["written", "failed"]
    assert read(report.written[0].path).tolist() == [[0, 65535]]
    assert read(report.written[0].path).dtype == np.uint16


@pytest.mark.parametrize(
    ("lists", "dtype"),
    [
        ([[[1, 2]], [[3, 4]]], "int32"),
        ([[[1, 2]], [[3.5, 4.0]]], "float64"),
        ([[[1.5, 2.0]], [[3, 4]]], "float64"),
        ([[[1, None]], [[3, 4]]], "float64"),
    ],
)
def test_lists_without_dtype_become_one_dtype(tmp_path, read, caplog, lists, dtype):
    """S15: one dtype for all frames of a field, with one warning."""
    run = run_of({"img": lists}, dtype_numpy=False)

    report = tiffin.export(run, "{event.seq_num}.tif", directory=tmp_path)

    for record, values in zip(report.written, lists, strict=True):
        assert record.dtype == dtype
        np.testing.assert_array_equal(read(record.path), np.array(values, dtype))
    said = [r.getMessage() for r in caplog.records if "without dtype_numpy" in r.msg]
    assert len(said) == 1
    assert dtype in said[0]


@pytest.mark.parametrize("declared", ["<x9", "", "(3", 7, [["a", "<u2"]]])
def test_a_dtype_numpy_that_is_none_is_told(tmp_path, caplog, declared):
    """S15: a wrong dtype_numpy is ignored, with a warning that shows it."""
    run = run_of({"img": [[[1, 2]]]}, dtype_numpy=False)
    run[1][1]["data_keys"]["img"]["dtype_numpy"] = declared

    report = tiffin.export(run, NUMBER, directory=tmp_path)

    assert report.written[0].dtype == np.int32
    assert f"dtype_numpy={declared!r} is not a dtype" in caplog.text


@pytest.mark.parametrize(
    ("values", "asked", "wanted"),
    [
        ([-1, 2**31], None, "float64"),
        ([-1, 70000], "uint16", "int32"),
        ([0, 70000], "int16", "uint32"),
        ([0, 2**53 + 1], None, None),
        ([0, 2**53 + 1], "float64", None),
    ],
)
def test_lists_that_do_not_fit_name_a_dtype_that_holds_them(
    tmp_path, read, values, asked, wanted
):
    """S15: or the error says that none does."""
    run = run_of({"img": [[values]]}, dtype_numpy=False)

    with pytest.raises(DtypeError) as caught:
        tiffin.export(run, NUMBER, directory=tmp_path, dtype=asked)
    if wanted is None:
        assert "no dtype that a TIFF holds" in str(caught.value)
        return
    assert f"dtype='{wanted}'" in str(caught.value)
    report = tiffin.export(run, NUMBER, directory=tmp_path, dtype=wanted)

    assert read(report.written[0].path).tolist() == [values]


def test_lists_out_of_range_fail_and_name_dtype(tmp_path, read):
    """S15: 2**31 does not fit into int32; dtype= overrides."""
    run = run_of({"img": [[[1, 2**31]]]}, dtype_numpy=False)

    with pytest.raises(DtypeError, match="dtype='uint32'"):
        tiffin.export(run, "x.tif", directory=tmp_path)
    report = tiffin.export(run, "x.tif", directory=tmp_path, dtype="uint32")

    assert read(report.written[0].path).tolist() == [[1, 2**31]]


def test_an_empty_stack_is_one_skipped_record(tmp_path):
    """Contract: also where the document had JSON's []."""
    run = run_of({"img": np.zeros((2, 0, 6, 9), "u2")})
    run[3][1]["data"] = {"img": []}

    report = tiffin.export(run, "{event.seq_num}.tif", directory=tmp_path)

    assert [record.status for record in report.records] == ["skipped", "skipped"]


def test_documents_are_not_changed(run, tmp_path):
    """S30: documents are the same before and after, pixels too."""
    before = json.dumps(run, default=lambda array: array.tobytes().hex())

    tiffin.export(run, NAME, directory=tmp_path, corrections=[lambda im, frame: im + 1])

    assert json.dumps(run, default=lambda array: array.tobytes().hex()) == before


def test_a_correction_gets_image_and_frame(run, tmp_path, read):
    """A user's function may be a correction."""

    def add_temperature(image, frame):
        return (image + frame.event["data"]["T"]).astype("f4")

    report = tiffin.export(run, NAME, directory=tmp_path, corrections=[add_temperature])

    np.testing.assert_array_equal(
        read(report.written[1].path), IMAGES[1] + np.float32(2.5)
    )
    assert report.written[1].dtype == np.float32


@pytest.mark.parametrize(
    ("correction", "says"),
    [
        (lambda image, frame: 1 / 0, "division by zero"),
        (lambda image, frame: image.ravel(), "not an image of two dimensions"),
        (lambda image, frame: image.__iadd__(1), "read-only"),
    ],
)
def test_a_correction_that_fails_fails_its_frames(run, tmp_path, correction, says):
    """Each failed record names the correction and its reason."""
    with pytest.raises(CorrectionError, match=says) as caught:
        tiffin.export(run, NAME, directory=tmp_path, corrections=[correction])

    assert len(caught.value.report.failed) == 3


def test_a_folder_that_cannot_be_made_fails_every_frame(run, tmp_path):
    """With on_error='report' nothing is raised."""
    (tmp_path / "out").write_text("a file")

    report = tiffin.export(run, NAME, directory=tmp_path / "out", on_error="report")

    assert len(report.failed) == 3
    assert isinstance(report.failed[0].error, OSError)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"existing": "overwrite"}, SettingsError, "'error', 'skip', 'replace'"),
        ({"on_error": "ignore"}, SettingsError, "'raise' or 'report'"),
        ({"fields": []}, SettingsError, "list of names"),
        ({"fields": [3]}, SettingsError, "list of names"),
        ({"fields": 5}, SettingsError, "list of names"),
        ({"corrections": 5}, SettingsError, "functions"),
        ({"directory": "~nosuchuser/x"}, SettingsError, "unknown user"),
        ({"via": "ftp"}, SettingsError, "'auto', 'http', 'files'"),
        ({"dtype": "int64"}, SettingsError, "must be one of uint8, uint16"),
        ({"dtype": "nonsense"}, SettingsError, "must be one of uint8, uint16"),
        ({"workers": 0}, SettingsError, "at least 1"),
        ({"corrections": ["dark"]}, SettingsError, "functions"),
        ({"directory": 3}, SettingsError, "directory must be a path"),
        ({"template": "/abs/x.tif"}, TemplateError, "absolute"),
        ({"template": "../x.tif"}, TemplateError, "leaves"),
        ({"source": 3}, SourceError, "int is not a source"),
        ({"source": {"a": 1}}, SourceError, "dict"),
        ({"source": "no/such.jsonl"}, SourceError, "does not exist"),
        ({"source": "http://localhost:1/a"}, SourceError, r"from_uri\('http://local"),
        (
            {"source": "https://host"},
            SourceError,
            "an address, which only the shell takes",
        ),
        ({"source": [3]}, SourceError, "int is not a source"),
    ],
)
def test_wrong_arguments_raise_whatever_on_error_says(
    run, tmp_path, arguments, error, says
):
    """The error says what was got and what is allowed."""
    given = {
        "source": run,
        "template": NAME,
        "directory": tmp_path,
        "on_error": "report",
    }

    with pytest.raises(error, match=says):
        tiffin.export(**(given | arguments))


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), 1e12, -1, True, "5"])
def test_a_time_that_is_none_is_refused_at_once(tmp_path, seconds):
    """An infinite or invalid timeout is refused, as close() would hang."""
    with pytest.raises(SettingsError, match="asset_timeout must be a number"):
        tiffin.ImageExporter(NAME, directory=tmp_path, asset_timeout=seconds)


@pytest.mark.parametrize("form", ["object", "pair"])
def test_a_file_of_documents_is_a_source(run, tmp_path, read, form):
    """JSON lines, in both of the forms that recorders write."""
    path = tmp_path / "run.jsonl"
    with path.open("w") as file:
        for name, doc in run:
            line = {"name": name, "doc": doc} if form == "object" else [name, doc]
            file.write(json.dumps(line, default=lambda array: array.tolist()) + "\n")

    report = tiffin.export(path, NAME, directory=tmp_path / "out")

    for record, image in zip(report.written, IMAGES, strict=True):
        np.testing.assert_array_equal(read(record.path), image)
        assert record.dtype == np.uint16


@pytest.mark.parametrize("end", ["", "\n"])
def test_a_file_that_breaks_off_gives_what_it_has(run, tmp_path, end):
    """An incomplete last line may have been a frame: it is a failure."""
    path = tmp_path / "run.jsonl"
    lines = [json.dumps(line, default=lambda a: a.tolist()) for line in run]
    path.write_text("\n".join([*lines[:3], lines[3][:40] + end]))
    into = {"directory": tmp_path / "out"}

    report = tiffin.export(path, NAME, **into, on_error="report")
    with pytest.raises(SourceError, match="line 4") as caught:
        tiffin.export(path, NAME, **into, existing="replace")

    for told in (report, caught.value.report):
        assert [record.seq_num for record in told.written] == [1]
        (failed,) = told.failed
        assert isinstance(failed.error, SourceError)
        assert "breaks off in line 4" in str(failed.error)
        assert not told.ok


def test_what_breaks_off_behind_the_stop_document_is_no_frame(run, tmp_path, caplog):
    """Nothing of the run is missing: one warning, and no failure."""
    path = tmp_path / "run.jsonl"
    lines = [json.dumps(line, default=lambda a: a.tolist()) for line in run]
    path.write_text("\n".join([*lines, lines[0][:40]]))

    report = tiffin.export(path, NAME, directory=tmp_path / "out")

    assert report.ok
    assert len(report.written) == 3
    assert caplog.text.count("breaks off in line 7") == 1


def test_a_byte_order_mark_is_no_document(run, tmp_path):
    """Editors on Windows put it before the first line."""
    path = tmp_path / "run.jsonl"
    lines = [json.dumps(line, default=lambda a: a.tolist()) for line in run]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")

    report = tiffin.export(path, NAME, directory=tmp_path / "out")

    assert len(report.written) == 3


@pytest.mark.parametrize("empty", ["[]", "iterator", "file"])
def test_a_source_without_a_run_is_told_by_every_door(tmp_path, empty):
    """S16: export, process and get_images raise the same error."""
    path = tmp_path / "empty.jsonl"
    path.write_text("")
    exporter = tiffin.ImageExporter(NAME, directory=tmp_path)

    def source():
        return {"[]": [], "iterator": iter([]), "file": path}[empty]

    for door in (
        lambda: tiffin.export(source(), NAME, directory=tmp_path),
        lambda: tiffin.process(source(), exporter),
        lambda: tiffin.process(source(), lambda name, doc: None),
        lambda: tiffin.get_images(source(), "img"),
    ):
        with pytest.raises(SourceError, match="holds no run"):
            door()


def test_a_generator_is_a_source(run, tmp_path):
    """Any iterable of (name, document)."""
    report = tiffin.export((pair for pair in run), NAME, directory=tmp_path)

    assert len(report.written) == 3


def test_several_runs_are_a_source(tmp_path, names_in):
    """A list of runs is exported one after the other (S21)."""
    runs = [run_of({"img": IMAGES}, scan_id=n) for n in (1, 2)]

    report = tiffin.export(runs, NAME, directory=tmp_path)

    assert len(report.written) == 6
    assert names_in(tmp_path) == [f"{n}_{s}.tif" for n in (1, 2) for s in (1, 2, 3)]


def test_a_run_without_stop_gives_its_frames(run, tmp_path):
    """S32, S45: what was recorded before the crash is exported."""
    report = tiffin.export(run[:-2], NAME, directory=tmp_path)

    assert len(report.written) == 2


def test_an_aborted_run_keeps_its_good_frames(run, tmp_path):
    """S32: exit_status does not affect frames that were taken."""
    run[-1][1]["exit_status"] = "abort"

    assert len(tiffin.export(run, NAME, directory=tmp_path).written) == 3


def test_progress_is_told(run, tmp_path):
    """Progress gets frames finished and frames known; its last call is complete."""
    told = []

    tiffin.export(
        run,
        NAME,
        directory=tmp_path,
        progress=lambda done, known: told.append((done, known)),
    )

    assert max(told) == (3, 3)


def test_settings_can_be_sent_to_another_process(tmp_path):
    """Frozen and picklable."""
    import pickle

    from tiffin.settings import Settings

    settings = Settings.of(NAME, directory=tmp_path, dtype="uint16")

    assert pickle.loads(pickle.dumps(settings)) == settings


def test_errors_survive_pickling():
    """A worker process can send them to its parent."""
    import pickle

    error = MissingKeyError("no key", column=3)

    again = pickle.loads(pickle.dumps(error))

    assert (str(again), again.column) == ("no key", 3)


def test_the_light_parts_import_without_the_heavy_ones():
    """databroker, tiled, h5py, dask and matplotlib are imported only when needed."""
    code = (
        "import sys, tiffin\n"
        "heavy = {'databroker', 'tiled', 'h5py', 'dask', 'matplotlib', 'bluesky',"
        " 'ophyd', 'bluesky_tiled_plugins', 'typer', 'rich', 'tifffile'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )

    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert told.stdout.strip() == "[]"


@pytest.mark.parametrize("value", [None, 3.0, "text", np.arange(5), [None, [1, 2]]])
def test_a_value_that_is_no_image_is_a_failed_record(run, tmp_path, value):
    """One failed record an event, beside the good ones."""
    run[3][1]["data"] = {"img": value, "T": 1.0}

    report = tiffin.export(run, NAME, directory=tmp_path, on_error="report")

    assert [record.status for record in report.records] == [
        "written",
        "failed",
        "written",
    ]


@pytest.mark.parametrize("raised", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_nothing_that_a_correction_raises_hangs_an_export(run, tmp_path, raised):
    """Not even a BaseException ends a worker."""

    def leave(image, frame):
        raise raised

    report = tiffin.export(
        run, NAME, directory=tmp_path, on_error="report", workers=1, corrections=[leave]
    )

    assert len(report.failed) == 3


def test_a_list_of_unequal_arrays_fails_alone(tmp_path):
    """A stack of several shapes fails that field only."""
    run = run_of({"img": IMAGES, "other": IMAGES})
    run[3][1]["data"]["img"] = [IMAGES[0], IMAGES[0, :3]]

    report = tiffin.export(
        run, "{field}_{event.seq_num}.tif", directory=tmp_path, on_error="report"
    )

    assert [(r.field, r.seq_num) for r in report.failed] == [("img", 2)]
    assert len(report.written) == 5


@pytest.mark.parametrize("field", ["{start.big:f}", "{start.big:c}"])
def test_a_number_too_large_for_its_format_fails_with_a_sentence(tmp_path, field):
    """Whatever format() raises becomes a TemplateError."""
    run = run_of({"img": IMAGES}, big=10**400)

    with pytest.raises(TemplateError, match="can't be formatted"):
        tiffin.export(run, field + "{event.seq_num}.tif", directory=tmp_path)


def test_a_path_over_the_systems_limit_is_a_failed_record(tmp_path):
    """It is no raw OSError."""
    run = run_of({"img": IMAGES}, long="x" * 250)
    template = "{start.long}/" * 18 + "{event.seq_num}.tif"

    report = tiffin.export(run, template, directory=tmp_path, on_error="report")

    assert len(report.failed) == 3


def test_exporters_that_skip_do_not_fail_each_other(tmp_path):
    """Several exporters into one folder write each frame once, and skip it
    otherwise.
    """
    import threading

    run = run_of({"img": np.zeros((60, 32, 32), "u2")}, scan_id=7)
    reports = []

    def export():
        reports.append(
            tiffin.export(
                run, NAME, directory=tmp_path, existing="skip", on_error="report"
            )
        )

    threads = [threading.Thread(target=export) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert all(report.ok for report in reports)
    assert sum(len(report.written) for report in reports) == 60


def test_a_bad_document_does_not_end_a_replay(tmp_path):
    """It is a failed record of its run; the other frames are exported."""
    runs = [run_of({"img": IMAGES}, scan_id=n) for n in (1, 2)]
    del runs[0][3][1]["seq_num"]

    report = tiffin.export(runs, NAME, directory=tmp_path, on_error="report")

    assert len(report.written) == 5
    assert [record.run for record in report.failed] == [runs[0][0][1]["uid"]]


def test_events_without_their_descriptor_are_a_failed_record(run, tmp_path):
    """They count as seen, and are not dropped silently."""
    del run[1]

    report = tiffin.export(run, NAME, directory=tmp_path, on_error="report")

    assert not report.ok
    assert any("without their descriptor" in str(r.error) for r in report.failed)


def test_an_announced_stream_resource_that_never_comes_is_a_failed_record(
    run, tmp_path
):
    """Also beside an in-line field whose images came."""
    run[1][1]["data_keys"]["blob"] = {
        "source": "SIM",
        "dtype": "array",
        "shape": [1, 6, 9],
        "external": "STREAM:",
    }

    report = tiffin.export(run, NAME, directory=tmp_path, on_error="report")

    assert len(report.written) == 3
    assert [record.field for record in report.failed] == ["blob"]


@pytest.mark.parametrize("shape", [(0, 9), (6, 0)])
def test_a_correction_that_leaves_no_pixel_fails(run, tmp_path, shape):
    """A TIFF without pixels is no image."""
    report = tiffin.export(
        run,
        NAME,
        directory=tmp_path,
        on_error="report",
        corrections=[lambda image, frame: image[: shape[0], : shape[1]]],
    )

    assert len(report.failed) == 3


def test_a_cast_comes_after_the_corrections_for_lists_too(tmp_path, read):
    """As it does for arrays."""
    values = [[[5300, 100]], [[200, 300]]]
    for name, data in [("lists", values), ("arrays", np.array(values))]:
        report = tiffin.export(
            run_of({"img": data}, dtype_numpy=name == "arrays"),
            name + "{event.seq_num}.tif",
            directory=tmp_path,
            dtype="uint8",
            corrections=[lambda image, frame: image // 100],
        )
        assert [read(r.path).tolist() for r in report.written] == [[[53, 1]], [[2, 3]]]


def test_a_folder_in_the_way_is_a_failure_whatever_existing_says(run, tmp_path):
    """A folder of that name can be neither skipped nor replaced."""
    (tmp_path / "7_2.tif").mkdir()

    report = tiffin.export(
        run, NAME, directory=tmp_path, existing="skip", on_error="report"
    )

    assert [record.status for record in report.records] == [
        "written",
        "failed",
        "written",
    ]
    assert "is a folder" in str(report.failed[0].error)


@pytest.mark.parametrize(
    "template",
    ["{start.scan_id}/..", "..", "{start.scan_id}/../x.tif", "a/{i}/../x.tif"],
)
def test_a_template_that_goes_up_is_refused_at_once(run, tmp_path, template):
    """By the constructor, with the column of the '..'."""
    with pytest.raises(TemplateError) as caught:
        tiffin.export(run, template, directory=tmp_path)

    assert caught.value.column


def test_a_column_counts_in_what_the_author_wrote(run, tmp_path):
    """Also where the leading folders have become the root."""
    template = f"{tmp_path}/{{start.nokey}}.tif"

    with pytest.raises(MissingKeyError) as caught:
        tiffin.export(run, template)

    assert caught.value.column == template.index("{") + 1


def test_what_a_killed_export_left_is_gone_after_the_next(run, tmp_path, names_in):
    """S32: the next export into the folder removes its temporary files."""
    import socket

    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait(30)
    left = tmp_path / f".tiffin-{socket.gethostname()}-{dead.pid}-0.part"
    left.write_bytes(b"half")

    tiffin.export(run, NAME, directory=tmp_path)

    assert names_in(tmp_path) == ["7_1.tif", "7_2.tif", "7_3.tif"]


@pytest.fixture(params=["file", "dangling", "folder"])
def link(request, tmp_path):
    """A symlink where the second image is to go: to a file, to nothing, to a folder."""
    aim = tmp_path / "elsewhere"
    if request.param == "file":
        aim.write_bytes(b"precious")
    elif request.param == "folder":
        aim.mkdir()
    (tmp_path / "out").mkdir()
    link = tmp_path / "out/7_2.tif"
    link.symlink_to(aim)
    return link


def test_a_symlink_is_a_file_that_exists(run, tmp_path, link):
    """S31, error: also if it dangles; nothing is written through it."""
    aimed = link.readlink()

    report = tiffin.export(run, NAME, directory=tmp_path / "out", on_error="report")

    assert [r.status for r in report.records] == ["written", "failed", "written"]
    assert isinstance(report.failed[0].error, OSError)
    assert link.readlink() == aimed
    assert not aimed.is_file() or aimed.read_bytes() == b"precious"


def test_a_symlink_is_replaced_itself(run, tmp_path, read, link):
    """S31, replace: its target stays; a link to a folder is a folder in the way."""
    aimed = link.readlink()
    was = aimed.read_bytes() if aimed.is_file() else None

    report = tiffin.export(
        run, NAME, directory=tmp_path / "out", existing="replace", on_error="report"
    )

    if aimed.is_dir():
        assert [r.status for r in report.records] == ["written", "failed", "written"]
        assert link.is_symlink()
        return
    assert report.ok
    assert not link.is_symlink()
    np.testing.assert_array_equal(read(link), IMAGES[1])
    assert was == (aimed.read_bytes() if aimed.is_file() else None)
