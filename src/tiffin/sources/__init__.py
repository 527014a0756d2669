"""Read the documents of runs, whatever holds them.

`open_source` takes what a user has (a databroker header, a Tiled run, a file, a list of
them, documents) and returns an iterable of ``(name, document)`` that can be read twice.
Nothing outside this package depends on the types and versions of stores.
"""

from tiffin.sources.document_file import TruncatedError
from tiffin.sources.files import CATALOGUE, is_document_name
from tiffin.sources.files import documents as documents_in_file
from tiffin.sources.msgpack_file import pack, unpack
from tiffin.sources.run_address import (
    address_of,
    document_files,
    key_in_environment,
    key_of,
    open_catalogue,
    open_run,
    run_documents_of,
)
from tiffin.sources.run_finder import RunFinder
from tiffin.sources.run_list import ImageField, RunSummary, first_image, summaries
from tiffin.sources.selection import (
    NoRunError,
    Selection,
    documents_of_runs,
    select_runs,
)
from tiffin.sources.source_types import Documents, open_source
from tiffin.sources.tiled_address import TiledAddress, is_address
from tiffin.sources.tiled_pages import (
    count_entries,
    runs_in_order,
    runs_that_fit,
    runs_with_uids,
)
from tiffin.sources.tiled_run import Via
from tiffin.sources.tiled_search import connect, find_runs
from tiffin.sources.tiled_server import TIMEOUT, UnreachableServerError

__all__ = [
    "CATALOGUE",
    "is_document_name",
    "count_entries",
    "runs_in_order",
    "runs_that_fit",
    "runs_with_uids",
    "TIMEOUT",
    "Documents",
    "NoRunError",
    "ImageField",
    "RunFinder",
    "RunSummary",
    "Selection",
    "TiledAddress",
    "TruncatedError",
    "UnreachableServerError",
    "Via",
    "address_of",
    "connect",
    "document_files",
    "documents_in_file",
    "documents_of_runs",
    "find_runs",
    "first_image",
    "is_address",
    "key_in_environment",
    "key_of",
    "open_catalogue",
    "open_run",
    "open_source",
    "pack",
    "run_documents_of",
    "select_runs",
    "summaries",
    "unpack",
]
