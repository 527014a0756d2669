"""Watch the folder of the source, with watchfiles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from tiffin.errors import SettingsError, optional_import
from tiffin.settings import check_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.service.listeners.hints import Hints

__all__ = ["check", "listen"]

NEEDS = ("watchfiles", "service")
"""The library, and the extra that has it."""


class FolderOptions(BaseModel):
    """The options of this listener: none."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: str


def check(options: Mapping[str, Any]) -> FolderOptions:
    """Check the options."""
    return check_model(FolderOptions, options)


def listen(_options: Mapping[str, Any], hints: Hints) -> None:
    """Look when a file of the folder changes."""
    with optional_import("a watched folder needs watchfiles", extra="service"):
        from watchfiles import watch
    if hints.folder is None:
        message = "is for a source that is a folder"
        raise SettingsError(message, setting="type")
    for _ in watch(hints.folder, stop_event=hints.stopping, rust_timeout=500):
        hints.look()
