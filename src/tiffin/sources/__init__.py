"""Where documents come from: one way to go through them, whatever holds the run.

`open_source` takes what a user has (a databroker header, a Tiled run, a file, a list of
them, documents) and gives an iterable of ``(name, document)`` that can be gone through
twice. All sniffing of versions and types is here.
"""

from tiffin.sources.run_finder import RunFinder
from tiffin.sources.selection import Selection, documents_of_runs, select_runs
from tiffin.sources.source_types import ADDRESSES, Documents, open_source
from tiffin.sources.tiled_run import Via
from tiffin.sources.tiled_search import connect, find_runs
from tiffin.sources.tiled_server import TIMEOUT

__all__ = [
    "ADDRESSES",
    "TIMEOUT",
    "Documents",
    "RunFinder",
    "Selection",
    "Via",
    "connect",
    "find_runs",
    "documents_of_runs",
    "open_source",
    "select_runs",
]
