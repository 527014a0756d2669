"""Turn documents into frames, without reading pixels.

The `Assembler` (`router`) keeps interleaved runs apart. Images are in events, or in
files that datums (`events`) or stream datums (`stream_datums`) refer to.
"""

from tiffin.assemble.data_keys import DeclaredImages, axis_hints
from tiffin.assemble.document_copies import (
    copy_document,
    estimate_nbytes,
    replace_images,
)
from tiffin.assemble.inline import ArrayPixels
from tiffin.assemble.list_images import ListDtypes
from tiffin.assemble.lookahead import BASELINE, LateDocuments, skip_repeated_runs
from tiffin.assemble.router import Assembler

__all__ = [
    "BASELINE",
    "ArrayPixels",
    "Assembler",
    "DeclaredImages",
    "LateDocuments",
    "ListDtypes",
    "axis_hints",
    "copy_document",
    "estimate_nbytes",
    "replace_images",
    "skip_repeated_runs",
]
