"""Which file system a folder is on."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["NETWORK", "file_system_of"]

NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "lustre", "gpfs", "beegfs", "ceph", "afs", "9p"}
)
"""File systems over a network, as Linux names them."""

MOUNTS = Path("/proc/self/mounts")


def file_system_of(folder: Path) -> str:
    """Return the type of the file system, such as ``"ext4"``; "" if it is not known."""
    if not MOUNTS.exists():
        return ""
    folder, kind, nearest = folder.resolve(), "", -1
    for line in MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines():
        _, point, what, *_ = line.split(" ")
        mount = Path(re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), point))
        if folder.is_relative_to(mount) and len(mount.parts) >= nearest:
            kind, nearest = what, len(mount.parts)
    return kind
