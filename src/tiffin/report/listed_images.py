"""Read which images and which failures the manifests of a folder list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.engine import FOLDER, manifests_in, read_manifest
from tiffin.errors import SourceError
from tiffin.template import portable_text

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from tiffin.engine import ManifestFile

LONGEST = 2000
"""How many characters of a text are shown."""


@dataclass(frozen=True, slots=True)
class ListedImage:
    """An image in a file that a manifest lists."""

    run: str
    name: str
    """The path of its file, relative to the root."""
    page: int
    seq_num: int | None
    index: int | None
    """Its place in the event."""
    line: Mapping[str, Any]
    """The line of the manifest. Anybody may have written it."""


class Problem(NamedTuple):
    """An image that is not there, and why."""

    run: str
    name: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Listed:
    """What manifests list: images by file, and problems."""

    files: Mapping[str, tuple[ListedImage, ...]]
    problems: tuple[Problem, ...]

    @property
    def images(self) -> list[ListedImage]:
        """All images, in the order of the manifests."""
        return [image for images in self.files.values() for image in images]


def read_listed(root: Path, runs: Collection[str] | None = None) -> Listed:
    """Read the manifests of a folder: of the runs with these uids, or of all.

    If there is none, SourceError is raised.
    """
    names = None if runs is None else {portable_text(run) or "_" for run in runs}
    files: dict[str, tuple[ListedImage, ...]] = {}
    problems: dict[tuple[str, str], Problem] = {}
    is_empty = True
    for path in manifests_in(root):
        if names is not None and path.stem not in names:
            continue  # the manifest of another run
        try:
            manifest = read_manifest(path)
        except OSError as error:
            reason = str(error.strerror or error)
            found = Problem(path.stem, f"{FOLDER}/{path.name}", "unreadable", reason)
            problems[found.run, found.name] = found
            continue
        if runs is not None and manifest.run not in runs:
            continue
        is_empty = False
        files |= {
            name: _images_of(manifest.run, name, line)
            for name, line in manifest.files.items()
            if line["frames"]
        }
        for problem in _problems_of(manifest, path.name):
            problems[problem.run, problem.name] = problem
    if is_empty and not problems:
        message = f"{root} has no manifest of a run that is wanted"
        raise SourceError(message)
    return Listed(files, tuple(p for p in problems.values() if p.name not in files))


def _images_of(run: str, name: str, line: Mapping[str, Any]) -> tuple[ListedImage, ...]:
    return tuple(
        ListedImage(run, name, page or 0, seq_num, index, line)
        for seq_num, index, page in line["frames"]
    )


def _problems_of(manifest: ManifestFile, file: str) -> list[Problem]:
    problems = [
        Problem(manifest.run, f"{FOLDER}/{file}, line {line.number}", "refused", why)
        for line in manifest.refused
        if (why := line.reason)
    ]
    for line in manifest.failed:
        (seq_num, index, _), *_ = line["frames"]
        name = line["path"] or f"event {seq_num}, image {index}"
        status = "skipped" if line["status"] == "skipped" else "failed"
        reason = line.get("error") or "the manifest has no reason"
        problems.append(Problem(manifest.run, name[:LONGEST], status, reason[:LONGEST]))
    return problems
