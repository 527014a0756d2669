"""Find output formats and profiles by name: those of tiffin and of plug-ins."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.errors import SettingsError, did_you_mean
from tiffin.writers.tiff_series import TiffWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiffin.writers.codecs import Compression
    from tiffin.writers.profile import Profile
    from tiffin.writers.protocol import Writer
    from tiffin.writers.stretch import Stretch


class WriterOptions(NamedTuple):
    """The settings of files, for all formats.

    Attributes
    ----------
    compression : str or None
    level : int or None
    profile : str
    bigtiff : bool
    stretch : str or None
    """

    compression: Compression | None = None
    level: int | None = None
    profile: str = "plain"
    bigtiff: bool = False
    stretch: Stretch | None = None


OTHER_WORDS = {
    "fiji": "imagej",
    **dict.fromkeys(
        ("ome-tiff", "bioformats", "bio-formats", "omero", "napari"), "ome"
    ),
    "dectris": "pilatus",
    **dict.fromkeys(("pyfai", "dioptas", "silx", "fabio", "tiff"), "plain"),
    "jpg": "",
}
"""What people write for a profile or a format; "" if there is nothing like it."""


def make_writer(name: str, options: WriterOptions) -> Writer:
    """Return the writer of a format.

    The entry points of the group ``tiffin.formats`` add formats: each is called with
    `WriterOptions` and returns a `Writer`.

    Raises
    ------
    SettingsError
        If there is no such format, or it does not support the options.
    """
    writer: Writer = _found("format", name, OWN_FORMATS)(options)
    missing = [member for member in MEMBERS if not hasattr(writer, member)]
    if missing:
        message = f"{name!r} of a plug-in has no {', '.join(missing)}: it is too old"
        raise SettingsError(message, setting="format")
    for option, default in WriterOptions._field_defaults.items():
        value = getattr(options, option)
        if value != default and option not in writer.options:
            message = f"{option}={value!r} is not for format={name!r}: leave it out"
            others = [f"format={other!r}" for other in _formats_with(option)]
            message += f", or choose {' or '.join(others)}" if others else ""
            raise SettingsError(message)
    if writer.makes_folder:
        message = f"format={name!r} makes folders, which tiffin can't write yet"
        raise SettingsError(message)
    return writer


def _formats_with(option: str) -> list[str]:
    """Return those of tiffin's formats that have an option."""
    makers = OWN_FORMATS.items()
    return [name for name, make in makers if option in make(WriterOptions()).options]


def format_of(suffix: str) -> str | None:
    """Return the format whose files have names with such an ending, if it is known."""
    name = {".tif": "tiff"}.get(suffix.lower(), suffix[1:].lower())
    return name if name in OWN_FORMATS or name in _plug_ins("tiffin.formats") else None


def find_profile(name: str) -> Profile:
    """Return the profile of a name.

    The entry points of the group ``tiffin.profiles`` add profiles: each is a `Profile`.

    Raises
    ------
    SettingsError
        If there is no such profile.
    """
    found = _found("profile", name, OWN_PROFILES)
    if isinstance(found, str):
        found = import_module(found).PROFILE
    profile: Profile = found
    return profile


def _tiff(options: WriterOptions) -> Writer:
    profile = find_profile(options.profile)
    if options.bigtiff and not profile.holds_bigtiff:
        message = (
            f"bigtiff=True can't be read by {profile.program}, for which "
            f"profile={profile.name!r} is: leave it out, and a stack goes on in a new "
            f"file before 4 GiB, or choose profile={profile.otherwise!r}"
        )
        raise SettingsError(message)
    return TiffWriter(
        compression=options.compression, level=options.level, profile=profile
    )


def _png(options: WriterOptions) -> Writer:
    from tiffin.writers.png_file import PngWriter

    return PngWriter(level=options.level, stretch=options.stretch)


def _npy(_options: WriterOptions) -> Writer:
    from tiffin.writers.npy_file import NpyWriter

    return NpyWriter()


OWN_FORMATS: Mapping[str, Callable[[WriterOptions], Writer]] = {
    "tiff": _tiff,
    "png": _png,
    "npy": _npy,
}
"""Name → what an entry point of a plug-in is: looking one up would take longer."""

MEMBERS = (
    *("format", "suffixes", "options", "dtypes", "most_frames", "makes_folder"),
    *("takes", "buffers", "size"),
)
"""What each `Writer` has."""

OWN_PROFILES: Mapping[str, str] = {
    "plain": "tiffin.writers.profiles.plain",
    "imagej": "tiffin.writers.profiles.imagej",
    "ome": "tiffin.writers.profiles.ome",
    "gsas2": "tiffin.writers.profiles.gsas2",
    "areadetector": "tiffin.writers.profiles.areadetector",
    "pilatus": "tiffin.writers.profiles.pilatus",
}
"""Name → module that has it as ``PROFILE``, imported when it is asked for."""


@lru_cache(64)
def _plug_ins(group: str) -> dict[str, Any]:
    return {found.name: found for found in entry_points(group=group)}


def names_of(what: str) -> list[str]:
    """Return the names of all formats, or profiles; those of plug-ins come last."""
    own: Mapping[str, Any] = {"format": OWN_FORMATS, "profile": OWN_PROFILES}[what]
    return [*own, *_plug_ins(f"tiffin.{what}s")]


def _found(what: str, name: str, own: Mapping[str, Any]) -> Any:
    if name in own:
        return own[name]
    plug_ins = _plug_ins(f"tiffin.{what}s")
    if name in plug_ins:
        try:
            return plug_ins[name].load()
        except (ImportError, AttributeError) as error:
            message = f"{name!r} of a plug-in can't be loaded: {error}"
            raise SettingsError(message, setting=what) from error
    names = names_of(what)
    message = f"must be one of {', '.join(map(repr, names))}, not {name!r}"
    word = str(name).lower()
    meant = word if word in names else OTHER_WORDS.get(word, str(name))
    hint = did_you_mean(meant, names, list_all=False)
    raise SettingsError(message + hint, setting=what)
