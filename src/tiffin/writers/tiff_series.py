"""One image, one plain TIFF: the layout that every reader measured reads.

The pixels are one strip, as they are or encoded, between a header and a directory that
are prepared once for each shape and dtype, so that a file costs one gathered write.
"""

from __future__ import annotations

import json
import math
from dataclasses import KW_ONLY, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tiffin.array_images import too_large
from tiffin.dtypes import COMPLEX_ADVICE, float_dtype_for
from tiffin.errors import DtypeError, ReadError, SettingsError
from tiffin.writers.codecs import Compression, check_compression, encode, worst_size
from tiffin.writers.profile import TIFF_DTYPES, PageInfo, Profile
from tiffin.writers.profiles.plain import PROFILE as PLAIN
from tiffin.writers.tiff_layout import LARGEST, Page, around, size_around

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.array_images import Encoded
    from tiffin.writers.checksums import Buffer

__all__ = ["WRITABLE", "TiffWriter", "check_writable", "file_size", "note_and_date"]

WRITABLE = TIFF_DTYPES

NO_METADATA: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class TiffWriter:
    """Writes each image as a TIFF file of its own.

    Parameters
    ----------
    compression : {None, "zlib", "zstd", "lzw"}
        zlib and LZW are read everywhere, zstd by few programs. None uses a predictor.
    level : int, optional
        1 (fast) to 9 (small) for zlib, to 22 for zstd. Without it, the fastest encoder
        that is installed: for zlib that of the `isal` package.
    profile : Profile
        What the program that opens the files needs.

    Raises
    ------
    SettingsError
        If there is no such compression or level, or the profile has none.
    MissingLibraryError
        If zstd or LZW is asked for and imagecodecs is not installed.

    Examples
    --------
    >>> import tempfile, tifffile
    >>> from tiffin.writers import write_buffers
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     image = np.arange(6, dtype="u2").reshape(2, 3)
    ...     written = write_buffers(file.fileno(), TiffWriter().buffers(image))
    ...     tifffile.imread(file.name)
    array([[0, 1, 2],
           [3, 4, 5]], dtype=uint16)
    >>> written
    Written(nbytes=196, checksum='crc32:3ac44dee')
    """

    _: KW_ONLY
    compression: Compression | None = None
    level: int | None = None
    profile: Profile = PLAIN

    format: ClassVar[str] = "tiff"
    most_frames: ClassVar[int | None] = 1
    makes_folder: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_compression(self.compression, self.level)
        if self.compression not in self.profile.compressions:
            allowed = " or ".join(repr(each) for each in self.profile.compressions)
            message = (
                f"compression={self.compression!r} can't be read by "
                f"{self.profile.program}, for which profile={self.profile.name!r} is: "
                f"choose compression={allowed}, or another profile="
            )
            raise SettingsError(message)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes that the profile can hold."""
        return self.profile.dtypes

    def takes(self, codec: str | None) -> bool:
        """Return whether chunks of some codec may be passed through as strips.

        Parameters
        ----------
        codec : str or None
            None: plain little-endian pixels; ``"zlib"``: a zlib stream of them. A
            writer that was given a level encodes by itself.
        """
        if codec is None:
            return self.compression is None
        return codec == "zlib" == self.compression and self.level is None

    def buffers(
        self, image: np.ndarray | Encoded, metadata: Mapping[str, Any] = NO_METADATA
    ) -> list[Buffer]:
        """Return the file of an image as buffers: header, strip, gap, directory.

        They may share the memory of the image.

        Parameters
        ----------
        image : ndarray or Encoded, shape (rows, columns[, samples]) [counts]
            An array in one of the `WRITABLE` dtypes, in any byte order and memory
            layout; or the stream of one in a codec that the writer `takes`, which is
            not decoded. Three or four samples are a colour (RGB, or RGB and alpha).
        metadata : mapping
            Stands as JSON in the private tag 65123, which readers leave alone. Its
            ``time`` (ISO 8601) stands in the tag DateTime as well.

        Raises
        ------
        DtypeError
            If a TIFF that readers agree on can't hold the image.
        ReadError
            If an encoded stream is not of such an image.
        """
        little = _little_endian(image.shape, image.dtype)
        if little.name not in self.profile.dtypes:
            raise DtypeError(self._refusal(little))
        if isinstance(image, np.ndarray):
            pixels = np.ascontiguousarray(image, dtype=little)
            strip: Buffer = encode(pixels.data, self.compression, self.level)
        elif image.dtype == little:
            self._check_strip(memoryview(image.data), image.shape, little)
            strip = image.data
        else:
            message = f"encoded pixels of dtype {image.dtype} are not little-endian"
            raise DtypeError(message)
        size = memoryview(strip).nbytes
        note, date = note_and_date(metadata)
        if size + len(note) + 2048 > LARGEST:
            message = f"an image of {size} bytes is too large for a classic TIFF"
            raise DtypeError(message)
        info = PageInfo(image.shape, little, metadata)
        page = page_of(info, self.compression, self.profile)
        header, gap, end = around(page, size, note, date)
        return [header, strip, gap, end]

    def _refusal(self, dtype: np.dtype) -> str:
        profile = self.profile
        return (
            f"pixels of dtype {dtype.name} can't be read exactly by {profile.program}, "
            f"for which profile={profile.name!r} is: ask for one of "
            f"{', '.join(profile.dtypes)} with dtype=, or choose profile='plain'"
        )

    def _check_strip(
        self, strip: memoryview, shape: tuple[int, ...], dtype: np.dtype
    ) -> None:
        wanted = math.prod(shape) * dtype.itemsize
        if self.compression is None and strip.nbytes != wanted:
            message = f"{strip.nbytes} bytes are no image of {wanted}"
            raise ReadError(message)
        if self.compression == "zlib" and not _begins_as_zlib(strip):
            message = f"{strip.nbytes} bytes do not begin as a zlib stream"
            raise ReadError(message)


def page_of(info: PageInfo, compression: str | None, profile: Profile) -> Page:
    """Return what the directory of a page says, but for note and date."""
    tags = () if profile.tags is None else tuple(profile.tags(info))
    return Page(info.shape, info.dtype.str, compression, tags, profile.pixels_at)


def note_and_date(metadata: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Return metadata as JSON, and its time as TIFF has it."""
    note = json.dumps(metadata).encode() if metadata else b""
    date = str(metadata.get("time") or "")[:19]
    return note, date.replace("-", ":").replace("T", " ").encode()


def file_size(
    shape: tuple[int, ...], dtype: np.dtype, compression: str | None = None
) -> int:
    """Return how large the file of an image is [bytes]: compressed, at most.

    Parameters
    ----------
    shape : tuple of int
        (rows, columns), or (rows, columns, samples).
    dtype : numpy.dtype
    compression : {None, "zlib", "zstd", "lzw"}
        With one the size depends on the pixels: this is what noise would take.
    """
    pixel_bytes = math.prod(shape) * dtype.itemsize
    if dtype.name not in WRITABLE or not pixel_bytes:
        return pixel_bytes
    strip_bytes = worst_size(pixel_bytes, compression)
    info = PageInfo(shape, dtype.newbyteorder("<"), NO_METADATA)
    around_it = size_around(page_of(info, compression, PLAIN))
    return around_it + strip_bytes + strip_bytes % 2


def check_writable(image: np.ndarray) -> None:
    """Raise a `DtypeError` unless a TIFF can hold the image."""
    _little_endian(image.shape, image.dtype)


@lru_cache(maxsize=64)
def _little_endian(shape: tuple[int, ...], dtype: np.dtype) -> np.dtype:
    """Check that such an image fits a plain TIFF; give the dtype that it has there."""
    if dtype.name not in WRITABLE:
        raise DtypeError(_refusal(dtype))
    nbytes = math.prod(shape) * dtype.itemsize
    if not nbytes:
        message = f"an image of shape {shape} has no pixel"
        raise DtypeError(message)
    if len(shape) not in (2, 3):
        message = f"an image has rows and columns; this has shape {shape}"
        raise DtypeError(message)
    if len(shape) == 3 and shape[2] not in (3, 4):
        message = f"a colour has 3 or 4 samples, not {shape[2]}"
        raise DtypeError(message)
    large = too_large(shape, nbytes)
    if large is not None:
        raise DtypeError(large)
    return dtype.newbyteorder("<")


def _begins_as_zlib(strip: memoryview) -> bool:
    """Look for a zlib header (RFC 1950): deflate, and a multiple of 31."""
    first = bytes(strip.cast("B")[:2])
    return len(first) == 2 and first[0] & 15 == 8 and int.from_bytes(first) % 31 == 0


def _refusal(dtype: np.dtype) -> str:
    """Say why there is no TIFF of such pixels, and what to do where that helps."""
    if dtype.kind not in "biufc":
        return f"no TIFF holds pixels of dtype {dtype}"
    told = f"pixels of dtype {dtype} have no TIFF that readers agree on"
    if dtype.kind == "c":
        return f"{told}: {COMPLEX_ADVICE}"
    if dtype.kind == "b":
        return f"{told}: they are true and false; dtype='uint8' makes 1 and 0 of them"
    if dtype.kind == "f":
        rounds = "holds" if dtype.itemsize < 4 else "rounds"
        return f"{told}: dtype={float_dtype_for(dtype).name!r} {rounds} their values"
    name = "uint32" if dtype.kind == "u" else "int32"
    return (
        f"{told}: ask for one that holds every value, as in dtype={name!r}; there are "
        f"{', '.join(WRITABLE)}"
    )
