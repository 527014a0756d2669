"""Whether two images were taken alike, as far as configurations tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tiffin.corrections.step import Reference
    from tiffin.frames import Frame

__all__ = ["Difference", "configuration_of", "difference_of"]

COMPARED = {
    "exposure": ("exposure", "acquire_time", "count_time", "integration_time"),
    "gain": ("gain",),
    "binning": ("bin_x", "bin_y", "binning"),
}
"""What must be the same for light and dark: parts of a configuration's keys."""


class Difference(NamedTuple):
    """In what light and dark were taken otherwise."""

    what: str
    key: str
    light: Any
    dark: Any

    @property
    def told(self) -> str:
        """Both values."""
        return f"{self.key} is {self.light!r} for the light, {self.dark!r} for the dark"

    @property
    def waived(self) -> str:
        """How to take the dark all the same."""
        return f"allow=({self.what!r},) takes it all the same"


def difference_of(
    light: Frame, dark: Reference, allow: Collection[str]
) -> Difference | None:
    """Return in what a dark was taken otherwise than a light, if that counts.

    Parameters
    ----------
    light : Frame
    dark : Reference
    allow : collection of str
        What may differ: a name of `COMPARED`, or a key of a configuration.

    Returns
    -------
    Difference or None
        The first; None if they were taken alike, as far as both tell.
    """
    told = configuration_of(light.descriptor, light.field)
    for what, parts in COMPARED.items():
        for key in sorted(told.keys() & dark.configuration.keys()):
            counts = any(part in key for part in parts) and not {what, key} & set(allow)
            if counts and not _equal(told[key], dark.configuration[key]):
                return Difference(what, key, told[key], dark.configuration[key])
    return None


def configuration_of(
    descriptor: Mapping[str, Any], field: str | None
) -> Mapping[str, Any]:
    """Return the configuration of the device that gives a field.

    Parameters
    ----------
    descriptor : mapping
    field : str or None
    """
    devices = descriptor.get("configuration") or {}
    keys = descriptor.get("object_keys") or {}
    own = [name for name in devices if field in (keys.get(name) or ())]
    found: dict[str, Any] = {}
    for name in own or list(devices):
        found |= (devices[name] or {}).get("data") or {}
    return found


def _equal(one: Any, other: Any) -> bool:
    return bool(np.array_equal(np.asarray(one), np.asarray(other)))
