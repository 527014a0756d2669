"""Why no Tiled server answers at an address, and what to look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from tiffin.sources.tiled_server import ServerError

if TYPE_CHECKING:
    from tiffin.sources.tiled_address import TiledAddress

__all__ = ["LONGEST_CONNECT", "refuse_other_scheme", "why_silent"]

LONGEST_CONNECT = 20.0
"""How long a server may take to accept a connection [s]."""

REFUSED = ("Errno 111", "Errno 61", "refused")
UNKNOWN_NAME = ("Errno -", "Errno 8]")


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
