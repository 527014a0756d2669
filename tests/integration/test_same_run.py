"""One run gives the same files, whatever form its documents have."""

from pathlib import Path

import pytest

import tiffin
from tests.run_forms import FORMS, PLAIN, STACKS, RunMaker, in_events
from tests.stores import LIBRARIES_WARN

NAME = "{start.scan_id}_{event.seq_num:02d}_{i}.tif"

pytestmark = LIBRARIES_WARN


def files_in(folder):
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.tif")}


def cases():
    """Give each form with either kind of images; a Tiled server takes its time."""
    for name, images in (("one image", PLAIN), ("stacks", STACKS)):
        for form in FORMS:
            is_slow = images is PLAIN and form.startswith("Tiled")
            marks = pytest.mark.slow if is_slow else ()
            yield pytest.param(form, images, id=f"{name}-{form}", marks=marks)


@pytest.mark.parametrize(("form", "images"), [*cases()])
def test_every_form_gives_the_same_files(form, images, tmp_path, request):
    """Byte for byte the files of plain events, with one image an event or three."""
    (tmp_path / "data").mkdir()
    tiffin.export(in_events(images), NAME, directory=tmp_path / "wanted", metadata=None)

    source = FORMS[form](RunMaker(images, tmp_path / "data", request))
    report = tiffin.export(source, NAME, directory=tmp_path / "out", metadata=None)

    assert report.ok
    assert len(report.written) == images.size // 120
    assert files_in(tmp_path / "out") == files_in(tmp_path / "wanted")
