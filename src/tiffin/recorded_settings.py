"""The settings of an export, as its manifests have them."""

from __future__ import annotations

import json
import reprlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.engine import manifests_in, read_manifest
from tiffin.errors import TiffinError, VerifyError
from tiffin.export import settings_of
from tiffin.settings import Settings, resume_settings

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    from tiffin.engine import ManifestFile

LONGEST_REASON = 2000
"""How many characters of an error in a manifest are shown."""

MEANS_NONE = ("streams", "metadata")
"""Settings for which None in a manifest is not the default, but None."""


def recorded_settings(
    folder: str | os.PathLike[str], *, follow_links: bool = False, **others: Any
) -> Settings:
    """Return the settings of the export that wrote to a folder.

    Parameters
    ----------
    folder : path
        The root folder of the export.
    follow_links : bool
        Whether files and subfolders may be links.
    **others
        Settings that a manifest does not have.

    Raises
    ------
    SourceError
        If there is no manifest.
    VerifyError
        If the export had corrections, because their arguments are not in the manifest;
        or if the manifests have different or invalid settings, or can't be read.
    """
    root = Path(folder).absolute()
    recorded = _last_settings(root)
    corrections = recorded.get("corrections")
    if corrections != []:
        message = (
            f"the files were corrected ({reprlib.repr(corrections)}), and the manifest "
            f"has not all that is needed to do it again: repeat the command of the "
            f"export with --existing resume"
        )
        raise VerifyError(message)
    return _checked(recorded, root, {"follow_links": follow_links, **others})


def recorded_runs(folder: str | os.PathLike[str]) -> list[str]:
    """Return the uids of the runs that an export into a folder has begun."""
    return [manifest.run for manifest in _manifests(Path(folder).absolute())]


def _manifests(root: Path) -> Iterator[ManifestFile]:
    for path in manifests_in(root):
        try:
            manifest = read_manifest(path)
        except OSError as error:
            message = f"{path} can't be read: {error.strerror or error}"
            raise VerifyError(message) from error
        yield manifest


def _last_settings(root: Path) -> Mapping[str, Any]:
    """Return the settings in the manifests, which must all be the same."""
    recorded, is_one_export = [], True
    for manifest in _manifests(root):
        recorded += list(manifest.settings.values())[-1:]
        is_one_export = is_one_export and _is_one_export(manifest)
    if not recorded:
        message = f"no manifest of {root} has the settings of an export"
        raise VerifyError(message)
    images = [{**settings, "sidecars": None, "report": None} for settings in recorded]
    if not is_one_export or any(settings != images[0] for settings in images):
        message = (
            f"{root} has exports with different settings: repeat the command of each "
            f"with --existing resume, which checks its files and writes what is missing"
        )
        raise VerifyError(message)
    return max(recorded, key=_number_beside)


def _is_one_export(manifest: ManifestFile) -> bool:
    """Whether the last export of a run could have written all files that are listed."""
    *_, last = manifest.settings.values() or [{}]
    used = [line.get("settings") for line in manifest.files.values()]
    return all(
        settings.get(key) == last.get(key)
        for name, settings in manifest.settings.items()
        if name in used
        for key in ("template", *resume_settings())
    )


def _number_beside(settings: Mapping[str, Any]) -> int:
    """Return how many kinds of files an export writes beside its images."""
    sidecars = settings.get("sidecars")
    return (len(sidecars) if isinstance(sidecars, list) else 0) + bool(
        settings.get("report")
    )


def _checked(
    recorded: Mapping[str, Any], root: Path, others: Mapping[str, Any]
) -> Settings:
    """Return settings of a manifest; refuse what no export has recorded."""
    names = settings_of(Settings.of("{i}.tif")).keys() - {"corrections"}
    chosen: dict[str, Any] = {
        name: recorded.get(name)
        for name in names
        if recorded.get(name) is not None or name in MEANS_NONE
    }
    try:
        settings = Settings.of(
            **{"template": None, **chosen}, directory=root, on_error="report", **others
        )
    except TiffinError as error:
        message = f"the manifests of {root} have a setting that is not valid: {error}"
        raise VerifyError(message[:LONGEST_REASON]) from error
    same = json.loads(json.dumps(settings_of(settings)))
    for name, value in chosen.items():
        if value != same[name]:
            message = (
                f"the manifests of {root} have a setting that is not valid: {name} is "
                f"{reprlib.repr(value)}"
            )
            raise VerifyError(message)
    return settings
