"""Which frames go into which file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tiffin.engine import Place
    from tiffin.frames import Frame

__all__ = ["OutputFile", "Page", "PageGroup"]


@dataclass(slots=True)
class OutputFile:
    """A file of one or more frames: claimed, published and listed once.

    Attributes
    ----------
    name : str
        Relative to the root.
    frames : int
        How many frames it holds.
    """

    name: str
    frames: int = 1


class Page(NamedTuple):
    """A frame and where it goes.

    Attributes
    ----------
    frame : Frame
    place : Place
        Of its record in the ledger.
    file : OutputFile or None
        None where nothing is to be written: the record of the frame says why.
    """

    frame: Frame
    place: Place
    file: OutputFile | None


PageGroup = list[Page]
"""The pages of one event and field, which are read together: their frames share pixels,
and their places the number of the group."""
