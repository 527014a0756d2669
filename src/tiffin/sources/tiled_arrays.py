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
    from collections.abc import Callable

    from tiffin.sources.tiled_server import TiledServer

RETRY_DELAYS = (0.5, 2.0, 0.0)
"""Waits after a busy server's answers; the last answer counts [s]."""

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
        self.on_first_block: Callable[[np.ndarray], None] | None = None
        self.shape = node.shape
        self.dtype = np.dtype(node.dtype)
        self.chunks = node.chunks

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Fetch rows `start` to `stop`."""
        shape = (rows.stop - rows.start, *self.shape[1:])
        nbytes = math.prod(shape) * self.dtype.itemsize
        for delay in RETRY_DELAYS:
            response = self._server.call(
                lambda: self._request(rows, shape), max_bytes=nbytes
            )
            if response.status_code not in BUSY:
                break
            time.sleep(delay)
        if not response.is_success:
            raise ServerError(f"the Tiled server refuses: {_reason(response)}")
        if len(response.content) != nbytes:
            message = (
                f"the Tiled server sends {len(response.content)} bytes, where "
                f"{self.dtype}{list(shape)} takes {nbytes}"
            )
            raise ServerError(message)
        block = np.frombuffer(response.content, self.dtype).reshape(shape)
        check, self.on_first_block = self.on_first_block, None
        if check is not None:
            check(block)
        return block

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
