"""Addresses at which something answers, but not as a Tiled server does."""

import ssl
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.shell import tiffin
from tests.stores import LIBRARIES_WARN
from tiffin.sources.tiled_server import MIN_LIMIT, ServerError, TiledServer

pytestmark = LIBRARIES_WARN


class Answer(BaseHTTPRequestHandler):
    """Answers every request alike."""

    def do_GET(self):
        status, kind, body = self.server.answer
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    answer = (200, "application/json", b"{}")

    def handle_error(self, *_):
        pass  # a client that refuses a certificate, or speaks another protocol


@contextmanager
def running(context=None, **changes):
    """Run a server; give its port."""
    with Server(("127.0.0.1", 0), Answer) as server:
        vars(server).update(changes)
        if context is not None:
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(2))
        .not_valid_after(now + timedelta(2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path = tmp_path_factory.mktemp("certificate") / "both.pem"
    secret = key.private_bytes(pem, form, serialization.NoEncryption())
    path.write_bytes(secret + made.public_bytes(pem))
    return path


@pytest.fixture
def secure(certificate):
    """The port of a server that speaks https only."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with running(context) as port:
        yield port


@pytest.mark.parametrize("command", ["runs", "export", "doctor"])
def test_https_is_typed_for_a_server_that_speaks_http(command):
    """What happened, and the address to type."""
    with running() as port:
        told = tiffin(command, f"https://localhost:{port}/ui")

    said = told.stdout + told.stderr
    assert told.returncode == 1
    assert f"localhost:{port} does not speak https" in said
    assert f"did you mean http://localhost:{port}/ui ?" in said
    assert "_ssl.c" not in said


def test_http_is_typed_for_a_server_that_speaks_https(secure):
    """A server ends the connection without a word."""
    told = tiffin("runs", f"http://localhost:{secure}")

    assert told.returncode == 1
    assert f"localhost:{secure} does not speak http:" in told.stderr
    assert f"did you mean https://localhost:{secure} ?" in told.stderr


@pytest.mark.parametrize(
    "text",
    [
        "400 The plain HTTP request was sent to HTTPS port",  # nginx
        "Client sent an HTTP request to an HTTPS server.",  # Go: Traefik, Caddy
        "You're speaking plain HTTP to an SSL-enabled server port.",  # Apache
    ],
)
def test_a_proxy_says_that_it_speaks_https(text):
    """With status 400."""
    with running(answer=(400, "text/html", text.encode())) as port:
        told = tiffin("runs", f"http://localhost:{port}")

    assert f"did you mean https://localhost:{port} ?" in told.stderr


def test_a_certificate_that_is_not_trusted(secure, certificate):
    """The reason, and how a facility's own certificates are named."""
    unknown = tiffin("runs", f"https://localhost:{secure}")
    trusted = tiffin(
        "runs", f"https://localhost:{secure}", env={"SSL_CERT_FILE": str(certificate)}
    )

    assert unknown.returncode == 1
    assert f"certificate of localhost:{secure} is not trusted" in unknown.stderr
    assert "(self-signed certificate)" in unknown.stderr
    assert "SSL_CERT_FILE=FILE" in unknown.stderr
    assert "certificate" not in trusted.stderr


@pytest.mark.parametrize(
    "answer",
    [
        (200, "application/json", b"{}"),
        (200, "application/json", b"[1]"),
        (200, "text/plain", b"hello"),
        (404, "text/plain", b"nothing here"),
        (404, "application/json", b'{"detail": "Not Found"}'),
        pytest.param((500, "text/html", b"<h1>oops</h1>"), marks=pytest.mark.slow),
        pytest.param((502, "text/html", b"<h1>Oh</h1>"), marks=pytest.mark.slow),
    ],
)
def test_another_program_listens_there(answer):
    """One line, which names the place, and no validation errors of a library."""
    with running(answer=answer) as port:
        told = tiffin("runs", f"http://localhost:{port}")

    assert told.returncode == 1
    assert f"localhost:{port} answers" in told.stderr, told.stderr
    assert "pydantic" not in told.stderr
    assert told.stderr.count("\n") <= 2


@pytest.mark.parametrize("by_dask", [False, True])
def test_a_reply_that_is_too_large_is_refused(by_dask):
    """Also that of a table, which a Tiled client reads in threads of Dask."""
    dask, httpx = pytest.importorskip("dask"), pytest.importorskip("httpx")
    if by_dask and not hasattr(dask.threaded, "ContextAwareThreadPoolExecutor"):
        pytest.skip(
            "before 2026, Dask's threads did not have the context of the caller"
        )
    large = (200, "application/octet-stream", b"x" * (MIN_LIMIT + 1))
    with running(answer=large) as port, httpx.Client() as client:

        def ask():
            get = dask.delayed(client.get) if by_dask else client.get
            reply = get(f"http://127.0.0.1:{port}/")
            return reply.compute() if by_dask else reply

        with pytest.raises(ServerError, match="more than the 65536 bytes"):
            TiledServer(client).call(ask, max_bytes=1)
        assert len(ask().content) == MIN_LIMIT + 1
