"""The content of an image's file and of its sidecar, and what was written of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tiffin.writers import Written

__all__ = ["Content", "Published"]


class Content(NamedTuple):
    """What is to be written.

    Attributes
    ----------
    buffers : list
        The bytes of the image's file.
    sidecar : bytes or None
        Those of the file that the profile has beside it.
    """

    buffers: list[Any]
    sidecar: bytes | None = None


class Published(NamedTuple):
    """What has been written.

    Attributes
    ----------
    file : Written
    sidecar : Written or None
    """

    file: Written
    sidecar: Written | None = None
