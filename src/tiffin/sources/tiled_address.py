"""Understand the address of a Tiled server, also one that a browser shows."""

from __future__ import annotations

import os
import re
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit, urlunsplit

from tiffin.errors import SourceError

PAGES = re.compile(r"/(?:ui|api)(?=/|$)")
"""Where a server's own path ends."""

NODE = re.compile(r"/(?:ui/browse|api/v\d+/[a-z]+(?:/full|/block)?)/(?P<path>.*)")
"""A page of the browser, or a request, about one entry of the catalogue."""

UID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


class TiledAddress(NamedTuple):
    """An address, in parts.

    Attributes
    ----------
    shown : str
        The address as given, without a key.
    api : str
        The root of the server's API.
    catalogue : str
        The address of the catalogue, for Tiled's client.
    run : str
        The uid of the run whose page this is; else "".
    has_key : bool
        Whether the address has the server's key.
    """

    shown: str
    api: str
    catalogue: str
    run: str
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
