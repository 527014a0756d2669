"""The address of a Tiled server, as a browser shows it too, and why none answers."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple, TypeGuard
from urllib.parse import parse_qs, urlsplit, urlunsplit

from tiffin.errors import SourceError
from tiffin.sources.tiled_server import ServerError

PAGES = re.compile(r"/(?:ui|api)(?=/|$)")
"""Where a server's own path ends."""

NODE = re.compile(r"/(?:ui/browse|api/v\d+/[a-z]+(?:/full|/block)?)/(?P<path>.*)")
"""A page of the browser, or a request, about one entry of the catalogue."""

UID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


LONGEST_CONNECT = 20.0
"""How long a server may take to accept a connection [s]."""

REFUSED = ("Errno 111", "Errno 61", "refused")
UNKNOWN_NAME = ("Errno -", "Errno 8]")


def is_address(source: object) -> TypeGuard[str]:
    """Whether a source is the address of a server."""
    return isinstance(source, str) and source.startswith(("http://", "https://"))


class TiledAddress(NamedTuple):
    """An address, in parts."""

    shown: str
    """As given, without a key."""
    api: str
    """The root of the server's API."""
    catalogue: str
    """The address of the catalogue, for Tiled's client."""
    run: str
    """The uid of the run whose page this is; else ""."""
    has_key: bool

    @classmethod
    def of(cls, address: str) -> TiledAddress:
        """Read an address.

        Examples
        --------
        >>> uid = "3b0f5b2e-1111-4222-8333-444455556666"
        >>> page = TiledAddress.of(f"http://host:8000/ui/browse/raw/{uid}/primary")
        >>> page.catalogue, page.run == uid
        ('http://host:8000/api/v1/metadata/raw', True)
        >>> TiledAddress.of("http://host:8000/ui/").catalogue
        'http://host:8000/api/v1/'
        """
        try:
            url = urlsplit(address)
            host, port = url.hostname, url.port
        except ValueError as error:
            message = f"{address!r} is not a valid address: {error}"
            raise SourceError(message) from error
        if not host or port == 0:
            message = f"{address!r} is not a valid address: it names no host"
            raise SourceError(message)
        base = PAGES.split(url.path, maxsplit=1)[0].rstrip("/")
        node = NODE.search(url.path)
        folders = [part for part in (node["path"] if node else "").split("/") if part]
        places = [n for n, part in enumerate(folders) if UID.fullmatch(part)]
        run = folders[places[0]] if places else ""
        inside = "/".join(folders[: places[0]] if places else folders)
        api = f"{base}/api/v1/"
        path = f"{api}metadata/{inside}" if inside else api
        return cls(
            shown=urlunsplit(url._replace(query="", fragment="")),
            api=urlunsplit((url.scheme, url.netloc, api, "", "")),
            catalogue=urlunsplit((url.scheme, url.netloc, path, url.query, "")),
            run=run,
            has_key="api_key" in parse_qs(url.query),
        )

    def why_refused(self, status: int, api_key: str | None) -> str:
        """Return why a server gave the status 401 or 403."""
        environment = os.environ.get("TILED_API_KEY")
        if self.has_key:
            place = "the key in the address"
        elif api_key is not None and api_key != environment:
            place = "the key that --api-key gives"
        elif environment:
            place = "the key in TILED_API_KEY"
        else:
            return "the server needs a key: give --api-key, or set TILED_API_KEY"
        return f"the server refuses {place} ({status}): ask for a valid one"


def refuse_other_scheme(known: TiledAddress, answer: Any) -> None:
    """Raise ServerError if a server tells that it speaks https only."""
    if answer.status_code == 400 and known.api.startswith("http://"):
        text = answer.text.upper()
        if "HTTPS" in text or "SSL" in text:
            raise ServerError(_other_scheme(known))


def why_silent(error: Exception, known: TiledAddress) -> str:
    """Return why there was no answer, and what to look at."""
    place, text = _place(known), str(error)
    if any(mark in text for mark in REFUSED):
        return (
            f"nothing listens at {place} ({text}). Is the server running, and is this "
            f"its address?"
        )
    if any(mark in text for mark in UNKNOWN_NAME):
        return f"the name of {place} is not known here ({text}). Is it spelt so?"
    if "CERTIFICATE_VERIFY_FAILED" in text:
        reason = text.partition("verify failed: ")[2].partition(" (_ssl")[0]
        return (
            f"the certificate of {place} is not trusted here ({reason or text}). Is it "
            f"the name that the certificate is for? SSL_CERT_FILE=FILE names the "
            f"certificates that your facility trusts"
        )
    kind = type(error).__name__
    if "SSL" in text or kind == "RemoteProtocolError":
        return _other_scheme(known)
    if kind == "ConnectTimeout":
        return (
            f"{place} does not take a connection within {LONGEST_CONNECT:g} s. Can "
            f"this machine reach it (network, firewall, VPN)?"
        )
    response = getattr(error, "response", None)
    if response is not None and response.status_code != 404:
        status = f"{response.status_code} {response.reason_phrase}"
        return f"{place} answers {status}. Its log, or that of a proxy, says why"
    inside = known.catalogue.partition("/metadata/")[2].partition("?")[0]
    if response is not None and inside:
        return f"{place} answers, but has nothing at {inside!r}. Is it spelt so?"
    if response is not None or isinstance(error, ValueError):  # no JSON, or another
        return (
            f"{place} answers, but not as a Tiled server does. Is it another program, "
            f"and has the Tiled server another port, or a path such as /tiled?"
        )
    return text or kind


def _other_scheme(known: TiledAddress) -> str:
    """Return that a server does not speak http, or https, and what to type."""
    url = urlsplit(known.shown)
    other = {"http": "https", "https": "http"}[url.scheme]
    meant = url._replace(scheme=other).geturl()
    return f"{_place(known)} does not speak {url.scheme}: did you mean {meant} ?"


def _place(known: TiledAddress) -> str:
    return urlsplit(known.api).netloc.rpartition("@")[2]
