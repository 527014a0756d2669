"""Listen to bluesky's 0MQ proxy, by its wire format.

A message is ``prefix name document``, with the document in msgpack or pickle
(bluesky 1.15.1, `bluesky.callbacks.zmq`). bluesky's own `RemoteDispatcher` queues
without a limit, and ends at an unknown document.
"""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from tiffin.errors import SettingsError, SourceError, optional_import
from tiffin.settings import check_model
from tiffin.sources import unpack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiffin.service.listeners.hints import Hints

__all__ = ["check", "listen"]

NEEDS = ("zmq", "service")
"""The library, and the extra that has it."""

logger = logging.getLogger("tiffin")

MOST_QUEUED = 10_000
"""How many messages wait at most; more are lost, which the spool notices."""

POLL = 500
"""How often to look whether to stop [ms]."""

ENCODINGS = ("msgpack", "pickle")


class ZmqOptions(BaseModel):
    """The options of this listener."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: str
    address: str
    prefix: str = ""
    encoding: str = "msgpack"
    allow_pickle: bool = False


def check(options: Mapping[str, Any]) -> ZmqOptions:
    """Check the options."""
    checked = check_model(ZmqOptions, dict(options))
    if checked.encoding not in ENCODINGS:
        message = f"must be msgpack or pickle, not {checked.encoding!r}"
        raise SettingsError(message, setting="encoding")
    if checked.encoding == "pickle" and not checked.allow_pickle:
        message = (
            "must be 'msgpack': a pickle runs any code of its sender. If you trust all "
            "senders of this address, add allow_pickle = true"
        )
        raise SettingsError(message, setting="encoding")
    return checked


def listen(options: Mapping[str, Any], hints: Hints) -> None:
    """Take documents until the service stops."""
    with optional_import("0MQ needs its library", extra="service"):
        import zmq
    chosen = check(options)
    decode: Callable[[bytes], Any] = unpack
    if chosen.encoding == "pickle":
        logger.warning("0MQ at %s: pickles run any code of senders", chosen.address)
        decode = _unpickle
    address = chosen.address
    if "://" not in address:
        address = f"tcp://{address}"
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.RCVHWM, MOST_QUEUED)
        socket.setsockopt(zmq.LINGER, 0)
        socket.subscribe(chosen.prefix.encode())
        socket.connect(address)
        while not hints.stopping.is_set():
            if socket.poll(POLL):
                _take(socket.recv(), chosen, decode, hints)


def _take(
    message: bytes, options: ZmqOptions, decode: Callable[[bytes], Any], hints: Hints
) -> None:
    """Take a message; one that can't be read is lost, which the spool notices."""
    prefix, _, rest = message.partition(b" ")
    name, _, data = rest.partition(b" ")
    if prefix != options.prefix.encode():
        return
    try:
        kind, doc = name.decode("ascii"), decode(data)
    except (SourceError, UnicodeDecodeError) as error:
        logger.warning("0MQ: a message can't be read: %s", error)
        return
    if isinstance(doc, dict):
        hints.take(kind, doc)


def _unpickle(data: bytes) -> Any:
    try:
        return pickle.loads(data)
    except Exception as error:  # a pickle may raise anything
        raise SourceError(f"{type(error).__name__}: {error}") from error
