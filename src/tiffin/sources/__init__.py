"""Where documents come from: one way to go through them, whatever holds the run.

`open_source` takes what a user has (a databroker header, a Tiled run, a file, a list of
them, documents) and gives an iterable of ``(name, document)`` that can be gone through
twice. All sniffing of versions and types is here.
"""

from tiffin.sources.asking import TIMEOUT
from tiffin.sources.kinds import ADDRESSES, Documents, open_source
from tiffin.sources.look_up import RunFinder, run_documents
from tiffin.sources.select import Selection, only
from tiffin.sources.tiled import connect, find_runs
from tiffin.sources.tiled_run import Via

__all__ = [
    "ADDRESSES",
    "TIMEOUT",
    "Documents",
    "RunFinder",
    "Selection",
    "Via",
    "connect",
    "find_runs",
    "only",
    "open_source",
    "run_documents",
]
