"""Watch the folder of the source, with watchfiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiffin.errors import SettingsError, optional_import

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.service.listeners.hints import Hints

__all__ = ["listen"]

NEEDS = ("watchfiles", "service")
"""The library, and the extra that has it."""


def listen(_options: Mapping[str, Any], hints: Hints) -> None:
    """Look when a file of the folder changes."""
    with optional_import("a watched folder needs watchfiles", extra="service"):
        from watchfiles import watch
    if hints.folder is None:
        message = "is for a source that is a folder"
        raise SettingsError(message, setting="type")
    for _ in watch(hints.folder, stop_event=hints.stopping, rust_timeout=500):
        hints.look()
