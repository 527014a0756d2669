"""Check what a folder allows, and how fast its disk writes: by trying it out."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tiffin.display import size_text
from tiffin.doctor.check_result import CheckResult
from tiffin.obstacles import is_there, obstacle

if TYPE_CHECKING:
    from collections.abc import Iterator

LITTLE = 1e9
"""Less free space is worth a note [bytes]."""

FEW = 10_000
"""Fewer files than this that can still be made are worth a note."""

CHUNK, MOST, BUDGET = 2**22, 2**26, 0.5
"""What is written to measure the speed: at most 64 MB, or half a second."""

SLOW_BYTES, SLOW_FILES = 50e6, 200
"""A disk that writes less in a second is slow [bytes, files]."""

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "afs", "9p"}
)
"""File systems over a network, as Linux names them."""

MOUNTS = Path("/proc/self/mounts")


def check_folder(folder: Path) -> list[CheckResult]:
    """Return what a folder allows; try it out in a subfolder that is removed again.

    A folder that is not there yet is judged by the one in which it would be made.
    """
    target = folder.absolute()
    problem = obstacle(target, write=True)
    if problem:
        todo = "ask for write access, or choose another folder"
        return [CheckResult("folder", "problem", problem, todo)]
    there = next(path for path in (target, *target.parents) if is_there(path))
    new = "" if there == target else f"; {target} would be made"
    try:
        with tempfile.TemporaryDirectory(prefix=".tiffin-doctor-", dir=there) as trial:
            found = [_found(f"{there} can be written{new}")]
            for check in CHECKS:
                found += check(Path(trial))
    except OSError as error:
        text = f"{there} can't be written: {error.strerror}"
        todo = "ask for write access or room, or choose another folder"
        return [*_room(there), CheckResult("folder", "problem", text, todo)]
    return found


def _found(text: str, todo: str = "") -> CheckResult:
    """Return what was found: a note if there is something to do."""
    return CheckResult("folder", "note" if todo else "ok", text, todo)


def _permissions(trial: Path) -> Iterator[CheckResult]:
    file = trial / "mode"
    file.touch()
    mode = stat.filemode(file.stat().st_mode)
    readers = "others" if mode[7] == "r" else "your group" if mode[4] == "r" else ""
    text = f"new files are {mode}: {readers or 'only you'} can read them"
    above = trial.parent.stat().st_mode
    text += ", in the group of the folder" if above & stat.S_ISGID else ""
    todo = "" if readers else "--mode 640 lets your group read them, --mode 644 all"
    yield _found(text, todo)


def _links(trial: Path) -> Iterator[CheckResult]:
    file = trial / "file"
    file.touch()
    try:
        (trial / "link").hardlink_to(file)
    except OSError:
        text = "no hard links: a name is given by renaming"
        yield _found(text, "let only one export at a time write to this folder")
    else:
        yield _found("hard links work: no file replaces another")


def _names(trial: Path) -> Iterator[CheckResult]:
    (trial / "case").touch()
    if (trial / "CASE").exists():
        text = "names that differ only in case are the same file"
        yield _found(text, "tiffin refuses such names: no action")
    refused = [each for each in ':?*"<>|é' if not _can_be_named(trial / f"a{each}")]
    if refused:
        text = f"names can't have {' '.join(refused)}"
        todo = "keep --names portable, which is the default; --names strict for é"
        yield _found(text, todo)
    longest = os.pathconf(trial, "PC_NAME_MAX")
    todo = "" if longest >= 255 else "keep templates short"
    yield _found(f"names may have {longest} bytes", todo)


def _can_be_named(path: Path) -> bool:
    with suppress(OSError):
        path.touch()
        return path.exists()
    return False


def _room(trial: Path) -> Iterator[CheckResult]:
    free = shutil.disk_usage(trial).free
    yield _found(f"{size_text(free)} are free", "make room" if free < LITTLE else "")
    files = os.statvfs(trial)
    if files.f_files and files.f_favail < FEW:
        text = f"only {files.f_favail} more files can be made here"
        yield _found(text, "remove files, or write stacks: --stack")


def _speed(trial: Path) -> Iterator[CheckResult]:
    """Measure large and small files, forced to the disk."""
    block = os.urandom(CHUNK)
    written, began = 0, time.monotonic()
    with (trial / "large").open("wb", buffering=0) as file:
        while written < MOST and time.monotonic() - began < BUDGET:
            written += file.write(block)
        os.fsync(file.fileno())
    rate = written / (time.monotonic() - began)
    (trial / "large").unlink()
    image = CHUNK / rate * 1e3
    text = f"the disk writes {size_text(rate)}/s: {image:.0f} ms for an image of 4 MB"
    todo = "it will be slow: try --compression zlib, or another disk"
    yield _found(text, todo if rate < SLOW_BYTES else "")
    count, began = 0, time.monotonic()
    while count < 2 * SLOW_FILES and time.monotonic() - began < BUDGET:
        (trial / f"small{count}").write_bytes(b"x" * 1000)
        count += 1
    rate = count / (time.monotonic() - began)
    text = f"{rate:.0f} small files can be made in a second"
    todo = "many small images will be slow: try --stack run"
    yield _found(text, todo if rate < SLOW_FILES else "")


def _file_system(trial: Path) -> Iterator[CheckResult]:
    kind = _file_system_of(trial)
    if kind in NETWORK or kind.startswith("fuse"):
        text = f"the file system is {kind}, over a network"
        todo = "each file costs a round trip: --stack run writes fewer files"
        yield _found(text, todo)
    elif kind == "tmpfs":
        text = "the file system is in memory: its files are gone after a restart"
        yield _found(text, "choose a folder on a disk")


def _file_system_of(folder: Path) -> str:
    """Return the type of a file system, such as ``"ext4"``; "" if it is not known."""
    if not MOUNTS.exists():
        return ""
    folder, kind, nearest = folder.resolve(), "", -1
    for line in MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
        _, point, what, *_ = line.split(" ")
        mount = Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), point))
        if folder.is_relative_to(mount) and len(mount.parts) >= nearest:
            kind, nearest = what, len(mount.parts)
    return kind


CHECKS = (_permissions, _links, _names, _room, _file_system, _speed)
