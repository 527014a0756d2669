"""Listen to the websocket of a Tiled catalogue.

It tells of new runs and of their stop documents. A server without a streaming cache, an
outage, or a message that is too large only makes the service look later.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from tiffin.errors import SourceError
from tiffin.settings import check_model
from tiffin.sources import connect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.service.listeners.hints import Hints

__all__ = ["check", "listen"]

NEEDS = ("tiled.client", "tiled")
"""The library, and the extra that has it."""

LARGEST = 2**30
"""How large a message may be [bytes]; by default, 1 MB ends the connection."""

LOOK_AFTER = 5.0
"""How often to look whether the subscription is still alive [s]."""

ENDING = 5.0
"""How long to wait for the end of the subscription [s]."""


class TiledOptions(BaseModel):
    """The options of this listener."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: str
    address: str


def check(options: Mapping[str, Any]) -> TiledOptions:
    """Check the options."""
    return check_model(TiledOptions, dict(options))


def listen(options: Mapping[str, Any], hints: Hints) -> None:
    """Give a hint for each run that begins or ends."""
    client = connect(check(options).address)
    subscription = client.subscribe()

    def told(_update: Any) -> None:  # held by a name: tiled keeps weak references
        hints.look()

    subscription.child_created.add_callback(told)
    subscription.child_metadata_updated.add_callback(told)
    problems: list[str] = []

    def start() -> None:  # in a thread of its own, because it may wait for ever
        try:
            subscription.start(max_size=LARGEST)
        except Exception as error:  # noqa: BLE001 (a border: such as of websockets)
            problems.append(f"{type(error).__name__}: {error}")

    thread = threading.Thread(target=start, name="tiffin-tiled-socket", daemon=True)
    thread.start()
    try:
        hints.look()  # what came before
        while not hints.stopping.wait(LOOK_AFTER):
            if not thread.is_alive():
                why = problems[0] if problems else "it was closed"
                message = (
                    f"the server gives no messages (has it a streaming cache?): {why}"
                )
                raise SourceError(message)
    finally:
        with suppress(Exception):  # it may never have been connected
            subscription.disconnect()
        thread.join(ENDING)
        client.context.close()
