"""A run whose files come after its stop document is exported when they are there."""

import numpy as np
import pytest
import tifffile
from bluesky.callbacks.json_writer import JSONLinesWriter
from bluesky.plans import count

from tests.integration.test_live import GrowingFile
from tests.integration.test_service import service, until, write_config
from tests.shell import tiffin as shell
from tiffin.service import service as service_module

__all__ = ["service"]

IMAGES = np.arange(3 * 6 * 9, dtype="u2").reshape(3, 6, 9)


class LateFile(GrowingFile):
    """A detector whose HDF5 file is brought to where its documents say."""

    def __init__(self, folder):
        self.there = folder / "there"
        super().__init__(folder, "AD_HDF5_SWMR", IMAGES)
        self.there.mkdir()

    def stage(self):
        staged = super().stage()
        self._documents[0][1]["root"] = str(self.there)
        return staged

    def arrive(self):
        """Bring the file, as a transfer does at its end."""
        self._path.rename(self.there / self._path.name)


@pytest.fixture
def late(RE, tmp_path):
    """A run of a RunEngine without its HDF5 file; return the detector."""
    folder = tmp_path / "documents"
    folder.mkdir()
    detector = LateFile(tmp_path)
    RE(count([detector], 3), JSONLinesWriter(folder), scan_id=4)
    return detector


def check_files(tmp_path):
    """Compare the exported files with what the detector has taken."""
    for n, image in enumerate(IMAGES, 1):
        found = tifffile.imread(tmp_path / f"out/4/{n:03d}.tif")
        np.testing.assert_array_equal(found, image)


def test_a_file_that_comes_after_the_stop_is_waited_for(tmp_path, service, late):
    """The run waits, says why, and is exported when its file has come."""
    started = service(write_config(tmp_path))
    until(lambda: started.journal.newest() and started.journal.newest()[0].why)
    (run,) = started.journal.newest()
    assert run.state == "waiting"
    assert "a.h5" in run.why
    late.arrive()
    until(lambda: started.journal.counts() == {"done": 1})
    check_files(tmp_path)
    (run,) = started.journal.newest()
    assert (run.written, run.skipped, run.failed, run.tries) == (3, 0, 0, 2)


def test_a_run_that_was_given_up_is_tried_again_from_the_shell(
    tmp_path, service, late, monkeypatch
):
    """``tiffin serve --retry`` changes the journal; the running service sees it."""
    monkeypatch.setattr(service_module, "PAUSES", (0.05,))
    config = write_config(tmp_path)
    started = service(config)
    until(lambda: started.journal.counts() == {"failed": 1})
    assert started.journal.newest()[0].tries == service_module.TRIES
    late.arrive()

    tried = shell("serve", config, "--retry")

    assert tried.returncode == 0
    assert "trying 1 run again" in tried.stderr + tried.stdout
    until(lambda: started.journal.counts() == {"done": 1})
    check_files(tmp_path)
    listed = shell("serve", config, "--json").stdout
    assert '"state":"done"' in listed.replace(" ", "")
