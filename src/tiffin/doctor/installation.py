"""Check what is installed: each extra, and what it is for."""

from __future__ import annotations

import os
import platform
import re
from importlib.metadata import PackageNotFoundError, requires, version

from tiffin.doctor.check_result import CheckResult

EXTRAS = {
    "tiled": "runs of a Tiled server",
    "databroker": "runs of databroker, and files that area detectors wrote",
    "hdf5": "images in HDF5 files",
    "files": "msgpack files of documents, and folders of databroker-pack",
    "compression": "faster zlib; zstd, LZW, JPEG and others in TIFF files",
    "dask": "bulk exports on a Dask cluster",
    "service": "tiffin serve, with its page and listeners",
    "kafka": "tiffin serve with messages of Kafka",
    "demo": "a RunEngine with simulated devices",
    "all": "all of these, and Zarr and JPEG files",
}
"""Extra → what it is for."""

REQUIREMENT = re.compile(
    r"(?P<name>[\w.-]+)(?:\[.*?\])?(?:>=(?P<least>[\d.]+))?[^;]*;"
    r""".*\bextra == ['"](?P<extra>\w+)['"]"""
)
"""A requirement of an extra, as the metadata of a package writes it."""


def check_installation() -> list[CheckResult]:
    """Return what is installed, and what is missing."""
    cores = os.cpu_count() or 1
    here = (
        f"tiffin {version('tiffin')}, Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}, {cores} cores"
    )
    return [CheckResult("installation", "ok", here), *map(_of_extra, EXTRAS)]


def _of_extra(extra: str) -> CheckResult:
    purpose = EXTRAS[extra]
    installed, missing = [], []
    packages = _packages(extra)
    if extra == "all":
        others = {
            name for other in EXTRAS if other != extra for name in _packages(other)
        }
        packages = {name: packages[name] for name in packages.keys() - others}
    for name, least in sorted(packages.items()):
        try:
            found = version(name)
        except PackageNotFoundError:
            missing.append(name)
            continue
        if _numbers(found) < _numbers(least):
            missing.append(f"{name} {least}, not {found}")
        installed.append(f"{name} {found}")
    if not missing:
        text = f"{extra}: {purpose} ({', '.join(installed)})"
        return CheckResult("installation", "ok", text)
    text = f"{extra}: {purpose}; missing: {', '.join(missing)}"
    todo = f"if you need it: pip install 'tiffin[{extra}]'"
    return CheckResult("installation", "note", text, todo)


def _packages(extra: str) -> dict[str, str]:
    """Return the packages of an extra, with the version that each needs at least."""
    found = map(REQUIREMENT.match, requires("tiffin") or ())
    return {
        each["name"]: each["least"] or "0"
        for each in found
        if each and each["extra"] == extra and each["name"] != "tiffin"
    }


def _numbers(version_text: str) -> tuple[int, ...]:
    """Return the release of a version.

    Examples
    --------
    >>> _numbers("2.0.12rc1"), _numbers("2026.3")
    ((2, 0, 12), (2026, 3))
    """
    release = re.match(r"\d+(\.\d+)*", version_text)
    return tuple(map(int, release[0].split("."))) if release else ()
