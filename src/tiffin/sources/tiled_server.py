"""Limit what a Tiled server may send: each reply in time and in size.

The client's own timeouts restart with every byte, and it decompresses whatever it gets.
"""

from __future__ import annotations

import atexit
import sys
import threading
import time
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from tiffin.errors import ReadError, SettingsError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import httpx

T = TypeVar("T")

TIMEOUT = 120.0
"""Default time limit for a complete reply [s]."""

MAX_REPLY = 2**28
"""Size limit for a reply that is not an image [bytes]."""

MIN_LIMIT = 2**16
"""Any reply may be this large: an error message must fit [bytes]."""

CHANGING_HOOKS = threading.Lock()

IN_FORCE: ContextVar[_Limits | None] = ContextVar("IN_FORCE", default=None)
"""The limits of the requests here. Threads of Dask have those of their caller."""


class ServerError(ReadError, SourceError):
    """A reply that can't be used."""


class SlowServerError(ServerError):
    """A reply that did not arrive in time."""


class UnreachableServerError(SourceError):
    """A server that does not answer at all: the next run would fail, too."""


def check_timeout(seconds: Any) -> float:
    """Return a timeout as a float, or raise SettingsError."""
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not number or not 0 < seconds <= threading.TIMEOUT_MAX:
        message = f"timeout={seconds!r} must be a number of seconds above 0"
        raise SettingsError(message)
    return float(seconds)


class TiledServer:
    """Calls a user's Tiled client within limits; the client itself stays unchanged."""

    def __init__(self, client: httpx.Client, seconds: float = TIMEOUT) -> None:
        self.client = client
        self.seconds = seconds

    def call(
        self,
        function: Callable[[], T],
        *,
        max_bytes: int = MAX_REPLY,
        params: Mapping[str, Any] | None = None,
    ) -> T:
        """Return what a function returns; limit its time and the size of each reply.

        The function runs in a thread of its own, which is abandoned if it is late. A
        reply that is too large, compressed or a web page is a ServerError. `params` are
        added to what is asked for, where the client itself can't.
        """
        import httpx

        limits = _Limits(self.seconds, max_bytes, params or {})
        result: Future[T] = Future()

        def run() -> None:
            with limits.applied_to(self.client):
                try:
                    result.set_result(function())
                except BaseException as error:  # noqa: BLE001 (raised in the caller)
                    result.set_exception(error)
            _end_dask_pools()

        threading.Thread(target=run, name="tiffin-ask", daemon=True).start()
        try:
            return result.result(self.seconds)
        except TimeoutError:
            if result.done():
                raise
            raise limits.too_slow() from None
        except httpx.TimeoutException as error:
            message = f"the Tiled server's reply did not come in time: {error}"
            raise SlowServerError(message) from error


def _end_dask_pools() -> None:
    """End the threads with which the client has read a table in this thread.

    Dask would keep a pool for each call until the interpreter exits.
    """
    threaded: Any = sys.modules.get("dask.threaded")
    if threaded is None:
        return
    with threaded.pools_lock:
        pools = threaded.pools.pop(threading.current_thread(), {})
    for pool in pools.values():
        atexit.unregister(pool.shutdown)
        pool.shutdown(wait=False)


class _Limits:
    """Limits of the requests of one call, also those in threads of Dask."""

    def __init__(
        self, seconds: float, max_bytes: int, params: Mapping[str, Any]
    ) -> None:
        self.seconds = seconds
        self.params = params
        self.deadline = time.monotonic() + seconds
        self.max_bytes = max(max_bytes, MIN_LIMIT)

    @contextmanager
    def applied_to(self, client: httpx.Client) -> Iterator[None]:
        """Apply the limits to this thread's requests through a client."""
        IN_FORCE.set(self)
        ours: dict[str, Any] = {
            "request": self._ask,
            "response": self._check,
        }
        with CHANGING_HOOKS:  # lists are replaced: other threads iterate over them
            hooks = client.event_hooks
            client.event_hooks = {name: [*hooks[name], ours[name]] for name in ours}
        try:
            yield
        finally:
            with CHANGING_HOOKS:
                hooks = client.event_hooks
                client.event_hooks = {
                    name: [hook for hook in hooks[name] if hook != ours[name]]
                    for name in ours
                }

    def _ask(self, request: httpx.Request) -> None:
        if IN_FORCE.get() is self:
            request.headers["Accept-Encoding"] = "identity"
            request.url = request.url.copy_merge_params(self.params)

    def _check(self, response: httpx.Response) -> None:
        """Check a reply's headers, and limit its body, before that is read."""
        if IN_FORCE.get() is not self:
            return
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding.lower() != "identity":
            message = (
                f"the Tiled server compresses its reply ({encoding}), though it was "
                f"asked not to: is there a proxy that does? Configure it to pass "
                f"replies on unchanged"
            )
            raise ServerError(message)
        kind = response.headers.get("Content-Type", "").lower()
        if kind.startswith("text/html") and response.is_success:
            message = (
                f"{response.request.url.copy_with(query=None)} answers with a web page "
                f"(HTML), not as a Tiled server does: is it a login page, or a proxy? "
                f"Give the server's own address, and its key"
            )
            raise ServerError(message)
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and (len(length) > 19 or int(length) > self.max_bytes):
            raise self._too_large()
        response.stream = self._limited(response.stream)

    def _limited(self, stream: Any) -> httpx.SyncByteStream:
        import httpx

        limits = self

        class Limited(httpx.SyncByteStream):
            def __iter__(self) -> Iterator[bytes]:
                count = 0
                for chunk in stream:
                    count += len(chunk)
                    if count > limits.max_bytes:
                        raise limits._too_large()
                    if time.monotonic() > limits.deadline:
                        raise limits.too_slow()
                    yield chunk

            def close(self) -> None:
                stream.close()

        return Limited()

    def _too_large(self) -> ServerError:
        return ServerError(
            f"the Tiled server sends more than the {self.max_bytes} bytes expected"
        )

    def too_slow(self) -> SlowServerError:
        return SlowServerError(
            f"the Tiled server's reply was not complete after {self.seconds:g} s "
            f"(timeout= allows more)"
        )
