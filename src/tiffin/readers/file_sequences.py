"""Stream resources as files of images: numbered files, or one with many pages."""

from __future__ import annotations

import math
import re
from functools import partial
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING

from tiffin.axes import place
from tiffin.display import count_text
from tiffin.errors import NotYetError, ReadError, TiffinError
from tiffin.readers.caches import OpenFileCache
from tiffin.readers.event_index import files_per_event, images_per_event
from tiffin.readers.file_checks import check_regular
from tiffin.readers.image_files import read_jpeg, read_npy, read_tiff
from tiffin.readers.rows import refuse_negative

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from tiffin.axes import ArrayHints
    from tiffin.readers.hdf5 import Hdf5Rows
    from tiffin.readers.rows import Asset, FixedRows, RawImage, Rows

NPY_TEMPLATE = "%s_%d.npy"
"""NPY files have always been numbered like this; many documents leave it out."""

# Widths have three digits at most: a template must not make names of megabytes.
_PERCENT = re.compile(r"%s|%[-+#0 ]*\d{0,3}(?:\.\d{1,3})?d")
_SPEC = re.compile(r"(?:.?[<>=^])?[-+ ]?#?0?\d{0,3}[,_]?d?")


class FileSequence:
    """Numbered files of equally many pages; row k is the k-th page of them all.

    The parameters say how many files an event has; else the first file that is read
    tells. A file with another number of pages is refused: all later images would be
    assigned to the wrong events. The asset has a ``template``, such as
    ``"ad_{:06d}.tiff"`` or ``"%s_%5.5d.tif"``, or ``uris``, the list of files.
    """

    def __init__(
        self,
        asset: Asset,
        open_file: Callable[[Path], FixedRows | Hdf5Rows],
        template: str = "",
    ) -> None:
        self._asset = asset
        self._open_file = open_file
        self._template = str(asset.parameters.get("template") or template)
        self._uris = [str(uri) for uri in asset.parameters.get("uris") or ()]
        self._files: OpenFileCache[FixedRows | Hdf5Rows] = OpenFileCache(2)
        self._files_per_event: int | None = None
        self._pages_per_file = 0
        self._rows_per_event = 0
        self._shape: tuple[int, ...] = ()
        self.colour = False

    def span(self, index: int) -> tuple[int, int]:
        """Return the first row of an event, and how many rows it has."""
        # The file with the event's own number exists, however many an event has.
        self._ensure_measured(index)
        return index * self._rows_per_event, self._rows_per_event

    def row_shape(self, row: int) -> tuple[int, ...]:
        """Return the shape of one image; its file must exist."""
        self._ensure_measured()
        self._existing_path(row // self._pages_per_file)
        return self._shape

    def read(self, row: int) -> np.ndarray:
        """Read one image."""
        pages, page = self._page(row)
        return pages.read(page)

    def stored(
        self, where: tuple[int, ...], takes: Callable[[str | None], bool] | None = None
    ) -> RawImage | None:
        """Return an image as it is stored, if the reader of the files can."""
        pages, page = self._page(where[0])
        stored: Callable[..., RawImage | None] | None
        stored = getattr(pages, "stored", None)
        return None if stored is None else stored((page, *where[1:]), takes)

    def close(self) -> None:
        """Close the files."""
        self._files.close()

    def _page(self, row: int) -> tuple[FixedRows | Hdf5Rows, int]:
        self._ensure_measured()
        number, page = divmod(row, self._pages_per_file)
        pages = self._file(number)
        self._check(number, pages)
        return pages, page

    def _ensure_measured(self, number: int = 0) -> None:
        """Find out from one file how the images are spread over all of them."""
        if self._rows_per_event:
            return
        pages, parameters = self._file(number), self._asset.parameters
        declared, count = self._asset.datum_shape, len(pages)
        per_page, image = _images_in_page(pages, self._asset.hints)
        files = files_per_event(declared, parameters, colour=pages.colour)
        self._files_per_event = files
        candidates = images_per_event(declared, image)
        candidates = candidates or (count * per_page * (files or 1),)
        for images in candidates:
            rows, rest = divmod(images, per_page)
            needed = files or rows // max(count, 1)
            if needed and not rest and rows == needed * count:
                self._rows_per_event, self._pages_per_file = rows, count
                self._shape, self.colour = pages.shape, pages.colour
                return
        raise self._contradiction(number, count * per_page, candidates)

    def _contradiction(
        self, number: int, images: int, candidates: tuple[int, ...]
    ) -> TiffinError:
        declared = " or ".join(map(str, candidates))
        files = self._files_per_event
        in_files = f" in {count_text(files, 'file')}" if files else ""
        message = (
            f"{self._path(number)} holds {count_text(images, 'image')}, but an "
            f"event has {declared}{in_files}"
        )
        if images * (files or 1) < min(candidates):
            return NotYetError(f"{message}: it is not complete (yet)")
        return ReadError(f"{message}: it is not known which of them are an event's")

    def _check(self, number: int, pages: FixedRows | Hdf5Rows) -> None:
        count, expected = len(pages), self._pages_per_file
        if count == expected and len(pages.shape) == len(self._shape):
            return
        message = (
            f"{self._path(number)} holds {count_text(count, 'image')} of "
            f"{len(pages.shape)} axes, not {expected} of {len(self._shape)}"
        )
        # The file that was measured may have been incomplete itself.
        if count < expected or not self._files_per_event:
            raise NotYetError(f"{message}: it is not like the others (yet)")
        raise ReadError(message)

    def _file(self, number: int) -> FixedRows | Hdf5Rows:
        return self._files.get(
            number, lambda: self._open_file(self._existing_path(number))
        )

    def _existing_path(self, number: int) -> Path:
        path, uri, hint = self._path(number), self._asset.uri, ""
        if not (self._uris or uri.endswith("/") or path.parent == self._asset.path):
            hint = (
                f"; the URI {uri!r} has no '/' at its end, so the template "
                f"{self._template!r} continues its last name"
            )
        check_regular(path, hint=hint)
        return path

    def _path(self, number: int) -> Path:
        refuse_negative(number, self._asset.path)
        locate, uri = self._asset.locate, self._asset.uri
        if self._uris:
            if number >= len(self._uris):
                message = (
                    f"the resource lists {len(self._uris)} files, no {number + 1}th"
                )
                raise ReadError(message)
            return locate(self._uris[number]) if locate else Path(self._uris[number])
        prefix = str(self._asset.parameters.get("filename") or "")
        name = file_name(self._template, number, prefix)
        if number and name == file_name(self._template, 0, prefix):
            message = (
                f"the template {self._template!r} has no number: it names one file, "
                f"which can't hold the images of every event"
            )
            raise ReadError(message)
        if locate is None:
            return self._asset.path / name.lstrip("/")
        # The template may continue the URI's last component, as in "…/uid" + "_1.npy".
        return locate(uri + (name.lstrip("/") if uri.endswith("/") else name))


def tiff_rows(asset: Asset) -> Rows:
    """Open a sequence of TIFF files, or one file of pages."""
    return _rows(asset, read_tiff)


def jpeg_rows(asset: Asset) -> Rows:
    """Open a sequence of JPEG files."""
    return _rows(asset, read_jpeg)


def npy_rows(asset: Asset) -> Rows:
    """Open a sequence of NPY files, or one file."""
    open_pages = partial(read_npy, hints=asset.hints)
    is_one = asset.uri.endswith(".npy") or asset.path.is_file()
    if not is_one and not asset.parameters.get("uris"):
        return _rows(asset, open_pages, NPY_TEMPLATE)
    return _rows(asset, partial(open_pages, rows=not _is_sequence(asset)))


def file_name(template: str, number: int, prefix: str = "") -> str:
    """Return the name of a numbered file.

    The template is for `str.format`, for C's ``printf``, or for both. Its first
    ``%s`` is the prefix; further ones (C's folder) are left out.

    Examples
    --------
    >>> file_name("ad_{:06d}.tiff", 7), file_name("%s%s_%6.6d.tiff", 7, "scan")
    ('ad_000007.tiff', 'scan_000007.tiff')
    >>> file_name("{filename}_{:>04d}{{a}}.tiff", 7, "scan")
    'scan_0007{a}.tiff'
    """
    strings = [prefix]

    def percent(match: re.Match[str]) -> str:
        if match[0] == "%s":
            return strings.pop() if strings else ""
        return match[0] % number

    def field(name: str, spec: str) -> str:
        if name == "filename" and not spec:
            return prefix
        if spec == "s" and not name:
            return strings.pop() if strings else ""
        if name not in ("", "0") or not _SPEC.fullmatch(spec):
            raise ValueError(f"{{{name}:{spec}}}")
        return format(number, spec)

    text = ""
    try:
        for literal, name, spec, conversion in Formatter().parse(template):
            text += _PERCENT.sub(percent, literal)
            if name is not None:
                text += field(name + (conversion or ""), spec or "")
    except ValueError as error:
        message = f"the template {template!r} can't number files: {error}"
        raise ReadError(message) from error
    return text


def _is_sequence(asset: Asset) -> bool:
    several = len(asset.parameters.get("uris") or ()) > 1
    return several or bool(asset.parameters.get("template"))


def _rows(
    asset: Asset, open_pages: Callable[[Path, int], FixedRows], template: str = ""
) -> Rows:
    declared = math.prod(asset.datum_shape) if asset.datum_shape else 0

    def open_file(path: Path) -> FixedRows:
        return open_pages(path, declared)

    if template or _is_sequence(asset):
        return FileSequence(asset, open_file, template)
    return open_file(asset.path)


def _images_in_page(
    pages: FixedRows | Hdf5Rows, hints: ArrayHints
) -> tuple[int, tuple[int, ...]]:
    """Return how many images a page holds, and the shape of one."""
    shape = pages.shape
    if len(shape) < 3:
        return 1, shape
    image = tuple(shape[k] for k in place(shape, hints, last_is_colour=pages.colour))
    return max(math.prod(shape) // (math.prod(image) or 1), 1), image
