"""Look at exported files again: they are there, whole, and what the run gives."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tiffin.engine import FOLDER, manifests_in, read_manifest
from tiffin.errors import SourceError, VerifyError
from tiffin.export import Export, replay
from tiffin.sources import open_source
from tiffin.writers import checksum_of, is_leftover

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tiffin.records import Report

__all__ = ["Finding", "Verification", "checksums", "compare", "verify"]

State = Literal["whole", "missing", "damaged", "unreadable", "foreign", "leftover"]

WRONG: tuple[State, ...] = ("missing", "damaged", "unreadable")
"""What no exported file should be."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What one file was found to be.

    Attributes
    ----------
    path : pathlib.Path
        Absolute.
    state : str
        ``"whole"``: listed, and as it was written. ``"missing"``, ``"damaged"``,
        ``"unreadable"``: listed, and not as it was. ``"foreign"``: no manifest lists
        it. ``"leftover"``: begun by an export that died.
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
        """Give the findings of some states."""
        return tuple(f for f in self.findings if f.state in states)

    def __str__(self) -> str:
        counts = ", ".join(
            f"{len(self.of(state))} {state}"
            for state in ("whole", *WRONG, "foreign", "leftover")
            if self.of(state) or state == "whole"
        )
        return counts + (f"; {len(self.failed)} never exported" if self.failed else "")


def verify(folder: str | os.PathLike[str]) -> Verification:
    """Check every file that the manifests of a folder list.

    Each must be there, have its size, and its checksum, which stands for its pixels and
    everything else in it. What no manifest lists is told as well.

    Parameters
    ----------
    folder : path
        The root of an export: it holds ``.tiffin``.

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
    listed: dict[str, Mapping[str, Any]] = {}
    failed: dict[str, str] = {}
    for path in _manifests(root):
        manifest = read_manifest(path)
        listed |= manifest.frames
        for line in manifest.failed:
            name = str(line.get("path") or f"event {line.get('seq_num')}")
            failed[name] = f"{name}: {line.get('error')}"
    findings = [_checked(root, name, line) for name, line in listed.items()]
    findings += _others(root, listed.keys())
    return Verification(
        tuple(findings),
        tuple(text for name, text in failed.items() if name not in listed),
    )


def compare(folder: str | os.PathLike[str], source: Any) -> Report:
    """Compare exported files with the run itself, byte for byte.

    The run is read and named again with the settings that the manifest tells, and
    nothing is written.

    Parameters
    ----------
    folder : path
        The root of the export.
    source : object
        Whatever `export` takes.

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
    settings = Export.of(
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
        axes=told.get("axes"),
        first=told.get("first") or 0,
        frames=told.get("frames"),
        on_error="report",
        compare=True,
    )
    return replay(settings, open_source(source))


def checksums(folder: str | os.PathLike[str]) -> Iterator[tuple[str, str]]:
    """Give (SHA-256, path relative to the folder) of every listed file.

    Raises
    ------
    SourceError
        If there is no manifest.
    VerifyError
        If a file is no longer what was exported: its sum would vouch for damage.
    """
    root = Path(folder).absolute()
    for path in _manifests(root):
        for name, line in read_manifest(path).frames.items():
            found = _checked(root, name, line)
            if found.state != "whole":
                message = f"{found.path} is {found.state}: {found.reason}"
                raise VerifyError(message)
            done = checksum_of(str(root / name), "sha256")
            yield done.checksum.partition(":")[2], name


def _manifests(root: Path) -> list[Path]:
    found = manifests_in(root)
    if not found:
        message = (
            f"{root} has no manifest ({FOLDER}/*.jsonl): nothing was exported here"
        )
        raise SourceError(message)
    return found


def _last_settings(root: Path) -> Mapping[str, Any]:
    """Give the settings that the manifests tell, if it is one set."""
    told = [
        settings
        for path in _manifests(root)
        for settings in list(read_manifest(path).settings.values())[-1:]
    ]
    if any(settings != told[0] for settings in told):
        message = f"{root} holds exports of different settings: compare them one by one"
        raise VerifyError(message)
    return told[0]


def _checked(root: Path, name: str, line: Mapping[str, Any]) -> Finding:
    path, wanted = root / name, str(line.get("checksum") or "")
    try:
        size = path.stat().st_size
        if size != line.get("bytes"):
            return Finding(path, "damaged", f"{size} bytes, not {line.get('bytes')}")
        if wanted and checksum_of(str(path), wanted.split(":")[0]).checksum != wanted:
            return Finding(path, "damaged", "its checksum is another")
    except FileNotFoundError:
        return Finding(path, "missing", "it is not there")
    except OSError as error:
        return Finding(path, "unreadable", str(error.strerror or error))
    return Finding(path, "whole")


def _others(root: Path, listed: Any) -> Iterator[Finding]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f != FOLDER)
        for file in sorted(files):
            path = Path(folder) / file
            if path.relative_to(root).as_posix() in listed:
                continue
            yield Finding(path, "leftover" if is_leftover(file) else "foreign")
