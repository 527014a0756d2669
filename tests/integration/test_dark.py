"""Dark frames: found, checked, subtracted without a wrap, and written down."""

import json

import numpy as np
import pytest

import tiffin
from tests.documents import dark_run, darks_in_a_stream, light_run, uid_of
from tests.helpers import feed
from tiffin import ImageExporter
from tiffin.corrections import Cast, DarkSubtract, FlatField
from tiffin.errors import (
    CorrectionError,
    MissingDarkError,
    SettingsError,
    TemplateError,
)

NAME = "{start.scan_id}_{kind}_{event.seq_num}.tif"


def test_a_difference_never_wraps(tmp_path, read):
    """S22: light 100 - dark 110 is -10; as uint16 and clipped it is 0; it is never
    65526.
    """
    dark = dark_run()
    light = light_run(dark_frame=uid_of(dark))
    clip = [DarkSubtract(), Cast("uint16", overflow="clip")]

    plain = tiffin.export(
        [dark, light], NAME, directory=tmp_path / "a", corrections=[DarkSubtract()]
    )
    clipped = tiffin.export(
        [dark, light], NAME, directory=tmp_path / "b", corrections=clip
    )

    assert [(r.path.name, r.kind) for r in plain.written] == [
        ("1_dark_1.tif", "dark"),
        ("2_sub_1.tif", "sub"),
        ("2_sub_2.tif", "sub"),
    ]
    assert read(plain.written[1].path).dtype == np.float32
    assert (read(plain.written[1].path) == -10).all()
    assert (read(clipped.written[1].path) == 0).all()
    assert clipped.clipped == 2 * 54


def test_the_dark_run_itself_is_exported_as_it_is(tmp_path, read):
    """S26: a run whose start document has dark_frame True is exported uncorrected."""
    report = tiffin.export(
        dark_run(), NAME, directory=tmp_path, corrections=[DarkSubtract()]
    )

    assert report.ok
    assert read(tmp_path / "1_dark_1.tif").dtype == np.uint16


@pytest.mark.parametrize("key", ["dark_frame", "sc_dk_field_uid"])
@pytest.mark.parametrize("several", [str, list, tuple])
def test_a_reference_is_a_uid_or_a_list_of_them(tmp_path, read, key, several):
    """S24: any key; several darks, and several events of one, are averaged."""
    darks = [dark_run(10, events=2), dark_run(15, events=1)]
    uids = [uid_of(dark) for dark in darks]
    reference = uids[0] if several is str else several(uids)
    light = light_run(100, **{key: reference})
    catalog = dict(zip(uids, darks, strict=True))

    report = tiffin.export(
        light, NAME, directory=tmp_path, corrections=[DarkSubtract(key=key)],
        catalog=catalog,
    )  # fmt: skip

    expected = 100 - (10 if several is str else (10 + 10 + 15) / 3)
    np.testing.assert_array_equal(
        read(report.written[0].path), np.full((6, 9), expected, "f4")
    )


def test_live_a_catalogue_is_given_once(tmp_path, read):
    """S24: live, the dark is looked up in the exporter's catalogue."""
    dark = dark_run()
    exporter = ImageExporter(
        NAME,
        directory=tmp_path,
        corrections=[DarkSubtract()],
        catalog={uid_of(dark): dark},
    )
    feed(exporter, light_run(dark_frame=uid_of(dark)))

    (report,) = exporter.reports.values()
    assert report.ok
    assert (read(tmp_path / "2_sub_1.tif") == -10).all()


@pytest.mark.parametrize("live", [True, False])
def test_each_light_takes_the_latest_dark_before_it(tmp_path, read, live):
    """S25: darks are in a stream of the same run."""
    documents = darks_in_a_stream("dlldl")
    corrections = [DarkSubtract(stream="dark")]
    if live:
        with ImageExporter(NAME, directory=tmp_path, corrections=corrections) as save:
            feed(save, documents)
    else:
        tiffin.export(documents, NAME, directory=tmp_path, corrections=corrections)

    values = [float(read(tmp_path / f"3_sub_{n}.tif")[0, 0]) for n in (1, 2, 3)]
    assert values == [101 - 0, 102 - 0, 104 - 30]


@pytest.mark.parametrize(
    ("missing", "status", "name"),
    [
        ("error", "failed", None),
        ("raw", "written", "3_light_1.tif"),
        ("skip", "skipped", None),
    ],
)
def test_a_light_before_any_dark(tmp_path, read, missing, status, name):
    """S25, S27: it fails, is exported raw (and named so), or is skipped."""
    report = tiffin.export(
        darks_in_a_stream("ldl"),
        NAME,
        directory=tmp_path,
        corrections=[DarkSubtract(stream="dark", missing=missing)],
        on_error="report",
    )

    first, second = report.records
    assert first.status == status
    assert second.path.name == "3_sub_2.tif"
    if name:
        assert first.path.name == name
        assert (read(first.path) == 100).all()
    else:
        assert isinstance(first.error, MissingDarkError)


def test_several_kinds_from_one_pass(tmp_path, read):
    """S28: light, dark and subtracted have their own names; the dark is written
    once.
    """
    dark = dark_run()
    light = light_run(dark_frame=uid_of(dark))

    report = tiffin.export(
        light,
        "{kind}/{start.scan_id}_{event.seq_num}.tif",
        directory=tmp_path,
        corrections=[DarkSubtract()],
        catalog={uid_of(dark): dark},
        save=("sub", "light", "dark"),
    )

    assert sorted(r.path.relative_to(tmp_path).as_posix() for r in report.written) == [
        "dark/1_1.tif", "light/2_1.tif", "light/2_2.tif", "sub/2_1.tif", "sub/2_2.tif",
    ]  # fmt: skip
    assert (read(tmp_path / "dark/1_1.tif") == 110).all()
    assert (read(tmp_path / "light/2_1.tif") == 100).all()
    with pytest.raises(TemplateError, match=r"add \{kind\}"):
        tiffin.export(
            light,
            "{event.seq_num}.tif",
            directory=tmp_path,
            corrections=[DarkSubtract()],
            save=("sub", "light"),
        )


@pytest.mark.parametrize(
    ("dark", "says"),
    [
        (lambda: dark_run(shape=(5, 9)), r"shape \(5, 9\).*\(6, 9\)"),
        (lambda: dark_run(shape=(3, 6, 9)), "stack of 3 images"),
    ],
    ids=["shape", "stack"],
)
def test_a_dark_that_does_not_fit_is_an_error(tmp_path, dark, says):
    """S29: another shape, or a stack for single images; the error shows both."""
    dark = dark()
    light = light_run(dark_frame=uid_of(dark))

    with pytest.raises(CorrectionError, match=says):
        tiffin.export(
            light,
            NAME,
            directory=tmp_path,
            corrections=[DarkSubtract()],
            catalog={uid_of(dark): dark},
        )

    assert not list(tmp_path.glob("*.tif"))


def with_exposure(run, seconds):
    run[1][1]["configuration"] = {"pe1": {"data": {"pe1_exposure": seconds}}}
    run[1][1]["object_keys"] = {"pe1": ["img"]}
    return run


def test_another_exposure_is_an_error_unless_it_is_allowed(tmp_path):
    """S29: the error shows both values, and how to allow the difference."""
    dark = with_exposure(dark_run(), 0.5)
    light = with_exposure(light_run(dark_frame=uid_of(dark)), 0.1)
    catalog = {uid_of(dark): dark}

    with pytest.raises(
        CorrectionError, match=r"is 0\.1 for the light.*0\.5 for the dark"
    ):
        tiffin.export(
            light, NAME, directory=tmp_path, corrections=[DarkSubtract()],
            catalog=catalog,
        )  # fmt: skip
    allowed = [DarkSubtract(allow=("exposure",))]
    report = tiffin.export(
        light, NAME, directory=tmp_path, corrections=allowed, catalog=catalog
    )

    assert report.ok


@pytest.mark.parametrize("kind", ["npy", "tif", "h5", "constant"])
def test_a_dark_from_a_file_or_a_number(tmp_path, read, kind):
    """The difference is the same, wherever the dark comes from."""
    import h5py
    import tifffile

    image = np.full((6, 9), 110, "u2")
    np.save(tmp_path / "dark.npy", image)
    tifffile.imwrite(tmp_path / "dark.tif", image)
    with h5py.File(tmp_path / "dark.h5", "w") as file:
        file["entry/dark"] = image
    places = {"h5": f"{tmp_path}/dark.h5:/entry/dark"}
    where = {"file": places.get(kind, f"{tmp_path}/dark.{kind}")}
    step = DarkSubtract(**({"constant": 110} if kind == "constant" else where))

    report = tiffin.export(
        light_run(), NAME, directory=tmp_path / "out", corrections=[step]
    )

    assert (read(report.written[0].path) == -10).all()


def test_a_reference_that_nobody_knows_fails_its_frames_only(tmp_path):
    """A dark that can't be found is a failed record with the reason."""
    light = light_run(dark_frame="nobody-knows")

    report = tiffin.export(
        [light, dark_run()],
        NAME,
        directory=tmp_path,
        corrections=[DarkSubtract()],
        on_error="report",
    )

    assert len(report.failed) == 2
    assert "nobody-knows" in str(report.failed[0].error)
    assert len(report.written) == 1


def test_what_was_used_stands_in_the_manifest(tmp_path):
    """The manifest holds the corrections, and for each image the dark's run, event
    and checksum.
    """
    dark = dark_run()
    light = light_run(dark_frame=uid_of(dark))
    steps = [DarkSubtract(), Cast("uint16", overflow="clip")]

    tiffin.export(
        light, NAME, directory=tmp_path, corrections=steps, catalog={uid_of(dark): dark}
    )

    (path,) = (tmp_path / ".tiffin").iterdir()
    settings, first, _ = map(json.loads, path.read_text().splitlines())
    assert settings["settings"]["corrections"][0] == "DarkSubtract(key='dark_frame')"
    assert first["image"] == "sub"
    assert first["clipped"] == 54
    assert first["used"][0]["run"] == uid_of(dark)
    assert first["used"][0]["seq_num"] == 1
    assert first["used"][0]["checksum"].startswith("crc32:")


def test_documents_are_not_changed(tmp_path):
    """S30: light and dark images in the documents stay as they were."""
    dark = dark_run()
    light = light_run(dark_frame=uid_of(dark))

    tiffin.export([dark, light], NAME, directory=tmp_path, corrections=[DarkSubtract()])

    assert (light[2][1]["data"]["img"] == 100).all()
    assert (dark[2][1]["data"]["img"] == 110).all()


def test_a_flat_field_divides(tmp_path, read):
    """It is scaled to a mean of 1; its own dark may be subtracted first."""
    flat = np.full((6, 9), 300.0)
    flat[0] = 100
    np.save(tmp_path / "flat.npy", flat)

    report = tiffin.export(
        light_run(),
        NAME,
        directory=tmp_path / "out",
        corrections=[FlatField(file=tmp_path / "flat.npy")],
    )

    expected = (100 / (flat / flat.mean())).astype("f4")
    np.testing.assert_allclose(read(report.written[0].path), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "arguments",
    [
        {"key": "a", "stream": "b"},
        {"missing": "ignore"},
        {"constant": float("nan")},
        {"constant": float("inf")},
        {"constant": True},
        {"constant": "5"},
        {"constant": 10**400},
        {"pedestal": float("nan")},
        {"pedestal": "100"},
        {"allow": 5},
        {"allow": None},
    ],
)
def test_settings_that_can_not_work_are_refused(arguments):
    """A dark comes from exactly one source, and numbers must be numbers."""
    with pytest.raises(SettingsError):
        DarkSubtract(**arguments)
