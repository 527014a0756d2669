"""What a reader of stream resources gives: rows of a dataset, read a few at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from tiffin.axes import Hints
from tiffin.errors import ReadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np

    from tiffin.frames import Encoded

__all__ = [
    "Asset",
    "Opener",
    "Rows",
    "Spanning",
    "Stored",
    "Storing",
    "refuse_negative",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A stream resource as a reader gets it.

    Attributes
    ----------
    mimetype : str
    uri : str
        As recorded.
    path : pathlib.Path
        Where the URI leads on this machine: a file, or a folder of files.
    parameters : mapping
        Of the stream resource: ``dataset``, ``template``, ``chunk_shape``…
    datum_shape : tuple of int
        The shape that the descriptor announces for an event; () if none.
    hints : Hints
        What else is known of an event's array.
    locate : callable
        Resolves a file beside `path`: gives the path for a URI.
    allow_external : tuple of pathlib.Path
        The folders in which raw files may lie that an HDF5 file names as its pixels.
    """

    mimetype: str
    uri: str
    path: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    datum_shape: tuple[int, ...] = ()
    hints: Hints = field(default_factory=Hints)
    locate: Callable[[str], Path] | None = None
    allow_external: tuple[Path, ...] = ()


class Rows(Protocol):
    """A dataset as rows: row k is the k-th entry along its first axis.

    A row is usually a frame; a detector with n collections an event has n rows an
    event. A reader need not be safe in threads: it is asked by one at a time.

    Attributes
    ----------
    colour : bool
        Whether the last axis holds the samples of a colour.
    """

    colour: bool

    def row_shape(self, row: int) -> tuple[int, ...]:
        """Return the shape of one row, such as (rows, columns) of an image.

        Raises
        ------
        NotYetError
            If the row is not there (yet).
        """
        ...

    def read(self, row: int) -> np.ndarray:
        """Read one row.

        Raises
        ------
        NotYetError
            If the row is not there (yet), or not whole.
        """
        ...

    def close(self) -> None:
        """Close the files."""
        ...


@runtime_checkable
class Spanning(Protocol):
    """Rows that know by themselves which of them are an event's."""

    def span(self, index: int) -> tuple[int, int]:
        """Return the first row of the event with this index, and how many it has.

        Raises
        ------
        NotYetError
            If that can't be known yet.
        ReadError
            If files and announced shape contradict each other.
        """
        ...


class Stored(Protocol):
    """Where an image lies. Any thread may read it, several at once, closed rows or not.

    Raises
    ------
    NotYetError
        Each method, if the image turns out not to be whole.
    """

    def encoded(self) -> Encoded | None:
        """Return the image as it is stored; None if it must be read after all."""
        ...

    def read(self) -> np.ndarray | None:
        """Read and decode the image; None if `Rows.read` must be asked after all."""
        ...


@runtime_checkable
class Storing(Protocol):
    """Rows that know where their bytes lie, and let several threads read them."""

    def stored(
        self, where: tuple[int, ...], takes: Callable[[str | None], bool] | None = None
    ) -> Stored | None:
        """Find an image. One thread at a time asks, and reads elsewhere.

        Parameters
        ----------
        where : tuple of int
            The row, and what is meant within it.
        takes : callable, optional
            Tells which codecs are of use; without, the image is to be decoded.

        Returns
        -------
        Stored or None
            None if the row is not there (yet), or only `Rows.read` can read it.
        """
        ...


class Opener(Protocol):
    """What the entry-point group ``tiffin.readers`` holds, by mimetype."""

    def __call__(self, asset: Asset, /) -> Rows:
        """Open an asset.

        Raises
        ------
        NotYetError
            If its file is not there (yet).
        """
        ...


def refuse_negative(row: int, path: Path) -> None:
    """Refuse a row before the first: libraries would count it from the end.

    Raises
    ------
    ReadError
        If it is one.
    """
    if row < 0:
        message = f"{path} has no row {row}"
        raise ReadError(message)
