"""Compress the pixels of a strip with zlib, zstd or LZW.

There is no predictor, because ImageJ misreads files with one, and photon counts become
larger with it.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, Literal

from tiffin.errors import SettingsError, did_you_mean, optional_import

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.writers.checksums import Buffer

Compression = Literal["zlib", "zstd", "lzw"]
COMPRESSIONS = ("zlib", "zstd", "lzw")

_LEVELS = {"zlib": range(1, 10), "zstd": range(1, 23)}

_ISAL_LEVEL = 1
"""The level of ISA-L, from 0 to 3."""


def check_compression(compression: str | None, level: int | None) -> None:
    """Raise a `SettingsError` if there is no such compression or level.

    Raise a `MissingLibraryError` if the library for it is not installed.
    """
    if compression is not None and compression not in COMPRESSIONS:
        hint = did_you_mean(str(compression), COMPRESSIONS)
        message = (
            f"compression must be one of {', '.join(COMPRESSIONS)} or None, "
            f"not {compression!r}{hint}"
        )
        raise SettingsError(message)
    if level is not None:
        _check_level(compression, level)
    if compression in ("zstd", "lzw"):
        _imagecodecs(compression)


def _check_level(compression: str | None, level: object) -> None:
    levels = _LEVELS.get(compression) if compression else None
    if levels is None:
        message = f"can't be {level!r}: compression={compression!r} has no levels"
        raise SettingsError(message, setting="level")
    if isinstance(level, bool) or not isinstance(level, int) or level not in levels:
        message = (
            f"must be {levels[0]} (fast) to {levels[-1]} (small) for "
            f"{compression}, not {level!r}"
        )
        raise SettingsError(message, setting="level")


def encode(
    pixels: memoryview, compression: Compression | None, level: int | None
) -> Buffer:
    """Compress the pixels of one strip, which are contiguous and little-endian.

    Without a level, the fastest is used, with ISA-L if the `isal` package is installed.
    """
    if compression is None:
        return pixels
    if compression == "zlib":
        return _fast_zlib(pixels) if level is None else zlib.compress(pixels, level)
    return _imagecodecs(compression)(pixels, level)


def worst_size(nbytes: int, compression: str | None) -> int:
    """Return the largest size of a compressed strip [bytes].

    LZW needs up to 12 bits for each byte of noise; zlib and zstd store such blocks
    without compression.
    """
    if compression is None:
        return nbytes
    if compression == "lzw":
        return nbytes + nbytes // 2 + 16
    return nbytes + nbytes // 256 + 1024


def _imagecodecs(compression: str) -> Callable[[memoryview, int | None], Buffer]:
    why = f"compression={compression!r} needs the imagecodecs package"
    with optional_import(why, extra="compression"):
        import imagecodecs
    codecs: Any = imagecodecs  # its type hints lack memoryview
    if compression == "lzw":
        return lambda pixels, _: codecs.lzw_encode(pixels)
    return lambda pixels, level: codecs.zstd_encode(pixels, level=level or 1)


def _find_fast_zlib() -> Callable[[memoryview], bytes]:
    try:
        from isal.isal_zlib import compress
    except ImportError:
        return lambda pixels: zlib.compress(pixels, 1)
    return lambda pixels: compress(pixels, _ISAL_LEVEL)


_fast_zlib = _find_fast_zlib()
