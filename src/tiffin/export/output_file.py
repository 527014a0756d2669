"""Output files, their frames, and their content before and after it is written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tiffin.corrections import Notes
    from tiffin.engine import Place
    from tiffin.frames import Frame
    from tiffin.records import Record
    from tiffin.writers import Written


@dataclass(slots=True, eq=False)
class OutputFile:
    """A file of one or more frames: claimed, published and listed once.

    Its name is the path, relative to the root.
    """

    name: str


class Page(NamedTuple):
    """A frame and its place in a file.

    Attributes
    ----------
    frame : Frame
    place : Place
        The place of its record in the ledger.
    file : OutputFile or None
        None if no file is written; the record of the frame says why.
    key : (int, int)
        What sorts the pages of a stack. A frame that is taken again has the same one.
    """

    frame: Frame
    place: Place
    file: OutputFile | None
    key: tuple[int, int] = (0, 0)

    @property
    def name(self) -> str:
        """The path of the file, relative to the root; ``""`` without a file."""
        return "" if self.file is None else self.file.name


PageGroup = list[Page]
"""The pages of one event and field, which are read together. Their frames have the same
pixels, and their places the same group number."""


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
