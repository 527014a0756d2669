"""Write one image as a TIFF that all tested programs read.

The pixels are one strip between a header and a directory, which are prepared once for
each shape and dtype. A file takes one system call to write.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from tiffin.array_images import too_large
from tiffin.dtypes import COMPLEX_ADVICE, TIFF_DTYPES, dtype_name, float_dtype_for
from tiffin.errors import DtypeError, ReadError, SettingsError
from tiffin.writers.codecs import Compression, check_compression, encode, worst_size
from tiffin.writers.profile import (
    PageInfo,
    Profile,
    Sidecar,
    note_and_date,
    tiff_page_of,
)
from tiffin.writers.profiles.plain import PROFILE as PLAIN
from tiffin.writers.tiff_layout import LARGEST, Prepared, around, prepare, size_around
from tiffin.writers.tiff_stack import TiffStack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.array_images import Encoded
    from tiffin.writers.checksums import Buffer

NO_METADATA: Mapping[str, Any] = {}

MOST_PREPARED = 64
"""For how many kinds of images header and directory are kept."""


@dataclass(frozen=True, slots=True)
class TiffWriter:
    """Writes each image as a TIFF file.

    Parameters
    ----------
    compression : {None, "zlib", "zstd", "lzw"}
        Most programs read zlib and LZW, few read zstd. There is no predictor.
    level : int, optional
        1 (fast) to 9 (small) for zlib, to 22 for zstd. By default the fastest encoder
        that is installed, such as that of the `isal` package for zlib.
    profile : Profile
        What the program that opens the files needs.

    Raises
    ------
    SettingsError
        If there is no such compression or level, or the profile has none.
    MissingLibraryError
        If zstd or LZW is requested and imagecodecs is not installed.

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
    _prepared: dict[tuple[Any, ...], Prepared] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    format: ClassVar[str] = "tiff"
    suffixes: ClassVar[tuple[str, ...]] = (".tif", ".tiff")
    options: ClassVar[tuple[str, ...]] = (
        *("compression", "level", "profile", "bigtiff"),
    )
    makes_folder: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_compression(self.compression, self.level)
        if self.compression not in self.profile.compressions:
            allowed = " or ".join(repr(each) for each in self.profile.compressions)
            message = (
                f"compression={self.compression!r} can't be read by "
                f"{self.profile.program}, for which profile={self.profile.name!r} is: "
                f"choose compression={allowed}, or "
                f"profile={self.profile.otherwise!r}"
            )
            raise SettingsError(message)

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave out what is prepared, in another process."""
        make = partial(
            TiffWriter,
            compression=self.compression,
            level=self.level,
            profile=self.profile,
        )
        return make, ()

    @property
    def most_frames(self) -> int | None:
        """How many images a file may hold: any number, if the profile holds stacks."""
        return None if self.profile.holds_stacks else 1

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes that the profile can hold."""
        return self.profile.dtypes

    @property
    def sidecar(self) -> Sidecar | None:
        """The file that the profile has beside each image."""
        return self.profile.sidecar

    def takes(self, codec: str | None) -> bool:
        """Return whether encoded pixels can be written as a strip without decoding.

        Parameters
        ----------
        codec : str or None
            None: plain little-endian pixels; ``"zlib"``: a zlib stream of them. With a
            level, the writer always encodes the pixels itself.
        """
        if codec is None:
            return self.compression is None
        is_free = self.level is None and self.profile.least is None
        return codec == "zlib" == self.compression and is_free

    def size(self, shape: tuple[int, ...], dtype: np.dtype) -> int | None:
        """Return the size of a file; None if it is compressed [bytes]."""
        return None if self.compression else file_size(shape, dtype)

    def buffers(
        self, image: np.ndarray | Encoded, metadata: Mapping[str, Any] = NO_METADATA
    ) -> list[Buffer]:
        """Return the file of an image as buffers: header, strip, gap, directory.

        The buffers can share memory with the image.

        Parameters
        ----------
        image : ndarray or Encoded, shape (rows, columns[, samples]) [counts]
            An array of a TIFF dtype, in any byte order and memory layout; or
            encoded pixels in a codec that the writer `takes`. Three samples are RGB,
            four are RGB and alpha.
        metadata : mapping
            Written as JSON to the private tag 65123, which other programs ignore. Its
            ``time`` (ISO 8601) is also written to the tag DateTime.

        Raises
        ------
        DtypeError
            If a TIFF can't store the image.
        ReadError
            If the encoded pixels are not those of such an image.
        """
        strip = self.strip(image)
        size = memoryview(strip).nbytes
        note, date = note_and_date(metadata)
        if size + len(note) + self.profile.pixels_at + 2048 > LARGEST:
            message = f"an image of {size} bytes is too large for a classic TIFF"
            raise DtypeError(message)
        kind = image.shape, image.dtype, size, bool(note), bool(date)
        prepared = self._prepared.get(kind)
        if prepared is None:
            info = PageInfo(image.shape, image.dtype.newbyteorder("<"), metadata)
            page = tiff_page_of(info, self.compression, self.profile)
            if self.compression or not self.profile.is_uniform:
                header, gap, end = around(page, size, note, date)
                return [header, strip, gap, end]
            if len(self._prepared) >= MOST_PREPARED:
                self._prepared.clear()
            prepared = self._prepared[kind] = prepare(page, *kind[2:])
        header, gap, end = prepared.around(note, date)
        return [header, strip, gap, end]

    def strip(self, image: np.ndarray | Encoded) -> Buffer:
        """Return the encoded pixels of an image. The errors are those of `buffers`."""
        little = _little_endian(image.shape, image.dtype)
        self._check_profile(image.shape, little)
        if isinstance(image, np.ndarray):
            pixels = np.ascontiguousarray(image, dtype=little)
            if self.profile.least is not None:
                self._check_least(pixels)
            return encode(pixels.data, self.compression, self.level)
        if image.dtype != little:
            message = f"encoded pixels of dtype {image.dtype} are not little-endian"
            raise DtypeError(message)
        self._check_strip(memoryview(image.data), image.shape, little)
        if self.profile.least is not None:  # and so they are not compressed
            self._check_least(np.frombuffer(image.data, little))
        return image.data

    def stack(self, descriptor: int, **options: Any) -> TiffStack:
        """Return what writes several images to one open file; see `TiffStack`."""
        return TiffStack(self, descriptor, **options)

    def _check_profile(self, shape: tuple[int, ...], dtype: np.dtype) -> None:
        profile, name = self.profile, dtype_name(dtype)
        if name not in profile.dtypes:
            wanted = f"dtype={profile.dtypes[0]!r}"
            if len(profile.dtypes) > 1:
                wanted = f"one of {', '.join(profile.dtypes)} with dtype="
            raise DtypeError(
                f"pixels of dtype {name} can't be read exactly by {profile.program}, "
                f"for which profile={profile.name!r} is: ask for "
                f"{wanted}, or choose profile={profile.otherwise!r}"
            )
        if len(shape) == 3 and name not in profile.colours:
            raise DtypeError(
                f"a colour image of dtype {name} can't be read by {profile.program}, "
                f"for which profile={profile.name!r} is: choose "
                f"profile={profile.otherwise!r}"
            )

    def _check_least(self, pixels: np.ndarray) -> None:
        profile = self.profile
        if profile.least is None or pixels.dtype.kind == "u":
            return
        found = pixels.min()
        if found < profile.least:
            raise DtypeError(
                f"a pixel of {found} can't be read exactly by {profile.program}, for "
                f"which profile={profile.name!r} is, and whose least value is "
                f"{profile.least}: correct with Threshold(low={profile.least}), or "
                f"choose profile='pilatus' or 'plain'"
            )

    def _check_strip(
        self, strip: memoryview, shape: tuple[int, ...], dtype: np.dtype
    ) -> None:
        wanted = math.prod(shape) * dtype.itemsize
        if self.compression is None and strip.nbytes != wanted:
            message = f"an encoded image must have {wanted} bytes, not {strip.nbytes}"
            raise ReadError(message)
        if self.compression == "zlib" and not _begins_as_zlib(strip):
            message = (
                f"the {strip.nbytes} bytes of an encoded image are not a zlib stream"
            )
            raise ReadError(message)


def file_size(
    shape: tuple[int, ...], dtype: np.dtype, compression: str | None = None
) -> int:
    """Return the size of the file of an image [bytes].

    With compression it depends on the pixels, and this is that of noise.
    """
    pixel_bytes = math.prod(shape) * dtype.itemsize
    if dtype.name not in TIFF_DTYPES or not pixel_bytes:
        return pixel_bytes
    strip_bytes = worst_size(pixel_bytes, compression)
    info = PageInfo(shape, dtype.newbyteorder("<"), NO_METADATA)
    around_it = size_around(tiff_page_of(info, compression, PLAIN))
    return around_it + strip_bytes + strip_bytes % 2


@lru_cache(maxsize=64)
def _little_endian(shape: tuple[int, ...], dtype: np.dtype) -> np.dtype:
    """Check that a TIFF can store an image; return its dtype in the file."""
    if dtype.name not in TIFF_DTYPES:
        raise DtypeError(_refusal(dtype))
    nbytes = math.prod(shape) * dtype.itemsize
    if not nbytes:
        message = f"an image of shape {shape} has no pixels"
        raise DtypeError(message)
    if len(shape) not in (2, 3):
        message = f"an image must have rows and columns, not shape {shape}"
        raise DtypeError(message)
    if len(shape) == 3 and shape[2] not in (3, 4):
        message = f"a colour image must have 3 or 4 samples, not {shape[2]}"
        raise DtypeError(message)
    large = too_large(shape, nbytes)
    if large is not None:
        raise DtypeError(large)
    return dtype.newbyteorder("<")


def _begins_as_zlib(strip: memoryview) -> bool:
    """Return whether there is a zlib header (RFC 1950): deflate, a multiple of 31."""
    first = bytes(strip.cast("B")[:2])
    return len(first) == 2 and first[0] & 15 == 8 and int.from_bytes(first) % 31 == 0


def _refusal(dtype: np.dtype) -> str:
    """Return why a TIFF can't store a dtype, and what to do."""
    if dtype.kind not in "biufc":
        return f"TIFF can't hold pixels of dtype {dtype}"
    problem = f"programs do not agree on TIFF files with pixels of dtype {dtype}"
    if dtype.kind == "c":
        return f"{problem}: {COMPLEX_ADVICE}"
    if dtype.kind == "b":
        return f"{problem}: dtype='uint8' writes 1 and 0 for true and false"
    if dtype.kind == "f":
        rounds = "holds" if dtype.itemsize < 4 else "rounds"
        return f"{problem}: dtype={float_dtype_for(dtype).name!r} {rounds} their values"
    name = "uint32" if dtype.kind == "u" else "int32"
    return (
        f"{problem}: choose one that holds all values, such as dtype={name!r}; it "
        f"must be one of {', '.join(TIFF_DTYPES)}"
    )
