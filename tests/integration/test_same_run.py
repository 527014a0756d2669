"""One run, told in every way that documents have, gives the same files."""

from pathlib import Path

import pytest

import tiffin
from tests.stores import LIBRARIES_WARN
from tests.tellings import PLAIN, STACKS, TELLINGS, Made, in_events

NAME = "{start.scan_id}_{event.seq_num:02d}_{i}.tif"

pytestmark = LIBRARIES_WARN


def files_in(folder):
    return {path.name: path.read_bytes() for path in Path(folder).glob("*.tif")}


@pytest.mark.parametrize("telling", TELLINGS)
@pytest.mark.parametrize("images", [PLAIN, STACKS], ids=["one image", "stacks"])
def test_every_telling_gives_the_same_files(telling, images, tmp_path, request):
    """Byte for byte the files of plain events, with one image an event or three."""
    (tmp_path / "data").mkdir()
    tiffin.export(in_events(images), NAME, directory=tmp_path / "wanted")

    source = TELLINGS[telling](Made(images, tmp_path / "data", request))
    report = tiffin.export(source, NAME, directory=tmp_path / "out")

    assert report.ok
    assert len(report.written) == images.size // 120
    assert files_in(tmp_path / "out") == files_in(tmp_path / "wanted")
