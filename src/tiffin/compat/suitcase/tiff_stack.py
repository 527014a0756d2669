"""One TIFF file for each stream and field, as ``suitcase.tiff_stack`` writes them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tiffin.compat.suitcase.file_names import file_name
from tiffin.compat.suitcase.serializer import ImageSerializer
from tiffin.errors import CollisionError, DtypeError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np

    from tiffin.frames import Frame
    from tiffin.writers import TifffilePages, TiffStack, UnnamedFile

__all__ = ["Serializer", "export", "get_prefixed_filename"]


def export(
    gen: Iterable[tuple[str, Mapping[str, Any]]],
    directory: Any,
    file_prefix: str = "{start[uid]}-",
    astype: Any = "uint16",
    bigtiff: bool = False,
    byteorder: str | None = None,
    imagej: bool = False,
    **kwargs: Any,
) -> dict[str, list[Any]]:
    """Export the images of a run, one file of several pages for each stream and field.

    The files are named ``{file_prefix}{stream_name}-{field}.tiff``. A file gets its
    name at the end of the run; after an error it does not.

    Parameters
    ----------
    gen, directory, astype, bigtiff, byteorder, imagej, **kwargs
        See `tiffin.compat.suitcase.tiff_series.export`. A file of 4 GiB or more needs
        `bigtiff`.
    file_prefix : str
        A format string with ``start``, ``stream_name`` and ``field``.

    Returns
    -------
    dict
        ``{"stream_data": […]}``: the paths, or the manager's artifacts.

    Raises
    ------
    TiffinError
        For the first image that can't be written. An existing file is not replaced.
    """
    return Serializer(
        directory, file_prefix, astype, bigtiff, byteorder, imagej, **kwargs
    ).export(gen)


@dataclass(slots=True)
class _Stack:
    name: str
    file: UnnamedFile
    pages: TiffStack | TifffilePages
    count: int = 0
    first: tuple[tuple[int, ...], np.dtype | None] = (), None


class Serializer(ImageSerializer):
    """Writes the images of one run to stacks. Takes documents when it is called.

    Parameters
    ----------
    directory, file_prefix, astype, bigtiff, byteorder, imagej, **kwargs
        See `export`.
    """

    roots = ("start", "stream_name", "field")

    def prepare(self) -> None:
        """Begin without any stack."""
        self._stacks: dict[tuple[str, str], _Stack] = {}
        self._closing = ExitStack()

    def image(self, image: np.ndarray, frame: Frame) -> None:
        """Write an image, shape (rows, columns), as the next page of its stack."""
        key = str(frame.stream), str(frame.field)
        stack = self._stacks.get(key)
        if stack is None:
            stack = self._stacks[key] = self._begin(frame.start, *key)
            stack.first = image.shape, image.dtype
        if self._options["imagej"] and stack.first != (image.shape, image.dtype):
            message = (
                f"{frame}: is {image.dtype}{[*image.shape]}, and the first page is "
                f"{stack.first[1]}{[*stack.first[0]]}: a stack for ImageJ has one "
                f"shape and dtype; choose imagej=False, or tiff_series"
            )
            raise DtypeError(message)
        page = stack.pages.encode(image, self._metadata_of(frame))
        stack.pages.add(stack.count, page)
        stack.pages.flush()
        stack.count += 1

    def _begin(self, start: Mapping[str, Any], stream: str, field: str) -> _Stack:
        name = get_prefixed_filename(self._file_prefix, start, stream, field)
        if name in [stack.name for stack in self._stacks.values()]:
            message = f"field {field!r} of {stream!r} and another have the name {name}"
            raise CollisionError(message)
        return _Stack(name, *self._open(name, self._closing))

    def complete(self) -> None:
        """Give the stacks their names, unless there was an error."""
        stacks, self._stacks = self._stacks, {}
        with self._closing.pop_all():
            for stack in stacks.values() if not self._failed else ():
                stack.pages.finish()
                self._output.finish(stack.name, stack.file)


def get_prefixed_filename(
    file_prefix: str, start_doc: Mapping[str, Any], stream_name: str, field: str
) -> str:
    """Return the name of a stack, relative to the directory.

    Examples
    --------
    >>> get_prefixed_filename("{start[scan_id]}-", {"scan_id": 7}, "primary", "img")
    '7-primary-img.tiff'
    """
    values = {"start": start_doc, "stream_name": stream_name, "field": field}
    return file_name(file_prefix, "{stream_name}-{field}.tiff", values)
