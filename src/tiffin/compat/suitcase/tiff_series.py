"""One TIFF file for each image, as ``suitcase.tiff_series`` writes them."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from tiffin.compat.suitcase.file_names import file_name
from tiffin.compat.suitcase.serializer import ImageSerializer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np

    from tiffin.frames import Frame

__all__ = ["Serializer", "export", "get_prefixed_filename"]


def export(
    gen: Iterable[tuple[str, Mapping[str, Any]]],
    directory: Any,
    file_prefix: str = "{start[uid]}-",
    astype: Any = "uint16",
    bigtiff: bool = False,
    byteorder: str | None = None,
    imagej: bool = False,
    *,
    event_num_pad: int = 5,
    **kwargs: Any,
) -> dict[str, list[Any]]:
    """Export the images of a run, one file each.

    The files are named ``{file_prefix}{stream_name}-{field}-{number}.tiff``; images are
    numbered by stream and field, from 0. Fields whose data key has the dtype ``array``
    and two or three dimensions hold images.

    Parameters
    ----------
    gen : iterable of (name, document)
        Of one run.
    directory : str, Path or manager
        Where the files go. A `MultiFileManager` of suitcase-utils chooses paths, a
        `MemoryBuffersManager`, or another object with its methods, opens buffers.
    file_prefix : str
        A format string with ``start``, ``descriptor``, ``event``, ``stream_name`` and
        ``field``. Times can be formatted as in ``{start[time]:%Y-%m-%d}``.
    astype : dtype or None
        What images are cast to. Values that it can't hold are an error. None keeps the
        dtype.
    bigtiff, byteorder, imagej
        As `tifffile.TiffWriter` takes them.
    event_num_pad : int
        How many digits the number has at least.
    **kwargs
        As `tifffile.TiffWriter.write` takes them.

    Returns
    -------
    dict
        ``{"stream_data": […]}``: the paths, or the manager's artifacts.

    Raises
    ------
    TiffinError
        For the first image that can't be written. An existing file is not replaced.
    """
    options = {"event_num_pad": event_num_pad, **kwargs}
    return Serializer(
        directory, file_prefix, astype, bigtiff, byteorder, imagej, **options
    ).export(gen)


class Serializer(ImageSerializer):
    """Writes the images of one run, one file each. Takes documents when it is called.

    Parameters
    ----------
    directory, file_prefix, astype, bigtiff, byteorder, imagej, event_num_pad, **kwargs
        See `export`.
    """

    roots = ("start", "descriptor", "event", "stream_name", "field")

    def __init__(
        self,
        directory: Any,
        file_prefix: str = "{start[uid]}-",
        astype: Any = "uint16",
        bigtiff: bool = False,
        byteorder: str | None = None,
        imagej: bool = False,
        *,
        event_num_pad: int = 5,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            directory, file_prefix, astype, bigtiff, byteorder, imagej, **kwargs
        )
        self._counts: Counter[tuple[str, str]] = Counter()
        self._pad = event_num_pad

    def image(self, image: np.ndarray, frame: Frame) -> None:
        """Write an image, shape (rows, columns), to a file of its own."""
        stream, field = str(frame.stream), str(frame.field)
        number = self._counts[stream, field]
        documents = frame.start, frame.descriptor, frame.event
        name = get_prefixed_filename(
            self._file_prefix, *documents, number, stream, field, self._pad
        )
        metadata = self._metadata_of(frame)
        if self._writer is not None and not self._options["bigtiff"]:
            self._output.put(name, self._writer.buffers(image, metadata))
        else:
            self._put_page(name, image, metadata)
        self._counts[stream, field] += 1

    def _put_page(self, name: str, image: np.ndarray, metadata: dict[str, Any]) -> None:
        """Write a file as a stack of one page."""
        with ExitStack() as closing:
            file, pages = self._open(name, closing)
            pages.add(0, pages.encode(image, metadata))
            pages.finish()
            self._output.finish(name, file)


def get_prefixed_filename(
    file_prefix: str,
    start_doc: Mapping[str, Any],
    descriptor_doc: Mapping[str, Any],
    event_doc: Mapping[str, Any],
    num: int,
    stream_name: str,
    field: str,
    pad: int,
) -> str:
    """Return the name of the file of an image, relative to the directory.

    Examples
    --------
    >>> start = {"sample": "Ni/Cu"}
    >>> get_prefixed_filename("{start[sample]}-", start, {}, {}, 7, "primary", "img", 5)
    'Ni_Cu-primary-img-00007.tiff'
    """
    values = {
        "start": start_doc,
        "descriptor": descriptor_doc,
        "event": event_doc,
        "stream_name": stream_name,
        "field": field,
    }
    return file_name(
        file_prefix, f"{{stream_name}}-{{field}}-{num:0{pad}d}.tiff", values
    )
