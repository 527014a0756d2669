"""The content of an image's file and of its sidecar, before and after it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tiffin.corrections import Notes
    from tiffin.export.output_file import Page
    from tiffin.records import Record
    from tiffin.writers import Written


class Content(NamedTuple):
    """What is to be written: the bytes of the image's file, and of its sidecar."""

    buffers: list[Any]
    sidecar: bytes | None = None


class Published(NamedTuple):
    """What has been written."""

    file: Written
    sidecar: Written | None = None


class ReadyFile(NamedTuple):
    """A file whose bytes are ready to be written.

    `record` is that of the written file. Its line for the manifest goes to `lines`, by
    the index of the page.
    """

    page: Page
    content: Content
    record: Record
    notes: Notes
    lines: dict[int, str]
