"""Read the images of a run as arrays."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from tiffin.array_images import read_all
from tiffin.assemble import Assembler, ListDtypes
from tiffin.axes import place
from tiffin.display import count_text
from tiffin.errors import ReadError, SettingsError, TiffinError
from tiffin.settings import Settings
from tiffin.sources import TIMEOUT, Via, open_source

if TYPE_CHECKING:
    import os

    from tiffin.axes import AxesSetting
    from tiffin.frames import Pixels
    from tiffin.settings import Repeats

__all__ = ["ImageSequence", "get_images"]


def get_images(
    header: Any,
    field: str,
    stream: str | None = "primary",
    *,
    dtype: Any = None,
    colour: bool = False,
    axes: AxesSetting = None,
    root_map: Mapping[str, str] | None = None,
    allow_external: Iterable[str | os.PathLike[str]] = (),
    handlers: Mapping[str, Callable[..., Any]] | None = None,
    repeats: Repeats = "last",
    via: Via = "auto",
    timeout: float = TIMEOUT,
) -> ImageSequence:
    """Return the images of a run as arrays.

    Parameters
    ----------
    header : object
        Any source that `export` takes.
    field : str
        The field to read.
    stream : str or None
        The stream to read; None means all streams.
    dtype : dtype-like, optional
        The dtype of images that are lists without a dtype.
    colour : bool
        Whether the images are colour images, with 3 or 4 samples per pixel.
    axes : str or sequence of str, optional
        The names of the last axes of an array, such as ``"yxc"``, ``"cyx"`` or
        ``"tyx"``; see `export`.
    root_map : mapping of str to str, optional
        For files that have moved: recorded prefix of a path → prefix on this machine.
    allow_external : list of path, optional
        Folders of raw files that HDF5 files may refer to (external raw storage). By
        default none.
    handlers : mapping of str to class, optional
        Handlers for Resource documents, by spec. They override registered ones.
    repeats : {"last", "first", "all"}
        Which take to read if a paused plan took a point again.
    via : {"auto", "http", "files"}
        How to read the external images of a Tiled run; see `export`.
    timeout : float
        The time limit for each reply of a Tiled server [s].

    Returns
    -------
    ImageSequence
        One array for each event, with shape (rows, columns) or (images, rows, columns)
        [counts]; colour images have their samples as the last axis. Each array is read
        when it is accessed.

    Raises
    ------
    SettingsError
        If `field` is not the name of one field.
    FieldError
        If the run has no images in `field`. The message lists the fields with images.

    Examples
    --------
    >>> from tiffin.testing import run_of
    >>> images = get_images(run_of({"img": np.ones((2, 6, 9), "u2")}), "img")
    >>> len(images), images[0].shape, images[0].dtype
    (2, (6, 9), dtype('uint16'))
    """
    given: object = field
    if not isinstance(given, str):
        message = f"field must be the name of one field, not {given!r}"
        raise SettingsError(message)
    settings = Settings.of(
        "{frame}",
        fields=field,
        streams=stream,
        dtype=dtype,
        colour=field if colour else (),
        axes=axes,
        root_map=root_map,
        allow_external=allow_external,
        handlers=handlers,
        repeats=repeats,
    )
    dtypes = ListDtypes(settings.dtype)
    source = open_source(header, via=via, roots=settings.roots, timeout=timeout)
    with dtypes.survey():
        _events(source, _assembler(settings, dtypes), repeats)
    assembler = _assembler(settings, dtypes)
    return ImageSequence(_events(source, assembler, repeats), assembler.close)


def _assembler(settings: Settings, dtypes: ListDtypes) -> Assembler:
    return Assembler(
        fields=settings.fields,
        streams=settings.streams,
        dtypes=dtypes,
        axes=settings.image_axes,
        roots=settings.roots,
    )


def _events(
    source: Iterable[tuple[str, Mapping[str, Any]]],
    assembler: Assembler,
    repeats: Repeats,
) -> list[Pixels | Exception]:
    """Return the pixels of each event, or an error if it has none."""
    events: dict[Hashable, Pixels | Exception] = {}
    problem = None
    frames = (f for name, doc in source for f in assembler(name, doc))
    for frame in chain(frames, assembler.finish()):
        if frame.problem is not None and frame.seq_num is None:
            # Raised after the last document: some stores must be read to the end.
            problem = problem or frame.problem
        found = frame.pixels or frame.problem
        if found is not None:
            point = (frame.run, str(frame.stream), frame.seq_num, frame.source)
            if repeats == "first" and events.get(point, found) is not found:
                continue
            events[id(found) if repeats == "all" else point] = found
    if problem is not None:
        raise problem
    return list(events.values())


class ImageSequence(Sequence[np.ndarray]):
    """A sequence of image arrays, one for each event, read when they are accessed.

    `close`, the end of a ``with`` block, or garbage collection closes the files. A
    later access opens them again.
    """

    def __init__(
        self, events: list[Pixels | Exception], close: Callable[[], None]
    ) -> None:
        self._events = events
        self._close = close
        weakref.finalize(self, close)

    def close(self) -> None:
        """Close the open files."""
        self._close()

    def __enter__(self) -> ImageSequence:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._events)

    @overload
    def __getitem__(self, key: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, key: slice) -> ImageSequence: ...

    def __getitem__(self, key: int | slice) -> np.ndarray | ImageSequence:
        """Return the images of an event as a new array, or a slice of the sequence.

        Raises
        ------
        ReadError
            If the images can't be read.
        """
        if isinstance(key, slice):
            return ImageSequence(self._events[key], self._close)
        event = self._events[key]
        if isinstance(event, Exception):
            raise event
        try:
            array, hints = read_all(event)
        except TiffinError:
            raise
        except Exception as error:
            message = f"image {key} can't be read: {type(error).__name__}: {error}"
            raise ReadError(message) from error
        place(array.shape, hints)  # raises if the array has no rows and columns
        return array

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        return f"<the images of {count_text(len(self), 'event')}>"
