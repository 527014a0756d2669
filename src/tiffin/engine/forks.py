"""Reset objects in forked processes, which have no threads but maybe held locks."""

from __future__ import annotations

import os
import weakref
from typing import Any

_alive: weakref.WeakSet[Any] = weakref.WeakSet()


def renew_in_child(thing: Any) -> None:
    """Call ``thing.renew_in_child()`` in forked processes.

    It makes new locks, and forgets threads and jobs, which belong to the parent.
    """
    _alive.add(thing)


def _renew() -> None:
    for thing in list(_alive):
        thing.renew_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew)
