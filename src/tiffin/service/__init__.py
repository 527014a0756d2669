"""Export every run by itself: ``tiffin serve``.

The truth is a durable source, a Tiled catalogue or a folder of documents, which is
looked at again and again. `journal` remembers each run; a message from a listener only
says that it is worth to look sooner.
"""

from tiffin.service.config import ServiceConfig, http_address, read_service
from tiffin.service.journal import Journal
from tiffin.service.run_state import RunState
from tiffin.service.service import Service
from tiffin.service.web import WebPage

__all__ = [
    "Journal",
    "RunState",
    "Service",
    "ServiceConfig",
    "WebPage",
    "http_address",
    "read_service",
]
