"""The names of services that share a journal."""

from __future__ import annotations

import os
import socket
import uuid

__all__ = ["has_ended", "owner_here"]


def owner_here() -> str:
    """Return a name for this service: its machine, its process, and a number."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def has_ended(owner: str) -> bool:
    """Return whether the owner was a process of this machine that has ended."""
    machine, process, _ = owner.rsplit(":", 2)
    if machine != socket.gethostname():
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
