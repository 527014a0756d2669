"""Arrays that a Tiled server sends."""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlparse

import numpy as np

from tiffin.sources.tiled_server import ServerError

if TYPE_CHECKING:
    from tiffin.sources.tiled_server import TiledServer

RETRY_DELAYS = (0.5, 2.0, 0.0)
"""Waits after a busy server's answers; the last answer counts [s]."""

MAX_FAILURES = 4
"""After this many failures in a row the server is not asked again."""

BUSY = (429, 502, 503, 504)
"""Statuses that may be better soon."""


class UncompressedSlices:
    """A Tiled array whose slices are sent uncompressed.

    By default the server compresses what it sends, at some 50 ms for 2 MB of counts: on
    a facility's network, and even more on one machine, that takes longest.
    """

    def __init__(self, node: Any, server: TiledServer) -> None:
        self._node = node
        self._server = server
        self.files_problem = ""
        """Why the files of the array can't be read here: perhaps not there either."""
        self._failures = 0  # before anything was received
        self.shape = node.shape
        self.dtype = np.dtype(node.dtype)
        self.chunks = node.chunks

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Fetch rows `start` to `stop`."""
        shape = (rows.stop - rows.start, *self.shape[1:])
        nbytes = math.prod(shape) * self.dtype.itemsize
        if self.files_problem and self._failures >= MAX_FAILURES:
            message = f"the Tiled server failed {self._failures} times{self._hint}"
            raise ServerError(message)
        try:
            response = self._fetch(rows, shape, nbytes)
        except ServerError as error:
            self._failures += 1
            if not self.files_problem:
                raise
            raise type(error)(f"{error}{self._hint}") from error
        self._failures = 0
        if len(response.content) != nbytes:
            message = (
                f"the Tiled server sends {len(response.content)} bytes, where "
                f"{self.dtype}{list(shape)} takes {nbytes}"
            )
            raise ServerError(message)
        return np.frombuffer(response.content, self.dtype).reshape(shape)

    def _fetch(self, rows: slice, shape: tuple[int, ...], nbytes: int) -> Any:
        from httpx import HTTPError

        try:
            for delay in RETRY_DELAYS:
                response = self._server.call(
                    lambda: self._request(rows, shape), max_bytes=nbytes
                )
                if response.status_code not in BUSY:
                    break
                time.sleep(delay)
        except HTTPError as error:
            why = str(error) or type(error).__name__
            raise ServerError(f"the Tiled server fails: {why}") from error
        if not response.is_success:
            raise ServerError(f"the Tiled server refuses: {_reason(response)}")
        return response

    @property
    def _hint(self) -> str:
        if not self.files_problem:
            return ""
        return f". It keeps the images in a file, and {self.files_problem}"

    def _request(self, rows: slice, shape: tuple[int, ...]) -> Any:
        address = self._node.item["links"]["full"]
        return self._server.client.get(
            address,
            headers={"Accept": "application/octet-stream"},
            params={
                **parse_qs(urlparse(address).query),
                "slice": f"{rows.start}:{rows.stop}",
                "expected_shape": ",".join(map(str, shape)),
            },
        )


def _reason(response: Any) -> str:
    """Return a refusal's status, and what the server says of it."""
    reason = f"{response.status_code} {response.reason_phrase}"
    with suppress(ValueError, AttributeError):
        detail = str(response.json().get("detail") or "")
        reason += f" ({detail:.300})" if detail else ""
    return reason
