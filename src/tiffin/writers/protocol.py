"""The interface of output formats."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from tiffin.array_images import Encoded
    from tiffin.writers.checksums import Buffer, Written


class EncodedPage(Protocol):
    """An encoded image with its metadata, as the writer wants it."""

    @property
    def nbytes(self) -> int:
        """What it takes in memory [bytes]."""
        ...


class StackWriter(Protocol):
    """Writes several images to one file."""

    def encode(
        self, image: np.ndarray | Encoded, metadata: Mapping[str, Any]
    ) -> EncodedPage:
        """Return an encoded image for `add`; may be called from several threads."""
        ...

    def add(self, key: Any, page: EncodedPage) -> None:
        """Add an image, or one in place of the one with the same key.

        Images are in the order of their keys.
        """
        ...

    def flush(self) -> None:
        """Write what was added; after an error it may be called again."""
        ...

    def drop(self, key: Any) -> None:
        """Leave out an image that was added."""
        ...

    def finish(
        self, axes: Mapping[str, int] | None = None
    ) -> tuple[Written, list[Any]]:
        """Complete the file; return its size and checksum, and the keys in order.

        `axes` are name → length of what the images count, if they are a full grid.
        """
        ...


class Writer(Protocol):
    """Turns an image and its metadata into the bytes of a file.

    A format that does more than this fits in later without a change of those that there
    are, because a writer says what it makes:

    - A NeXus master that links raw data is an output with many frames (`most_frames` is
      None) and few bytes. It needs another method, which gets the places of the pixels
      (file, dataset, index) instead of the pixels; an export that reads no pixels calls
      it once, when the run has ended.
    - An OME-Zarr image is a folder (`makes_folder`). It gets its name as a file does:
      under a temporary name until it is complete, then renamed. Its chunks are buffers
      of files inside, and a line of the manifest lists them.
    """

    @property
    def format(self) -> str:
        """The name of the format, such as ``"tiff"``."""
        ...

    @property
    def suffixes(self) -> tuple[str, ...]:
        """How names of its files end, in lower case; the usual ending first."""
        ...

    @property
    def options(self) -> tuple[str, ...]:
        """The `WriterOptions` that it uses. Others are refused."""
        ...

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes that a file can have."""
        ...

    @property
    def most_frames(self) -> int | None:
        """How many images one output can have; None for any number."""
        ...

    @property
    def makes_folder(self) -> bool:
        """Whether an output is a folder rather than a file."""
        ...

    def takes(self, codec: str | None) -> bool:
        """Return whether encoded pixels can be written without decoding them."""
        ...

    def buffers(
        self, image: np.ndarray | Encoded, metadata: Mapping[str, Any]
    ) -> list[Buffer]:
        """Return all bytes of the file of one image.

        Parameters
        ----------
        image : ndarray or Encoded, shape (rows, columns[, samples]) [counts]
        metadata : mapping
            Information about the image, for formats that can store it.

        Raises
        ------
        DtypeError
            If the format can't store the image.
        """
        ...

    def size(self, shape: tuple[int, ...], dtype: np.dtype) -> int | None:
        """Return the size of a file; None if it depends on the pixels [bytes]."""
        ...


class StackingWriter(Writer, Protocol):
    """A writer whose `most_frames` is not 1."""

    def stack(self, descriptor: int, **options: Any) -> StackWriter:
        """Return what writes several images to one open file.

        Parameters
        ----------
        descriptor : int
            Of an empty file, opened for reading and writing.
        **options
            ``checksum`` and ``big``.
        """
        ...
