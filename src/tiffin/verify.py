"""Verify exported files against their manifests, or against the run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tiffin.engine import FOLDER, ManifestFile, manifests_in, read_manifest
from tiffin.errors import VerifyError
from tiffin.export import replay
from tiffin.folders import Folders
from tiffin.recorded_settings import LONGEST_REASON, recorded_settings
from tiffin.report import is_page_name
from tiffin.sources import open_source
from tiffin.writers import checksum_of, difference, is_leftover

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiffin.records import Report

__all__ = ["Finding", "Verification", "checksums", "compare", "verify"]

State = Literal[
    "intact", "missing", "damaged", "unreadable", "refused", "foreign", "leftover"
]

WRONG: tuple[State, ...] = ("missing", "damaged", "unreadable", "refused")
"""The states that make a verification fail."""


MOST = 10
"""How many findings one error message shows."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The result for one file.

    Attributes
    ----------
    path : pathlib.Path
        The absolute path.
    state : str
        ``"intact"``: as its manifest lists it. ``"missing"``, ``"damaged"``: not so.
        ``"unreadable"``: a file or manifest that can't be read.
        ``"refused"``: a manifest has an invalid line. ``"foreign"``: in no manifest.
        ``"leftover"``: a temporary file of an export that was killed.
    reason : str
        What is wrong; for an invalid line, with its number.
    """

    path: Path
    state: State
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verification:
    """The result for a folder of exported files.

    Attributes
    ----------
    findings : tuple of Finding
        The files in the manifests, in their order, and then all others.
    failed : tuple of str
        The frames that failed, according to the manifests, and were not exported later.
    """

    findings: tuple[Finding, ...] = ()
    failed: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether at least one file is listed, and all listed files are intact."""
        listed = [f for f in self.findings if f.state not in ("foreign", "leftover")]
        return bool(listed) and all(finding.state == "intact" for finding in listed)

    def of(self, *states: State) -> tuple[Finding, ...]:
        """Return the findings with one of these states."""
        return tuple(f for f in self.findings if f.state in states)

    def __str__(self) -> str:
        counts = ", ".join(
            f"{len(self.of(state))} {state}"
            for state in ("intact", *WRONG, "foreign", "leftover")
            if self.of(state) or state == "intact"
        )
        return counts + (f"; {len(self.failed)} never exported" if self.failed else "")


def verify(
    folder: str | os.PathLike[str], *, follow_links: bool = False
) -> Verification:
    """Verify every file in the manifests of a folder.

    Each file must exist and have the size and checksum in the manifest. Files that are
    in no manifest are reported too. Only regular files below the folder are read.

    Parameters
    ----------
    folder : path
        The root folder of an export, which contains ``.tiffin``.
    follow_links : bool
        Whether files and subfolders may be links.

    Returns
    -------
    Verification

    Raises
    ------
    SourceError
        If the folder has no manifest.

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
    1 intact, 1 damaged
    """
    root = Path(folder).absolute()
    folders = Folders(os.fspath(root), follow_links)
    listed: dict[str, Mapping[str, Any]] = {}
    failed: dict[str, str] = {}
    findings: list[Finding] = []
    for path in manifests_in(root):
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
    """Compare exported files with the run, byte for byte.

    The run is exported again with the settings in the manifest, without writing files.

    Parameters
    ----------
    folder : path
        The root folder of the export.
    source : object
        Any source that `export` takes.
    follow_links : bool
        Whether files and subfolders may be links.

    Returns
    -------
    Report
        A file that is what the run gives is ``skipped``, any other ``failed``.

    Raises
    ------
    SourceError
        If there is no manifest, or the source holds none of its runs.
    VerifyError
        If the export had corrections, because their arguments are not in the manifest;
        or if the manifests have different or invalid settings, or can't be read.
    """
    settings = recorded_settings(folder, follow_links=follow_links, compare=True)
    return replay(settings, open_source(source, keep=True))


def checksums(
    folder: str | os.PathLike[str], *, follow_links: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield (SHA-256, path relative to the folder) for every intact file.

    Parameters
    ----------
    folder : path
        The root folder of an export.
    follow_links : bool
        Whether files and subfolders may be links.

    Raises
    ------
    SourceError
        If the folder has no manifest.
    VerifyError
        At the end, if a file is not intact or a manifest has an invalid line.
    """
    root = Path(folder).absolute()
    folders = Folders(os.fspath(root), follow_links)
    wrong: list[Finding] = []
    for path in manifests_in(root):
        for name, line in _read(path, wrong).files.items():
            found = _checked(folders, name, line)
            if found.state != "intact":
                wrong.append(found)
                continue
            done = checksum_of(folders.open_file(name), "sha256")
            yield done.checksum.partition(":")[2], name
    if wrong:
        message = "; ".join(f"{f.path} is {f.state}: {f.reason}" for f in wrong[:MOST])
        if len(wrong) > MOST:
            message += f"; and {len(wrong) - MOST} more, see tiffin verify"
        raise VerifyError(message)


def _read(path: Path, findings: list[Finding]) -> ManifestFile:
    """Read a manifest, and add findings for what can't be read."""
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


def _checked(folders: Folders, name: str, line: Mapping[str, Any]) -> Finding:
    path = Path(folders.root, name)
    try:
        descriptor = folders.open_file(name)
        differs = difference(descriptor, line["bytes"], line.get("checksum") or "")
    except FileNotFoundError:
        return Finding(path, "missing", "it is missing")
    except OSError as error:
        return Finding(path, "unreadable", str(error.strerror or error))
    return Finding(path, "damaged" if differs else "intact", differs)


def _others(root: Path, listed: Any) -> Iterator[Finding]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f != FOLDER)
        for file in sorted(files):
            path = Path(folder) / file
            name = path.relative_to(root).as_posix()
            if name in listed or is_page_name(name):
                continue
            yield Finding(path, "leftover" if is_leftover(file) else "foreign")
