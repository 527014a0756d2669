"""The images of a run as arrays, without any file."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from tiffin.array_images import read_all
from tiffin.assemble import Assembler, ListDtypes
from tiffin.axes import place
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
        Whatever `export` takes as its source.
    field : str
        Which field.
    stream : str or None
        Which stream; None means all.
    dtype : dtype-like, optional
        Of images that come as lists without a dtype.
    colour : bool
        Whether these are colour images, with 3 or 4 samples a pixel.
    axes : str or sequence of str, optional
        The names of an array's last axes, such as ``"yxc"``, ``"cyx"`` or ``"tyx"``;
        see `export`.
    root_map : mapping of str to str, optional
        Recorded beginning of paths → beginning here, for files of another mount.
    allow_external : list of path, optional
        Folders in which raw files may lie that an HDF5 file takes its pixels from
        (external raw storage). It is refused elsewhere, and without this setting.
    handlers : mapping of str to class, optional
        Handlers for Resource documents, by spec; they go before registered ones.
    repeats : {"last", "first", "all"}
        Which take of a point, where a paused plan took it again.
    via : {"auto", "http", "files"}
        How a Tiled run's external images are read.
    timeout : float
        How long each reply of a Tiled server may take, whole [s].

    Returns
    -------
    ImageSequence
        One array an event, shape (rows, columns) or (images, rows, columns) [counts],
        with samples as a last axis if of colour, each read when it is asked for.

    Raises
    ------
    SettingsError
        If `field` is not the name of one field.
    FieldError
        If the run has no such images; it lists those that it has.

    Examples
    --------
    >>> from tiffin.testing import run_of
    >>> images = get_images(run_of({"img": np.ones((2, 6, 9), "u2")}), "img")
    >>> len(images), images[0].shape, images[0].dtype
    (2, (6, 9), dtype('uint16'))
    """
    given: object = field
    if not isinstance(given, str):
        message = f"field is the name of one field, not {given!r}"
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
    return ImageSequence(_events(source, assembler, repeats), close=assembler.close)


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
    """Return what each event holds: its pixels, or why there are none."""
    events: dict[Hashable, Pixels | Exception] = {}
    problem = None
    frames = (f for name, doc in source for f in assembler(name, doc))
    for frame in chain(frames, assembler.finish()):
        if frame.problem is not None and frame.seq_num is None:
            # Raised behind the last document: some stores can't be left before.
            problem = problem or frame.problem
        told = frame.pixels or frame.problem
        if told is not None:
            point = (frame.run, str(frame.stream), frame.seq_num, frame.source)
            if repeats == "first" and events.get(point, told) is not told:
                continue
            events[id(told) if repeats == "all" else point] = told
    if problem is not None:
        raise problem
    return list(events.values())


class ImageSequence(Sequence[np.ndarray]):
    """Arrays of images, one an event, read when asked for.

    The files that it reads are closed by `close`, at the end of a ``with`` block, or
    when nobody has it any more. What is read later opens them again.

    Parameters
    ----------
    events : list
        Of `Pixels`, or of the exception that says why there are none.
    close : callable, optional
        Closes what they are read from.
    """

    def __init__(
        self, events: list[Pixels | Exception], close: Callable[[], None] | None = None
    ) -> None:
        self._events = events
        self._parent: ImageSequence | None = None
        self._close = close
        if close is not None:
            weakref.finalize(self, close)

    def close(self) -> None:
        """Close the files that are open."""
        if self._parent is not None:
            self._parent.close()
        elif self._close is not None:
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
        """Read the images of one event, into an array of one's own; or choose some.

        Raises
        ------
        ReadError
            If they can't be read.
        """
        if isinstance(key, slice):
            chosen = ImageSequence(self._events[key])
            chosen._parent = self  # its files stay open as long
            return chosen
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
        place(array.shape, hints)  # what has no rows and columns is no image
        return array

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[k] for k in range(len(self)))

    def __repr__(self) -> str:
        return f"<the images of {len(self)} events>"
