"""Small file systems, mounted for a test; without the right to, it is skipped."""

import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest


def run(*command):
    """Run a command of the system; return its complaint, if any."""
    if not shutil.which(command[0]):
        return f"there is no {command[0]}"
    told = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return (told.stderr.strip() or "it failed") if told.returncode else ""


@contextmanager
def mounted(folder, *how):
    """Mount a file system at a folder; `how` is the rest of the command."""
    if os.geteuid():
        pytest.skip("only root mounts")
    folder.mkdir(exist_ok=True)
    complaint = run("mount", *how, folder)
    if complaint:
        pytest.skip(f"mounting {' '.join(map(str, how))} does not work: {complaint}")
    try:
        yield folder
    finally:
        run("umount", "-l", folder)


def in_memory(folder, options):
    """Mount a file system in memory."""
    return mounted(folder, "-t", "tmpfs", "-o", options, "tmpfs")


def remount(folder, options):
    assert run("mount", "-o", f"remount,{options}", folder) == ""


@contextmanager
def on_a_disk(folder, make, megabytes=8, mount=("-o", "loop")):
    """Make a file system in a file and mount it."""
    image = folder.with_suffix(".image")
    with image.open("wb") as file:
        file.truncate(megabytes * 2**20)
    complaint = run(*make, image)
    if complaint:
        pytest.skip(f"no {make[0]}: {complaint}")
    with mounted(folder, *mount, image):
        yield folder


def without_links(folder):
    """Mount a FAT, by the kernel or in user space: no hard links, one case."""
    told = Path("/proc/filesystems")
    known = told.read_text().split() if told.exists() else []
    if "vfat" in known and shutil.which("mkfs.vfat"):
        return on_a_disk(folder, ["mkfs.vfat"], 16)
    exfat = "exfat" if "exfat" in known else "exfat-fuse"
    return on_a_disk(folder, ["mkfs.exfat"], 16, ("-t", exfat, "-o", "loop"))
