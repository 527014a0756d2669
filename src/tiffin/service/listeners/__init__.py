"""Listeners: a message says that it is worth to look at the source.

Each listener is a function in a module of its own, registered by name in `OWN` or by
the entry point group ``tiffin.listeners``. It takes its options and a `Hints`, and
listens until ``hints.stopping`` is set. If the source is a folder, documents that it
gives to ``hints.take`` are spooled there.
"""

from tiffin.service.listeners.hints import Hints
from tiffin.service.listeners.registry import check_listener, start_listener

__all__ = ["Hints", "check_listener", "start_listener"]
