"""Listen to the websocket of a Tiled catalogue.

It tells of new runs and of their stop documents. A server without a streaming cache, an
outage, or a message that is too large only makes the service look later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from tiffin.errors import SourceError
from tiffin.settings import check_model
from tiffin.sources import connect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.service.listeners.hints import Hints

__all__ = ["check", "listen"]

LARGEST = 2**30
"""How large a message may be [bytes]; by default, 1 MB ends the connection."""

LOOK_AFTER = 5.0
"""How often to look whether the subscription is still alive [s]."""

ENDING = 5.0
"""How long to wait for the end of the subscription [s]."""


class Options(BaseModel):
    """The options of this listener."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
    address: str


def check(options: Mapping[str, Any]) -> Options:
    """Check the options."""
    return check_model(Options, dict(options))


def listen(options: Mapping[str, Any], hints: Hints) -> None:
    """Give a hint for each run that begins or ends."""
    client = connect(check(options).address)
    subscription = client.subscribe()

    def told(_update: Any) -> None:  # held by a name: tiled keeps weak references
        hints.look()

    subscription.child_created.add_callback(told)
    subscription.child_metadata_updated.add_callback(told)
    thread = _started(subscription)
    try:
        hints.look()  # what came before
        while not hints.stopping.wait(LOOK_AFTER):
            if not thread.is_alive():
                message = "the server has ended the subscription"
                raise SourceError(message)
    finally:
        subscription.disconnect()
        thread.join(ENDING)
        client.context.close()


def _started(subscription: Any) -> Any:
    """Start to listen in a thread; the call itself may wait for ever."""
    import threading

    def start() -> None:
        subscription.start(max_size=LARGEST)

    thread = threading.Thread(target=start, name="tiffin-tiled-socket", daemon=True)
    thread.start()
    return thread
