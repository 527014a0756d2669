"""A Tiled catalogue as the service's source: every run is found, sooner or later."""

import time
import uuid

import numpy as np
import pytest

from tests.stores import store_in_tiled, tiled_writer
from tiffin.errors import SourceError
from tiffin.service import Journal
from tiffin.service import catalogue as catalogue_module
from tiffin.service.catalogue import Catalogue
from tiffin.sources import runs_in_order
from tiffin.sources import tiled_pages as pages_module
from tiffin.testing import run_of

pytestmark = pytest.mark.slow


@pytest.fixture
def journal(tmp_path):
    """An empty journal."""
    journal = Journal(tmp_path / "journal.sqlite")
    yield journal
    journal.close()


@pytest.fixture
def box(tiled):
    """A container of a server, without runs."""
    return tiled.create_container(uuid.uuid4().hex)


@pytest.fixture
def catalogue(box, tiled_server, monkeypatch):
    """The same container, as a service has it."""
    key = tiled_server.uri.partition("api_key=")[2]
    monkeypatch.setenv("TILED_API_KEY", key)
    found = Catalogue(box.uri)
    yield found
    found.close()


def a_run(time=None, **start):
    """Return the documents of a run without images."""
    run = run_of({"img": np.ones((1, 4, 6), "u2")}, **start)
    if time is not None:
        run[0][1]["time"] = time
    return [item for item in run if item[0] in ("start", "stop")]


class TestCatalogue:
    def test_a_run_may_appear_long_after_it_began(self, catalogue, journal, box):
        """Such as one that another program has brought from elsewhere."""
        store_in_tiled(box, a_run(scan_id=1))
        assert catalogue.look(journal) == 1
        store_in_tiled(box, a_run(scan_id=2, time=1e9))
        assert catalogue.look(journal) == 1
        assert catalogue.look(journal) == 0

    def test_a_wrong_clock_hides_no_run(self, catalogue, journal, box):
        """A run of the year 2100 does not hide those of today."""
        store_in_tiled(box, a_run(scan_id=1, time=4.1e9))
        assert catalogue.look(journal) == 1
        store_in_tiled(box, a_run(scan_id=2))
        assert catalogue.look(journal) == 1

    def test_runs_are_interleaved_and_end_late(
        self, catalogue, journal, box, monkeypatch
    ):
        """The stop document of an old run is found, too."""
        monkeypatch.setattr(catalogue_module, "OVERLAP", 0.0)
        write = tiled_writer(box)
        first, second = a_run(scan_id=1, time=1e9), a_run(scan_id=2, time=2e9)
        write(*first[0])
        other = tiled_writer(box)
        for item in second:
            other(*item)
        catalogue.look(journal)
        assert journal.counts() == {"open": 1, "waiting": 1}
        write(*first[1])
        catalogue.look(journal)
        assert journal.counts() == {"waiting": 2}

    def test_a_run_that_is_gone_stops_nothing(self, catalogue, journal, box):
        """It was open, and was deleted."""
        write = tiled_writer(box)
        documents = a_run(scan_id=1)
        write(*documents[0])
        catalogue.look(journal)
        box.delete_contents(documents[0][1]["uid"], external_only=False)
        store_in_tiled(box, a_run(scan_id=2))
        catalogue.look(journal)
        assert journal.counts() == {"open": 1, "waiting": 1}

    def test_other_entries_are_no_runs(self, catalogue, journal, box):
        """Such as a container of exported images."""
        box.create_container("exports")
        store_in_tiled(box, a_run(scan_id=1))
        assert catalogue.look(journal) == 1
        assert catalogue.look(journal) == 0

    def test_many_runs_are_listed_by_pages(self, catalogue, journal, box, monkeypatch):
        """Each page has its own time limit, and none is missed between two."""
        monkeypatch.setattr(pages_module, "PAGE", 3)
        for n in range(7):
            store_in_tiled(box, a_run(scan_id=n, time=1e9 + n))
        pages = [len(page) for page in runs_in_order(box)]
        assert pages == [3, 3, 1]
        assert catalogue.look(journal) == 7

    def test_a_server_that_is_down_is_a_source_error(self, journal):
        """At once, and it names the address."""
        began = time.monotonic()
        with pytest.raises(SourceError, match=r"127\.0\.0\.1:9"):
            Catalogue("http://127.0.0.1:9").look(journal)
        assert time.monotonic() - began < 10
