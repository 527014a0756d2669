"""Servers that stall, never end, send too much or something else, or fail in parts."""

import re
import threading
import time
import tracemalloc
import warnings
import zlib
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit

import numpy as np
import pytest

import tiffin
from tests.shell import tiffin as shell
from tests.stores import LIBRARIES_WARN
from tiffin.corrections import DarkSubtract, Nearest
from tiffin.errors import ReadError, SettingsError, SourceError
from tiffin.sources import connect, open_source
from tiffin.testing import run_of

NAME = "{start.scan_id}_{event.seq_num}.tif"
IMAGES = np.arange(12 * 54, dtype="u2").reshape(12, 6, 9)
PIXELS = r"/array/"
STORED = {}

pytestmark = [pytest.mark.slow, *LIBRARIES_WARN]


class Proxy(BaseHTTPRequestHandler):
    """Passes everything on to a server, save what it misbehaves for."""

    def do_GET(self):
        self.server.asked.append(unquote(self.path))
        for pattern, misbehave in self.server.faults:
            if re.search(pattern, unquote(self.path)):
                with_body = misbehave(self)
                if with_body is None:
                    return
                status, headers, body = with_body
                break
        else:
            status, headers, body = self.passed_on()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def passed_on(self):
        connection = HTTPConnection(self.server.behind, timeout=30)
        connection.request("GET", self.path, headers=dict(self.headers))
        reply = connection.getresponse()
        body = reply.read()
        connection.close()
        leave = ("content-length", "transfer-encoding", "connection")
        headers = {k: v for k, v in reply.getheaders() if k.lower() not in leave}
        return reply.status, headers, body

    def begin(self, length=10**12):
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        if length:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def send(self, data):
        try:
            self.wfile.write(data)
            self.wfile.flush()
        except OSError:
            return False
        return not self.server.over.is_set()

    def log_message(self, *_):
        pass


def stalls(proxy):
    """Take the request, and say nothing."""
    proxy.server.over.wait(60)


def stalls_midway(proxy):
    """Begin, and say no more."""
    proxy.begin(1296)
    proxy.send(b"x")
    proxy.server.over.wait(60)


def trickles(proxy):
    """Send a byte now and then: no single wait is long."""
    proxy.begin(1296)
    while proxy.send(b"x"):
        time.sleep(0.1)


def trickles_headers(proxy):
    """Send a byte of a header now and then."""
    proxy.send(b"HTTP/1.1 200 OK\r\nX-Long: ")
    while proxy.send(b"x"):
        time.sleep(0.1)


def never_ends(proxy):
    """Send more, and more, without saying how much."""
    proxy.begin(0)
    while proxy.send(bytes(2**16)):
        pass


def sends_too_much(proxy):
    """Announce a terabyte."""
    proxy.begin()
    while proxy.send(bytes(2**16)):
        pass


def bomb(encoding):
    """Return a small reply that unpacks to much."""
    headers = {"Content-Encoding": encoding}

    def reply(_):
        packer = zlib.compressobj(wbits=31)  # gzip, in little memory
        parts = [packer.compress(bytes(2**16)) for _ in range(2**10)]
        return 200, headers, b"".join([*parts, packer.flush()])

    return reply


def web_page(_):
    """A login page, with a status that is no error."""
    return 200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>Log in</html>"


def short(proxy):
    """Leave a byte out."""
    status, headers, body = proxy.passed_on()
    return status, headers, body[:-1]


def refuses(_):
    """Fail inside."""
    return 500, {"Content-Type": "application/json"}, b'{"detail": "disk on fire"}'


@pytest.fixture
def proxy(tiled_server):
    """A proxy before the Tiled server: `proxy.faults` says what it does wrong."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = False
    server.behind = urlsplit(tiled_server.uri).netloc
    server.faults, server.asked, server.over = [], [], threading.Event()
    key = parse_qs(urlsplit(tiled_server.uri).query)["api_key"][0]
    server.address = f"http://127.0.0.1:{server.server_port}/?api_key={key}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()
    for thread in threading.enumerate():
        if thread.name == "tiffin-ask":  # left behind; its connection is closed now
            thread.join(10)


@pytest.fixture
def run(store, proxy):
    """A run as it is seen through the proxy."""
    uid = STORED.get(proxy.behind)
    if uid is None:  # once: that takes longer than most of these tests
        documents = run_of({"img": IMAGES}, scan_id=7)
        uid = STORED[proxy.behind] = documents[0][1]["uid"]
        store(documents, batch_size=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = connect(proxy.address)
    found = client[uid]
    proxy.asked.clear()
    yield found
    client.context.close()


def slices(proxy):
    return [path for path in proxy.asked if re.search(PIXELS, path)]


@pytest.mark.parametrize(
    "fault", [stalls, stalls_midway, trickles, trickles_headers, never_ends]
)
@pytest.mark.parametrize(
    "where",
    [
        PIXELS,
        pytest.param("/search/", marks=pytest.mark.slow),
        pytest.param("/table/", marks=pytest.mark.slow),
    ],
)
def test_a_reply_that_does_not_end_is_an_error_in_time(
    run, proxy, tmp_path, fault, where
):
    """For pixels and documents, within a total time, however slowly bytes arrive."""
    proxy.faults = [(where, fault)]
    begun = time.monotonic()

    report = tiffin.export(
        run, NAME, directory=tmp_path, on_error="report", timeout=1.0
    )

    proxy.faults = []
    assert time.monotonic() - begun < 8
    assert not report.written
    assert len(report.failed) == 12 if where == PIXELS else report.failed
    said = str(report.failed[0].error)
    assert re.search("not complete after 1 s|more than the .* bytes expected", said)


@pytest.mark.slow
@pytest.mark.parametrize("asked", ["nearest", "uid", "list"])
@pytest.mark.parametrize("fault", [stalls, trickles])
def test_a_dark_is_looked_up_within_the_time(run, proxy, tmp_path, fault, asked):
    """By query, by uid and in a list of runs; frames fail with the reason."""
    light = run_of({"img": IMAGES[:2]}, scan_id=8)
    uid = run.metadata["start"]["uid"]
    catalog = [run] if asked == "list" else connect(proxy.address)
    dark = Nearest(scan_id=7, later=True) if asked == "nearest" else uid
    proxy.faults = [(".", fault)]
    begun = time.monotonic()

    report = tiffin.export(
        light, NAME, directory=tmp_path, on_error="report", timeout=1.0,
        catalog=catalog, corrections=DarkSubtract(run=dark),
    )  # fmt: skip

    proxy.faults = []
    assert time.monotonic() - begun < 8
    assert len(report.failed) == 2
    assert "not complete after 1 s" in str(report.failed[0].error)


def test_a_clients_settings_are_left_as_they_are(run, proxy, tmp_path):
    """Other requests of the user's client have no limits of ours."""
    client = run.context.http_client
    before = (client.timeout, dict(client.event_hooks), dict(client.headers))

    tiffin.export(run, NAME, directory=tmp_path)

    assert (client.timeout, dict(client.event_hooks), dict(client.headers)) == before


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (sends_too_much, "more than the .* bytes expected"),
        (never_ends, "more than the .* bytes expected"),
        (bomb("gzip"), r"compresses its reply \(gzip\)"),
        (bomb("zstd"), r"compresses its reply \(zstd\)"),
        (bomb("blosc2"), r"compresses its reply \(blosc2\)"),
        (web_page, r"/array/full/.* answers with a web page \(HTML\)"),
        (short, r"sends 107 bytes, where uint16\[1, 6, 9\] takes 108"),
        (refuses, r"refuses: 500 .*\(disk on fire\)"),
    ],
)
def test_a_reply_that_is_not_what_was_asked_for_is_an_error(
    run, proxy, tmp_path, fault, says
):
    """The error says what it is; it is not read to its end, and takes little memory."""
    proxy.faults = [(PIXELS, fault)]

    tracemalloc.start()
    report = tiffin.export(run, NAME, directory=tmp_path, on_error="report")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    proxy.faults = []
    assert len(report.failed) == 12
    assert re.search(says, str(report.failed[0].error))
    assert peak < 2**24  # of which imports take some


def test_one_bad_frame_is_one_failure(run, proxy, tmp_path, read):
    """Other frames of its block are written, and it is not requested again."""
    bad = 5

    def misbehaves(handler):
        first, stop = re.search(r"slice=(\d+):(\d+)", unquote(handler.path)).groups()
        return (
            refuses(handler) if int(first) <= bad < int(stop) else handler.passed_on()
        )

    proxy.faults = [(PIXELS, misbehaves)]

    report = tiffin.export(run, NAME, directory=tmp_path, on_error="report")

    proxy.faults = []
    (failed,) = report.failed
    assert failed.seq_num == bad + 1
    assert len(report.written) == 11
    for record in report.written:
        np.testing.assert_array_equal(read(record.path), IMAGES[record.seq_num - 1])
    assert len(slices(proxy)) == 13
    assert len(set(slices(proxy))) == 13


def test_an_image_that_failed_is_not_asked_for_again(run, proxy):
    """Also where the same image is needed once more."""
    images = tiffin.get_images(run, "img")
    proxy.faults = [(PIXELS, refuses)]

    for _ in range(3):
        with pytest.raises(ReadError, match="disk on fire"):
            images[3]

    assert len(slices(proxy)) == 2  # of its block, and alone


def test_a_busy_server_is_asked_again(run, proxy, tmp_path):
    """A server that replies that it is busy gets some time."""
    busy = [503, 429]

    def is_busy(handler):
        return (busy.pop(), {}, b"") if busy else handler.passed_on()

    proxy.faults = [(PIXELS, is_busy)]

    assert tiffin.export(run, NAME, directory=tmp_path).ok


@pytest.mark.parametrize("timeout", [0, -1, "60", None, float("nan"), True, 1e300])
def test_a_timeout_is_a_number_of_seconds(timeout):
    """Anything else is refused at once, by every way of exporting."""
    documents = run_of({"img": IMAGES})

    with pytest.raises(SettingsError, match="timeout="):
        open_source(documents, timeout=timeout)
    with pytest.raises(SettingsError, match="timeout="):
        tiffin.export(documents, NAME, timeout=timeout)
    with pytest.raises(SettingsError, match="timeout="):
        tiffin.get_images(documents, "img", timeout=timeout)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (web_page, r"answers with a web page \(HTML\)"),
        (bomb("gzip"), "compresses its reply"),
        (never_ends, "not complete|more than"),
        (stalls, "not complete after 1 s"),
        (trickles_headers, "not complete after 1 s"),
        (lambda _: (200, {"Content-Type": "application/json"}, b"[]"), "no Tiled"),
        (lambda _: (200, {"Content-Type": "application/json"}, b"{}"), "no Tiled"),
        (lambda _: (200, {"Content-Type": "application/json"}, b"{"), "no Tiled"),
        (lambda _: (200, {"Content-Type": "text/plain"}, b"hello"), "no Tiled"),
        (lambda _: (404, {"Content-Type": "text/html"}, b"<html>"), "no Tiled"),
        (lambda _: (500, {}, b""), "no Tiled"),
    ],
    ids=range(11),
)
def test_an_address_of_something_else_is_told(proxy, fault, says, monkeypatch):
    """A web page, another kind of server, one that stalls; no key is printed."""
    monkeypatch.setattr("tiled.client.utils.TILED_RETRY_ATTEMPTS", 1)
    proxy.faults = [(".", fault)]

    with pytest.raises(SourceError, match=says) as caught:
        connect(proxy.address, timeout=1.0)
    assert "api_key" not in str(caught.value)


@pytest.mark.slow
def test_the_shell_takes_a_timeout(proxy, tmp_path):
    """As an option, and in a configuration file."""
    proxy.faults = [(".", stalls)]
    (tmp_path / "tiffin.toml").write_text("timeout = 1\n")

    for given in (["--timeout", "1"], ["--config", str(tmp_path / "tiffin.toml")]):
        done = shell("export", proxy.address, "-t", NAME, *given, cwd=tmp_path)
        assert done.returncode == 1
        said = " ".join(done.stderr.split())
        assert "was not complete after 1 s (--timeout allows more)" in said
    assert shell("names", proxy.address, "-t", NAME, "--timeout", "0").returncode == 2
