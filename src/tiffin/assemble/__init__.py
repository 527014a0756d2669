"""Turn documents into frames, without reading a pixel.

The `Assembler` keeps interleaved runs apart. There is a module for each generation of
documents: ``events`` (images in the event itself), ``datums`` (resources and datums),
``stream_datums`` (stream resources and stream datums); `older` knows earlier layouts.
"""

from tiffin.assemble.data_keys import DeclaredImages, axis_hints
from tiffin.assemble.documents import copy_document, estimate_nbytes, replace_images
from tiffin.assemble.list_images import ListDtypes
from tiffin.assemble.lookahead import LateDocuments, skip_repeated_runs
from tiffin.assemble.router import Assembler

__all__ = [
    "DeclaredImages",
    "Assembler",
    "LateDocuments",
    "ListDtypes",
    "skip_repeated_runs",
    "estimate_nbytes",
    "axis_hints",
    "replace_images",
    "copy_document",
]
