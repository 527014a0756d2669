"""What an output format is, and where it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

    from tiffin.array_images import Encoded
    from tiffin.writers.checksums import Buffer

__all__ = ["Writer"]


class Writer(Protocol):
    """Turns images and their metadata into the bytes of a file.

    Attributes
    ----------
    format : str
        The name that it is found by, such as ``"tiff"``.
    dtypes : tuple of str
        The dtypes that it can hold.
    most_frames : int or None
        How many images one output may hold; None for any number.
    makes_folder : bool
        Whether an output is a folder rather than a file.
    """

    @property
    def format(self) -> str:
        """The name that it is found by."""
        ...

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes that it can hold."""
        ...

    @property
    def most_frames(self) -> int | None:
        """How many images one output may hold."""
        ...

    @property
    def makes_folder(self) -> bool:
        """Whether an output is a folder."""
        ...

    def takes(self, codec: str | None) -> bool:
        """Return whether pixels encoded in a codec can be written as they are."""
        ...

    def buffers(
        self, image: np.ndarray | Encoded, metadata: Mapping[str, Any]
    ) -> list[Buffer]:
        """Return all bytes of the file of one image.

        Parameters
        ----------
        image : ndarray or Encoded, shape (rows, columns[, samples]) [counts]
        metadata : mapping
            What is known of the image, for formats that can hold it.

        Raises
        ------
        DtypeError
            If the format can't hold the image.
        """
        ...
