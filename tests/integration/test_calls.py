"""Ordinary mistakes in Python, and what tiffin says to them."""

import re

import numpy as np
import pytest
from bluesky.plans import count

import tiffin
from tiffin import ImageExporter, LiveTiffExporter
from tiffin.errors import SettingsError
from tiffin.testing import run_of

NAME = "{start.scan_id}_{event.seq_num}.tif"
RUN = run_of({"img": np.ones((2, 3, 4), "u2")}, scan_id=7)


def test_the_folder_is_the_third_argument(tmp_path, names_in):
    """`export(run, template, folder)`, and an exporter likewise."""
    tiffin.export(RUN, NAME, tmp_path / "a")
    with ImageExporter(NAME, tmp_path / "b") as exporter:
        tiffin.process(RUN, exporter)

    assert names_in(tmp_path) == ["a/7_1.tif", "a/7_2.tif", "b/7_1.tif", "b/7_2.tif"]


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("feilds", "fields"),  # codespell:ignore feilds
        ("progess_", "progress"),
        ("vias", "via"),
    ],
)
def test_a_keyword_with_a_typo_is_answered_with_the_right_one(tmp_path, wrong, right):
    """Keywords of `export` itself too."""
    with pytest.raises(SettingsError, match=f"did you mean '{right}'"):
        tiffin.export(RUN, NAME, tmp_path, **{wrong: None})


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("folder", "'directory'"),
        ("output_dir", "'directory'"),
        ("overwrite", "existing='replace'"),
        ("filename", "'template'"),
    ],
)
def test_the_words_of_other_programs_are_known(tmp_path, wrong, right):
    """They are answered with ours, not with a list."""
    for call in (
        lambda **given: tiffin.export(RUN, NAME, tmp_path, **given),
        lambda **given: ImageExporter(NAME, tmp_path, **given),
    ):
        with pytest.raises(SettingsError, match=f"did you mean {right}"):
            call(**{wrong: "x"})


def test_a_directory_with_fields_is_refused(tmp_path, names_in):
    """It would be a folder called "{start.sample}"."""
    with pytest.raises(SettingsError) as caught:
        ImageExporter("{event.seq_num}.tif", tmp_path / "{start.sample}" / "a")
    said = "write it there, as in '{start.sample}/name.tif'"
    assert said in str(caught.value)
    with pytest.raises(SettingsError, match="only the template has fields"):
        ImageExporter(
            "img", "{start.scan_id}_{event.seq_num}.tif"
        )  # a LiveTiffExporter's
    tiffin.export(RUN, NAME, tmp_path / "{brackets}")

    assert names_in(tmp_path) == ["{brackets}/7_1.tif", "{brackets}/7_2.tif"]


@pytest.mark.parametrize("kind", [ImageExporter, LiveTiffExporter])
def test_a_subscribed_class_says_so(RE, img, kind):
    """`RE.subscribe(ImageExporter)` without arguments is answered in a sentence."""
    RE.subscribe(kind)

    with pytest.raises(SettingsError) as caught:
        RE(count([img], 1))

    said = str(caught.value)
    assert said.startswith(f"{kind.__name__} is a class, and got a document: subscribe")
    kind(*re.findall(r"'(.*?)'", said))  # the example that it shows


@pytest.mark.parametrize(
    ("dtype", "settings", "said"),
    [
        ("f8", {}, True),
        ("f8", {"dtype": "float32"}, False),
        ("f8", {"dtype": "float64"}, False),
        ("f8", {"profile": "ome"}, False),
        ("f8", {"format": "npy", "template": NAME.replace(".tif", ".npy")}, False),
        ("f4", {}, False),
        ("u2", {}, False),
    ],
)
def test_float64_files_are_spoken_of_once(tmp_path, caplog, dtype, settings, said):
    """ImageJ and Pillow can't open them: the warning says which setting helps."""
    run = run_of({"img": np.ones((3, 4, 5), dtype)}, scan_id=7)

    tiffin.export(run, **{"template": NAME, "directory": tmp_path, **settings})

    warnings = [m for m in caplog.messages if "float64" in m]
    assert len(warnings) == said
    assert all("ImageJ and Pillow" in m and "dtype='uint16'" in m for m in warnings)
