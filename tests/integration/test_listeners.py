"""Listeners of the service: messages that may be lost, and what is made of them."""

import socket
import subprocess
import sys

import numpy as np
import pytest
from bluesky.plans import count

from bench.soak_parts import free_port
from tests.integration.test_service import service, until, write_config, write_run
from tiffin.errors import SettingsError
from tiffin.service import Journal, read_service
from tiffin.service.spool import Spool
from tiffin.sources import pack, unpack
from tiffin.testing import run_of

__all__ = ["service"]

LISTEN = """
[[service.listen]]
type = "{type}"
{options}
"""


def config_with(folder, kind, options="", source=None):
    """Write a configuration file with one listener, and a slow look."""
    path = write_config(folder, exports=LISTEN.format(type=kind, options=options))
    text = path.read_text().replace("interval = 0.05", "interval = 60")
    if source is not None:
        text = text.replace('source = "documents"', f'source = "{source}"')
    path.write_text(text)
    return path


class TestFolder:
    def test_a_new_file_is_exported_at_once(self, tmp_path, service):
        """The next look would be in a minute."""
        (tmp_path / "documents").mkdir()
        started = service(config_with(tmp_path, "folder"))
        until(lambda: started.status.looked)
        before, note = started.status.looked, tmp_path / "documents/note.txt"
        until(lambda: note.write_text("x") and started.status.looked > before)
        write_run(tmp_path / "documents", 1)
        until(lambda: started.journal.counts() == {"done": 1}, limit=50)


@pytest.fixture
def proxy():
    """Bluesky's proxy, as a process: the addresses of its two sides."""
    inside, outside = free_port(), free_port()
    command = [
        *(sys.executable, "-m", "bluesky.commandline.zmq_proxy"),
        *("--in-address", f"127.0.0.1:{inside}"),
        *("--out-address", f"127.0.0.1:{outside}"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as work:
        try:
            until(lambda: _answers(inside))
            yield f"127.0.0.1:{inside}", f"127.0.0.1:{outside}"
        finally:
            work.terminate()


def _answers(port):
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def publisher(proxy):
    """Bluesky's publisher, which sends an empty document as garbage."""
    import msgpack
    import msgpack_numpy
    from bluesky.callbacks.zmq import Publisher

    def encoded(doc):
        packed = msgpack.packb(doc, default=msgpack_numpy.encode)
        return packed if doc else b"garbage"

    started = Publisher(proxy[0], prefix=b"bl1", serializer=encoded)
    yield started
    started.close()


def await_connection(publisher, log):
    """Send garbage until it is in the log of a service.

    What is sent before all sides of the proxy know of each other is lost.
    """
    until(lambda: publisher("start", {}) or "a message can't be read" in log())


class TestZmq:
    def test_runs_of_a_run_engine_are_spooled_and_exported(
        self, tmp_path, service, proxy, publisher, RE, img, images, caplog
    ):
        """Without a catalogue, the documents go to files, with their arrays."""
        options = f'address = "{proxy[1]}"\nprefix = "bl1"'
        started = service(config_with(tmp_path, "zmq", options))
        await_connection(publisher, lambda: caplog.text)
        RE.subscribe(publisher)
        RE(count([img], 3), scan_id=5)
        until(lambda: started.journal.counts() == {"done": 1}, limit=50)
        written = sorted((tmp_path / "out/5").glob("*.tif"))
        assert len(written) == 3

        import tifffile

        for path, image in zip(written, images.taken(3), strict=True):
            assert np.array_equal(tifffile.imread(path), image)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ('encoding = "pickle"\nallow_pickle = "yes"', "true or false, not 'yes'"),
            ('encoding = "pickle"', "allow_pickle = true"),
            ('encoding = "json"', "msgpack or pickle"),
            ('prefixx = "a"', "prefix"),
        ],
    )
    def test_wrong_options_are_refused(self, tmp_path, options, message):
        """A pickle is never read without a word of the user."""
        options += '\naddress = "127.0.0.1:5568"'
        with pytest.raises(SettingsError, match=message):
            read_service(config_with(tmp_path, "zmq", options))


class TestSpool:
    @pytest.fixture
    def journal(self, tmp_path):
        """Return an empty journal."""
        journal = Journal(tmp_path / "journal.sqlite")
        yield journal
        journal.close()

    def test_a_lost_event_is_never_silent(self, tmp_path, journal):
        """The run is noted as incomplete, with the numbers of its lost events."""
        run = run_of({"img": np.ones((5, 4, 6), "u2")}, scan_id=1)
        spool = Spool(tmp_path, journal)
        for n, (name, doc) in enumerate(run):
            if n not in (3, 5):
                spool.add(name, doc)
        (found,) = journal.newest()
        assert found.state == "failed"
        assert "stream 'primary' lacks 2 events: 2, 4" in found.why

    def test_a_lost_descriptor_is_noticed(self, tmp_path, journal):
        """By the counts of the stop document."""
        run = run_of({"img": np.ones((2, 4, 6), "u2")}, scan_id=1)
        spool = Spool(tmp_path, journal)
        for name, doc in run:
            if name != "descriptor":
                spool.add(name, doc)
        (found,) = journal.newest()
        assert "stream 'primary' lacks all events (2)" in found.why

    def test_messages_that_come_twice_are_taken_once(self, tmp_path, journal):
        """A run that is known is not written again."""
        run = run_of({"img": np.ones((2, 4, 6), "u2")}, scan_id=1)
        spool = Spool(tmp_path, journal)
        for _ in range(2):
            for name, doc in run:
                spool.add(name, doc)
        assert len(list(tmp_path.glob("*.msgpack"))) == 1

    def test_a_run_that_was_interrupted_is_replaced_when_it_comes_again(
        self, tmp_path, journal
    ):
        """Kafka sends it again; 0MQ does not, and it stays incomplete."""
        run = run_of({"img": np.ones((2, 4, 6), "u2")}, scan_id=1)
        spool = Spool(tmp_path, journal)
        for name, doc in run[:3]:
            spool.add(name, doc)
        spool.close()
        again = Spool(tmp_path, journal)
        (found,) = journal.newest()
        assert found.state == "failed"
        assert "incomplete" in found.why
        for name, doc in run:
            again.add(name, doc)
        assert journal.newest()[0].state == "waiting"

    def test_arrays_come_back_as_they_were(self):
        """As msgpack-numpy writes them."""
        doc = {"a": np.arange(6, dtype="<f4").reshape(2, 3), "n": np.int16(-5)}
        found = unpack(pack(doc))
        assert found["a"].dtype == "<f4"
        assert np.array_equal(found["a"], doc["a"])
        assert found["n"] == -5


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("folder", 'address = "x"', "no setting 'address'"),
        ("kafka", 'address = "h:1"\ntopics = []', "topics must be a list of text"),
        ("kafka", 'address = "h:1"\ntopics = "a"', "a list of text in quotes, not 'a'"),
        ("tiled", "address = 3", "address must be text in quotes, not 3"),
    ],
)
def test_wrong_options_of_a_listener_are_refused(tmp_path, kind, options, message):
    """The message says what is allowed."""
    with pytest.raises(SettingsError, match=message):
        read_service(config_with(tmp_path, kind, options))


def test_an_unknown_listener_is_refused(tmp_path):
    """With those that there are."""
    with pytest.raises(SettingsError, match=r"zmq.*did you mean 'kafka'"):
        read_service(config_with(tmp_path, "kafca"))
