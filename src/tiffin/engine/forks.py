"""A process that was forked has none of its parent's threads, and maybe its locks."""

from __future__ import annotations

import os
import weakref
from typing import Any

__all__ = ["renew_in_child"]

_alive: weakref.WeakSet[Any] = weakref.WeakSet()


def renew_in_child(thing: Any) -> None:
    """Have an object's ``renew_in_child`` called in a process that was forked.

    There it makes new locks, and forgets threads and jobs, which stay the parent's.
    """
    _alive.add(thing)


def _renew() -> None:
    for thing in list(_alive):
        thing.renew_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
