"""Stream resources as files of images: numbered ones, or one of many pages."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tiffin.axes import place
from tiffin.errors import NotYetError, ReadError, TiffinError
from tiffin.readers.image_files import read_jpeg, read_npy, read_tiff
from tiffin.readers.layout import files_an_event, images_an_event
from tiffin.readers.numbered import numbered
from tiffin.readers.recent import Recent
from tiffin.readers.regular import check_regular
from tiffin.readers.rows import Storing, refuse_negative

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from tiffin.axes import Hints
    from tiffin.readers.rows import Asset, Rows, Stored

__all__ = ["FileSequence", "OneFile", "Pages", "jpeg_rows", "npy_rows", "tiff_rows"]

NPY_TEMPLATE = "%s_%d.npy"
"""NPY files have always been numbered so; many a document leaves it out."""

FILES_KEPT = 2


class Pages(Protocol):
    """What one file holds: images of one shape."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a page: (rows, columns), samples behind them if of colour."""
        ...

    @property
    def colour(self) -> bool:
        """Whether the last axis holds the samples of a colour."""
        ...

    def __len__(self) -> int:
        """Count the pages."""
        ...

    def read(self, page: int) -> np.ndarray:
        """Read one page."""
        ...

    def close(self) -> None:
        """Close the file."""
        ...


class OneFile:
    """The pages of one file; row k is page k.

    Parameters
    ----------
    path : pathlib.Path
    pages : Pages
    """

    def __init__(self, path: Path, pages: Pages) -> None:
        self._path = path
        self._pages = pages
        self.colour = pages.colour

    def __len__(self) -> int:
        return len(self._pages)

    def row_shape(self, row: int) -> tuple[int, ...]:
        """Return the shape of one image."""
        self._need(row)
        return self._pages.shape

    def read(self, row: int) -> np.ndarray:
        """Read one image."""
        self._need(row)
        return self._pages.read(row)

    def close(self) -> None:
        """Let go of the file."""
        self._pages.close()

    def _need(self, row: int) -> None:
        refuse_negative(row, self._path)
        if row >= len(self._pages):
            message = (
                f"{self._path} holds {len(self._pages)} image(s), number {row + 1} is "
                f"not there (yet)"
            )
            raise NotYetError(message)


class FileSequence:
    """Numbered files of equally many pages; row k is the k-th page of them all.

    How many files an event has is said by the parameters, or found out by looking into
    the first file that is asked for. A file with other than so many pages is refused:
    all that follow would be other images than those meant.

    Parameters
    ----------
    asset : Asset
        Its ``template`` is ``"ad_{:06d}.tiff"`` or ``"%s_%5.5d.tif"``; or its ``uris``
        list the files.
    open_file : callable
        Opens a file's pages.
    template : str, optional
        For an asset without one.
    """

    def __init__(
        self,
        asset: Asset,
        open_file: Callable[[Path], Pages],
        template: str = "",
    ) -> None:
        self._asset = asset
        self._open_file = open_file
        self._template = str(asset.parameters.get("template") or template)
        self._uris = [str(uri) for uri in asset.parameters.get("uris") or ()]
        self._files: Recent[Pages] = Recent(FILES_KEPT)
        self._said: int | None = None
        self._pages = 0
        self._rows = 0
        self._shape: tuple[int, ...] = ()
        self.colour = False

    def span(self, index: int) -> tuple[int, int]:
        """Return the first row of an event, and how many rows it has."""
        if not self._rows:
            # A file of the event's own number is there, however many an event has.
            self._learn(index)
        return index * self._rows, self._rows

    def row_shape(self, row: int) -> tuple[int, ...]:
        """Return the shape of one image; its file must be there."""
        if not self._rows:
            self._learn(0)
        self._present(row // self._pages)
        return self._shape

    def read(self, row: int) -> np.ndarray:
        """Read one image."""
        if not self._rows:
            self._learn(0)
        pages, page = self._page(row)
        return pages.read(page)

    def stored(
        self, where: tuple[int, ...], takes: Callable[[str | None], bool] | None = None
    ) -> Stored | None:
        """Find an image, where the files' reader can."""
        if not self._rows:
            self._learn(0)
        pages, page = self._page(where[0])
        if not isinstance(pages, Storing):
            return None
        return pages.stored((page, *where[1:]), takes)

    def _page(self, row: int) -> tuple[Pages, int]:
        number, page = divmod(row, self._pages)
        pages = self._file(number)
        self._check(number, pages)
        return pages, page

    def close(self) -> None:
        """Let go of the files."""
        self._files.close()

    def _learn(self, number: int) -> None:
        """Find out from one file how the images lie in all of them."""
        pages = self._file(number)
        found, (held, image) = len(pages), _images_a_page(pages, self._asset.hints)
        datum, colour = self._asset.datum_shape, pages.colour
        self._said = files_an_event(datum, self._asset.parameters, colour=colour)
        wanted = images_an_event(datum, image)
        wanted = wanted or (found * held * (self._said or 1),)
        for images in wanted:
            rows, rest = divmod(images, held)
            files = self._said or rows // max(found, 1)
            if files and not rest and rows == files * found:
                self._rows, self._pages = rows, found
                self._shape, self.colour = pages.shape, pages.colour
                return
        raise self._contradiction(number, found * held, wanted)

    def _contradiction(
        self, number: int, held: int, wanted: tuple[int, ...]
    ) -> TiffinError:
        images = " or ".join(map(str, wanted))
        files = f" in {self._said} file(s)" if self._said else ""
        message = (
            f"{self._path(number)} holds {held} image(s), but an event has "
            f"{images}{files}"
        )
        if held * (self._said or 1) < min(wanted):
            return NotYetError(f"{message}: it is not whole (yet)")
        return ReadError(f"{message}: which of them are an event's is not known")

    def _check(self, number: int, pages: Pages) -> None:
        found, wanted = len(pages), self._pages
        if found == wanted and len(pages.shape) == len(self._shape):
            return
        message = (
            f"{self._path(number)} holds {found} image(s) of {len(pages.shape)} axes, "
            f"not {wanted} of {len(self._shape)}"
        )
        # What was learnt may have been learnt from a file that was not whole yet.
        if found < wanted or not self._said:
            raise NotYetError(f"{message}: it is not like the others (yet)")
        raise ReadError(message)

    def _file(self, number: int) -> Pages:
        return self._files.get(number, lambda: self._open_file(self._present(number)))

    def _present(self, number: int) -> Path:
        path = self._path(number)
        check_regular(path, why=self._why(path))
        return path

    def _why(self, path: Path) -> str:
        """Explain a place that nobody may have meant."""
        uri = self._asset.uri
        if self._uris or uri.endswith("/") or path.parent == self._asset.path:
            return ""
        return (
            f"; the URI {uri!r} has no '/' at its end, so that the template "
            f"{self._template!r} goes on with its last name"
        )

    def _path(self, number: int) -> Path:
        refuse_negative(number, self._asset.path)
        locate = self._asset.locate
        if self._uris:
            if number >= len(self._uris):
                message = (
                    f"the resource lists {len(self._uris)} files, no {number + 1}th"
                )
                raise ReadError(message)
            return locate(self._uris[number]) if locate else Path(self._uris[number])
        filename = str(self._asset.parameters.get("filename") or "")
        name = numbered(self._template, number, filename)
        if number and name == numbered(self._template, 0, filename):
            message = (
                f"the template {self._template!r} has no number: it names one file, "
                f"which can't be the image of every event"
            )
            raise ReadError(message)
        if locate is None:
            return self._asset.path / name.lstrip("/")
        # The template may continue the URI's last component, as in "…/uid" + "_1.npy".
        uri = self._asset.uri
        return locate(uri + (name.lstrip("/") if uri.endswith("/") else name))


def is_numbered(asset: Asset) -> bool:
    """Whether an asset is several files."""
    several = len(asset.parameters.get("uris") or ()) > 1
    return several or bool(asset.parameters.get("template"))


def tiff_rows(asset: Asset) -> Rows:
    """Open a sequence of TIFF files, or one file of pages."""
    return _rows(asset, read_tiff)


def jpeg_rows(asset: Asset) -> Rows:
    """Open a sequence of JPEG files."""
    return _rows(asset, read_jpeg)


def npy_rows(asset: Asset) -> Rows:
    """Open a sequence of NPY files."""
    open_pages = partial(read_npy, hints=asset.hints)
    one = asset.uri.endswith(".npy") or asset.path.is_file()
    if not one and not asset.parameters.get("uris"):
        return _rows(asset, open_pages, NPY_TEMPLATE)
    return _rows(asset, partial(open_pages, rows=not is_numbered(asset)))


def _rows(
    asset: Asset, open_pages: Callable[[Path, int], Pages], template: str = ""
) -> Rows:
    announced = math.prod(asset.datum_shape) if asset.datum_shape else 0

    def open_file(path: Path) -> Pages:
        return open_pages(path, announced)

    if template or is_numbered(asset):
        return FileSequence(asset, open_file, template)
    return OneFile(asset.path, open_file(asset.path))


def _images_a_page(pages: Pages, hints: Hints) -> tuple[int, tuple[int, ...]]:
    """Count the images of a page, as a row of a dataset may hold several; and see one.

    Raises
    ------
    ReadError
        If its rows and columns can't be told.
    """
    shape = pages.shape
    if len(shape) < 3:
        return 1, shape
    image = tuple(shape[k] for k in place(shape, hints, last_is_colour=pages.colour))
    return max(math.prod(shape) // (math.prod(image) or 1), 1), image
