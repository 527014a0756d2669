"""What is asked of a server comes to an end: in time, and of a size that was expected.

A client's own time-outs begin anew with every byte, and it unpacks whatever it is sent.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from tiffin.errors import ReadError, SettingsError, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

__all__ = ["TIMEOUT", "TiledServer", "ServerError", "SlowServerError", "check_timeout"]

T = TypeVar("T")

TIMEOUT = 120.0
"""How long a reply may take, whole [s]."""

LARGEST = 2**28
"""What a reply may take that is no image [bytes]."""

LEAST = 2**16
"""What any reply may take: an error tells its reason [bytes]."""


class ServerError(ReadError, SourceError):
    """A reply that can't be used."""


class SlowServerError(ServerError):
    """A reply that did not come in time."""


def check_timeout(seconds: Any) -> float:
    """Refuse what is no time to wait.

    Raises
    ------
    SettingsError
    """
    number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
    if not number or not 0 < seconds <= threading.TIMEOUT_MAX:
        message = f"timeout={seconds!r} is no number of seconds above 0"
        raise SettingsError(message)
    return float(seconds)


class _Bounds:
    """What holds for the requests of one thread."""

    def __init__(self, seconds: float, most: int) -> None:
        self.seconds = seconds
        self.until = time.monotonic() + seconds
        self.most = max(most, LEAST)

    def late(self) -> SlowServerError:
        return SlowServerError(
            f"the Tiled server's reply was not complete after {self.seconds:g} s "
            f"(timeout= allows more)"
        )


_OF_THREAD = threading.local()
_HOOKING = threading.Lock()


class TiledServer:
    """A server that is asked through a user's client, which is left as it is.

    Parameters
    ----------
    client : httpx.Client
    seconds : float
        How long each reply may take, whole.
    """

    def __init__(self, client: httpx.Client, seconds: float = TIMEOUT) -> None:
        self.client = client
        self.seconds = seconds

    def ask(self, call: Callable[[], T], *, most: int = LARGEST) -> T:
        """Call something that makes requests, and give what it gives.

        Parameters
        ----------
        call : callable
            It is left behind, in a thread of its own, when it takes too long.
        most : int
            What each reply may take [bytes].

        Raises
        ------
        SlowServerError
            If it is not done in time.
        ServerError
            If a reply is larger, compressed although it should not be, or a web page.
        """
        done: Future[T] = Future()
        bounds = _Bounds(self.seconds, most)

        def run() -> None:
            _OF_THREAD.bounds = bounds
            self._hook()
            try:
                done.set_result(call())
            except BaseException as error:  # noqa: BLE001 (raised by who has asked)
                done.set_exception(error)
            finally:
                self._unhook()

        threading.Thread(target=run, name="tiffin-ask", daemon=True).start()
        try:
            return done.result(self.seconds)
        except TimeoutError:
            if done.done():
                raise
            raise bounds.late() from None
        except Exception as error:
            if not any(
                cls.__name__ == "TimeoutException" for cls in type(error).__mro__
            ):
                raise
            message = f"the Tiled server's reply did not come in time: {error}"
            raise SlowServerError(message) from error

    def _hook(self) -> None:
        with _HOOKING:  # lists are replaced: other threads go through them
            hooks = self.client.event_hooks
            self.client.event_hooks = {
                "request": [*hooks["request"], _ask_plainly],
                "response": [*hooks["response"], _bound],
            }

    def _unhook(self) -> None:
        with _HOOKING:
            hooks = {name: [*each] for name, each in self.client.event_hooks.items()}
            hooks["request"].remove(_ask_plainly)
            hooks["response"].remove(_bound)
            self.client.event_hooks = hooks


def _ask_plainly(request: httpx.Request) -> None:
    if getattr(_OF_THREAD, "bounds", None) is not None:
        request.headers["Accept-Encoding"] = "identity"


def _bound(response: httpx.Response) -> None:
    """Look at a reply before its body is read, and bound that."""
    bounds = getattr(_OF_THREAD, "bounds", None)
    if bounds is None or isinstance(response.stream, _bounded_type()):
        return
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        message = (
            f"the Tiled server compresses its reply ({encoding}), which was not asked "
            f"for: is there a proxy that does? It has to leave replies as they are"
        )
        raise ServerError(message)
    page = response.headers.get("Content-Type", "").lower().startswith("text/html")
    if page and response.is_success:
        raise ServerError(web_page(str(response.request.url.copy_with(query=None))))
    announced = response.headers.get("Content-Length", "")
    if announced.isdecimal() and len(announced) < 20 and int(announced) > bounds.most:
        raise _too_large(bounds)
    response.stream = _bounded_type()(response.stream, bounds)


def web_page(address: str) -> str:
    """Say that an address has a web page where a Tiled server should answer."""
    return (
        f"{address} answers with a web page (HTML), not as a Tiled server does: is it "
        f"a login's or a proxy's? Give the server's own address, and its key"
    )


def _too_large(bounds: _Bounds) -> ServerError:
    message = f"the Tiled server sends more than the {bounds.most} bytes expected"
    return ServerError(message)


def _bounded_type() -> Any:
    """Give the class of bounded streams: httpx is imported where it is there anyway."""
    global _BOUNDED
    if _BOUNDED is None:
        import httpx

        class Bounded(httpx.SyncByteStream):
            def __init__(self, stream: Any, bounds: _Bounds) -> None:
                self._stream, self._bounds = stream, bounds

            def __iter__(self) -> Iterator[bytes]:
                count = 0
                for chunk in self._stream:
                    count += len(chunk)
                    if count > self._bounds.most:
                        raise _too_large(self._bounds)
                    if time.monotonic() > self._bounds.until:
                        raise self._bounds.late()
                    yield chunk

            def close(self) -> None:
                self._stream.close()

        _BOUNDED = Bounded
    return _BOUNDED


_BOUNDED: Any = None
