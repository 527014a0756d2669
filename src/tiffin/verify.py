"""Look at exported files again: they are there, whole, and what the run gives."""

from __future__ import annotations

import os
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tiffin.engine import FOLDER, ManifestFile, manifests_in, read_manifest
from tiffin.errors import SourceError, VerifyError
from tiffin.export import replay
from tiffin.folders import Folders
from tiffin.settings import Settings
from tiffin.sources import open_source
from tiffin.writers import WRITABLE, checksum_of, difference, is_leftover

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiffin.records import Report

__all__ = ["Finding", "Verification", "checksums", "compare", "verify"]

State = Literal[
    "whole", "missing", "damaged", "unreadable", "refused", "foreign", "leftover"
]

WRONG: tuple[State, ...] = ("missing", "damaged", "unreadable", "refused")
"""What no exported file, and no line of a manifest, should be."""


MOST = 10
"""So many findings are told in one message."""

LONGEST_REASON = 2000
"""More characters of what a manifest says of a failure are not shown."""

LONGEST = 2**16
"""Settings of more characters are not taken from a manifest."""

TOLD: dict[str, tuple[type, ...]] = {
    "template": (str,),
    "fields": (list, type(None)),
    "streams": (list, type(None)),
    "corrections": (list,),
    "dtype": (str, type(None)),
    "compression": (str, type(None)),
    "timezone": (str, type(None)),
    "name_policy": (str,),
    "replacements": (dict,),
    "colour": (list,),
    "axes": (dict, type(None)),
    "first": (int, type(None)),
    "frames": (str, type(None)),
    "repeats": (str, type(None)),
}
"""The settings in a manifest that an export is named again with, and their types."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one file was found to be.

    Attributes
    ----------
    path : pathlib.Path
        Absolute.
    state : str
        ``"whole"``: listed, and as it was written. ``"missing"``, ``"damaged"``,
        ``"unreadable"``: listed, and not as it was; or a manifest that can't be read.
        ``"refused"``: a manifest with a line that can't be right, which `reason` tells
        with its number. ``"foreign"``: no manifest lists it. ``"leftover"``: begun by
        an export that died.
    reason : str
    """

    path: Path
    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """What a folder of exported files was found to be.

    Attributes
    ----------
    findings : tuple of Finding
        Listed files in the order of the manifests, then the others.
    failed : tuple of str
        What the manifests say was not exported, unless it was later.
    """

    findings: tuple[Finding, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether something is listed, and all of it is whole."""
        listed = [f for f in self.findings if f.state not in ("foreign", "leftover")]
        return bool(listed) and all(finding.state == "whole" for finding in listed)

    def of(self, *states: State) -> tuple[Finding, ...]:
        """Return the findings of some states."""
        return tuple(f for f in self.findings if f.state in states)

    def __str__(self) -> str:
        counts = ", ".join(
            f"{len(self.of(state))} {state}"
            for state in ("whole", *WRONG, "foreign", "leftover")
            if self.of(state) or state == "whole"
        )
        return counts + (f"; {len(self.failed)} never exported" if self.failed else "")


def verify(
    folder: str | os.PathLike[str], *, follow_links: bool = False
) -> Verification:
    """Check every file that the manifests of a folder list.

    Each must be there, have its size, and its checksum, which stands for its pixels and
    everything else in it. What no manifest lists is told as well. Only regular files
    below the folder are read, whatever a manifest says.

    Parameters
    ----------
    folder : path
        The root of an export: it holds ``.tiffin``.
    follow_links : bool
        Whether files, and folders below this one, may be links.

    Returns
    -------
    Verification

    Raises
    ------
    SourceError
        If there is no manifest.

    Examples
    --------
    >>> import tempfile, numpy as np, tiffin
    >>> from tiffin.testing import run_of
    >>> out = tempfile.mkdtemp()
    >>> run = run_of({"img": np.ones((2, 6, 9), "u2")}, scan_id=7)
    >>> report = tiffin.export(run, "{event.seq_num}.tif", directory=out)
    >>> _ = (Path(out) / "2.tif").write_bytes(b"damage")
    >>> found = tiffin.verify(out)
    >>> print(found)
    1 whole, 1 damaged
    """
    root = Path(folder).absolute()
    folders = Folders(os.fspath(root), follow_links)
    listed: dict[str, Mapping[str, Any]] = {}
    failed: dict[str, str] = {}
    findings: list[Finding] = []
    for path in _manifests(root):
        manifest = _read(path, findings)
        listed |= manifest.files
        for line in manifest.failed:
            name = line["path"] or f"event {line['frames'][0][0]}"
            failed[name] = f"{name}: {line.get('error')}"[:LONGEST_REASON]
    findings += [_checked(folders, name, line) for name, line in listed.items()]
    findings += _others(root, listed.keys())
    return Verification(
        tuple(findings),
        tuple(text for name, text in failed.items() if name not in listed),
    )


def compare(
    folder: str | os.PathLike[str], source: Any, *, follow_links: bool = False
) -> Report:
    """Compare exported files with the run itself, byte for byte.

    The run is read and named again with the settings that the manifest tells, and
    nothing is written.

    Parameters
    ----------
    folder : path
        The root of the export.
    source : object
        Whatever `export` takes.
    follow_links : bool
        Whether files, and folders below this one, may be links.

    Returns
    -------
    Report
        A file that is what the run gives is ``skipped``, any other ``failed``.

    Raises
    ------
    SourceError
        If there is no manifest, or the source holds none of its runs.
    VerifyError
        If the export had corrections: what they were given is not known here.
    """
    root = Path(folder).absolute()
    told = _last_settings(root)
    if told["corrections"]:
        steps = ", ".join(told["corrections"])
        message = f"the files were corrected ({steps}), which can't be done again here"
        raise VerifyError(message)
    settings = Settings.of(
        told["template"],
        directory=root,
        fields=told["fields"],
        streams=told["streams"],
        dtype=told["dtype"],
        compression=told["compression"],
        timezone=told["timezone"],
        name_policy=told["name_policy"],
        replacements=told["replacements"],
        colour=told["colour"],
        axes=told["axes"],
        first=told["first"] or 0,
        frames=told["frames"],
        repeats=told["repeats"] or "last",
        follow_links=follow_links,
        on_error="report",
        compare=True,
    )
    return replay(settings, open_source(source))


def checksums(
    folder: str | os.PathLike[str], *, follow_links: bool = False
) -> Iterator[tuple[str, str]]:
    """Return (SHA-256, path relative to the folder) of every listed file that is whole.

    Parameters
    ----------
    folder : path
        The root of an export.
    follow_links : bool
        Whether files, and folders below this one, may be links.

    Raises
    ------
    SourceError
        If there is no manifest.
    VerifyError
        At the end, if a file is no longer what was exported, for its sum would vouch
        for damage; or if a manifest has a line that can't be right.
    """
    root = Path(folder).absolute()
    folders = Folders(os.fspath(root), follow_links)
    wrong: list[Finding] = []
    for path in _manifests(root):
        for name, line in _read(path, wrong).files.items():
            found = _checked(folders, name, line)
            if found.state != "whole":
                wrong.append(found)
                continue
            done = checksum_of(folders.open_file(name), "sha256")
            yield done.checksum.partition(":")[2], name
    if wrong:
        message = "; ".join(f"{f.path} is {f.state}: {f.reason}" for f in wrong[:MOST])
        if len(wrong) > MOST:
            message += f"; and {len(wrong) - MOST} more, see tiffin verify"
        raise VerifyError(message)


def _manifests(root: Path) -> list[Path]:
    try:
        found = manifests_in(root)
    except OSError as error:
        message = f"{root / FOLDER} can't be read: {error.strerror or error}"
        raise SourceError(message) from error
    if not found:
        message = (
            f"{root} has no manifest ({FOLDER}/*.jsonl): nothing was exported here"
        )
        raise SourceError(message)
    return found


def _read(path: Path, findings: list[Finding]) -> ManifestFile:
    """Read a manifest, and tell of what can't be read of it."""
    try:
        manifest = read_manifest(path)
    except OSError as error:
        findings.append(Finding(path, "unreadable", str(error.strerror or error)))
        return ManifestFile(path.stem)
    findings += [
        Finding(path, "refused", f"line {line.number}: {line.reason}")
        for line in manifest.refused
    ]
    return manifest


def _last_settings(root: Path) -> Mapping[str, Any]:
    """Return the settings that the manifests tell, if it is one set, and checked."""
    told = [
        _settings_in(root, settings)
        for path in _manifests(root)
        for settings in list(_read(path, []).settings.values())[-1:]
    ]
    if not told:
        message = f"no manifest of {root} tells the settings of an export"
        raise VerifyError(message)
    if any(settings != told[0] for settings in told):
        message = f"{root} holds exports of different settings: compare them one by one"
        raise VerifyError(message)
    return told[0]


def _settings_in(root: Path, told: Mapping[str, Any]) -> Mapping[str, Any]:
    """Take the settings that are used again, and refuse those of other types."""
    for key, kinds in TOLD.items():
        value = told.get(key)
        known = key != "dtype" or value in (None, *WRITABLE)
        if not known or not _is_told(value, kinds):
            message = (
                f"the manifests of {root} tell no settings that can be used again: "
                f"{key} is {reprlib.repr(value)}"
            )
            raise VerifyError(message)
    return {key: told.get(key) for key in TOLD}


def _is_told(value: Any, kinds: tuple[type, ...]) -> bool:
    if isinstance(value, str):
        return str in kinds and len(value) <= LONGEST
    if isinstance(value, list):
        return list in kinds and all(_is_told(item, (str,)) for item in value)
    if type(value) is int:
        return int in kinds
    if isinstance(value, dict):
        return dict in kinds and all(
            _is_told(item, (str,)) for item in (*value, *value.values())
        )
    return value is None and type(None) in kinds


def _checked(folders: Folders, name: str, line: Mapping[str, Any]) -> Finding:
    path = Path(folders.root, name)
    try:
        descriptor = folders.open_file(name)
        differs = difference(descriptor, line["bytes"], line.get("checksum") or "")
    except FileNotFoundError:
        return Finding(path, "missing", "it is not there")
    except OSError as error:
        return Finding(path, "unreadable", str(error.strerror or error))
    return Finding(path, "damaged" if differs else "whole", differs)


def _others(root: Path, listed: Any) -> Iterator[Finding]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f != FOLDER)
        for file in sorted(files):
            path = Path(folder) / file
            if path.relative_to(root).as_posix() in listed:
                continue
            yield Finding(path, "leftover" if is_leftover(file) else "foreign")
