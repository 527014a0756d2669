"""What a reader of stream resources gets, and what it must provide."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tiffin.axes import ArrayHints
from tiffin.display import count_text
from tiffin.errors import NotYetError, ReadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from tiffin.array_images import Encoded


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
        The shape of an event that the descriptor declares; () if none.
    hints : ArrayHints
        What else is known of an event's array.
    locate : callable
        Returns the path here of another URI.
    allow_external : tuple of pathlib.Path
        Folders in which HDF5 external raw storage may lie.
    """

    mimetype: str
    uri: str
    path: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    datum_shape: tuple[int, ...] = ()
    hints: ArrayHints = field(default_factory=ArrayHints)
    locate: Callable[[str], Path] | None = None
    allow_external: tuple[Path, ...] = ()


class Rows(Protocol):
    """A dataset as rows: row k is the k-th entry along its first axis.

    A row is usually a frame; a detector with n images an event has n rows an event.
    Only one thread at a time calls a reader.

    A reader may also have the method of `HasRawImages`, a length, and ``span(index)``,
    which returns the first row of an event and how many rows it has.

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
            If the row is not there (yet), or incomplete.
        """
        ...

    def close(self) -> None:
        """Close the files."""
        ...


class RawImage(Protocol):
    """An image as it is stored.

    Any thread may use it, several at once, even after its file was closed. Both methods
    raise `NotYetError` if the image is incomplete.
    """

    def encoded(self) -> Encoded | None:
        """Return the stored bytes; None if the image has to be read."""
        ...

    def read(self) -> np.ndarray | None:
        """Decode the image; None if `Rows.read` has to be called."""
        ...


class HasRawImages(Protocol):
    """Rows that return images as they are stored, for any thread to decode."""

    def stored(
        self, where: tuple[int, ...], takes: Callable[[str | None], bool] | None = None
    ) -> RawImage | None:
        """Find an image. Only one thread at a time calls this.

        Parameters
        ----------
        where : tuple of int
            The row, and the index of the image within it.
        takes : callable, optional
            Returns whether a codec is of use; without it, the image will be decoded.

        Returns
        -------
        RawImage or None
            None if the row is not there (yet), or if only `Rows.read` can read it.
        """
        ...


class FixedRows:
    """Rows of one shape, whose number is known when their file is opened.

    `colour` tells whether the last axis holds the samples of a colour.
    """

    def __init__(
        self, path: Path, count: int, shape: tuple[int, ...], *, colour: bool = False
    ) -> None:
        self._path = path
        self._count = count
        self.shape = shape
        self.colour = colour

    def __len__(self) -> int:
        return self._count

    def row_shape(self, row: int) -> tuple[int, ...]:
        """Return the shape of one row."""
        self._require(row)
        return self.shape

    def read(self, row: int) -> np.ndarray:
        """Read one row."""
        self._require(row)
        return self._read(row)

    def close(self) -> None:
        """Close the file."""

    def _read(self, row: int) -> np.ndarray:
        raise NotImplementedError

    def _require(self, row: int) -> None:
        refuse_negative(row, self._path)
        if row >= self._count:
            message = (
                f"{self._path} holds {count_text(self._count, 'image')}, number "
                f"{row + 1} is not there (yet)"
            )
            raise NotYetError(message)


def refuse_negative(row: int, path: Path) -> None:
    """Raise `ReadError` for a negative row: libraries would count it from the end."""
    if row < 0:
        message = f"{path} has no row {row}"
        raise ReadError(message)


def stack_images(images: list[np.ndarray]) -> np.ndarray:
    """Stack images; raise `ReadError` if their dtypes differ, so that none is cast."""
    dtypes = {image.dtype: None for image in images}
    if len(dtypes) > 1:
        names = " and ".join(map(str, dtypes))
        message = f"images of several dtypes can't become one array: {names}"
        raise ReadError(message)
    return np.stack(images)
