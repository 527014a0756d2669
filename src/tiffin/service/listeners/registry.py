"""Find listeners by name, and run them."""

from __future__ import annotations

import logging
import threading
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from tiffin.errors import (
    SettingsError,
    TiffinError,
    did_you_mean,
    optional_import,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiffin.service.listeners.hints import Hints

    Listen = Callable[[Mapping[str, Any], Hints], None]

__all__ = ["check_listener", "start_listener"]

logger = logging.getLogger("tiffin")

GROUP = "tiffin.listeners"

OWN = ("folder", "kafka", "tiled", "zmq")

PAUSE = 5.0
"""How long to wait before a listener that has failed begins again [s]."""


def check_listener(kind: str, options: Mapping[str, Any]) -> None:
    """Raise a TiffinError if there is no such listener, or it can't listen so."""
    found = _module_or_function(kind)
    check = getattr(found, "check", None)
    if check is not None:
        check(options)
    if kind in OWN:
        library, extra = found.NEEDS
        with optional_import(f"the listener {kind!r} needs a library", extra=extra):
            import_module(library)


def start_listener(
    kind: str, options: Mapping[str, Any], hints: Hints
) -> threading.Thread:
    """Listen in a thread. After a failure it begins again: it only gives hints."""
    found = _module_or_function(kind)
    listen: Listen = getattr(found, "listen", found)

    def work() -> None:
        said = ""
        while not hints.stopping.is_set():
            try:
                listen(options, hints)
            except TiffinError as error:
                problem = str(error)
            except Exception as error:  # noqa: BLE001 (a border: others' libraries)
                problem = f"{type(error).__name__}: {error}"
            else:
                problem = "it has ended"
            if hints.stopping.wait(PAUSE):
                return
            if problem != said:  # once for each cause
                said = problem
                logger.warning("listener %r: %s: listening again", kind, problem)

    thread = threading.Thread(target=work, name=f"tiffin-{kind}", daemon=True)
    thread.start()
    return thread


def _module_or_function(kind: str) -> Any:
    if kind in OWN:
        return import_module(f"tiffin.service.listeners.{kind}_listener")
    others = {entry.name: entry for entry in entry_points(group=GROUP)}
    if kind not in others:
        names = [*OWN, *others]
        hint = did_you_mean(kind, names, list_all=False)
        message = f"must be one of {', '.join(names)}, not {kind!r}{hint}"
        raise SettingsError(message, setting="type")
    return others[kind].load()
