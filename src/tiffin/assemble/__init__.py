"""Turn documents into frames, without reading a pixel.

The `Assembler` keeps interleaved runs apart. There is a module for each generation of
documents: ``events`` (images in the event itself), ``datums`` (resources and datums),
``stream_datums`` (stream resources and stream datums); `older` knows earlier layouts.
"""

from tiffin.assemble.announced import Announced, hints_of
from tiffin.assemble.documents import held_bytes, own_copy
from tiffin.assemble.foresight import Foresight
from tiffin.assemble.inline import ListDtypes
from tiffin.assemble.lost import images_lost
from tiffin.assemble.repeated_runs import each_run_once
from tiffin.assemble.router import Assembler

__all__ = [
    "Announced",
    "Assembler",
    "Foresight",
    "ListDtypes",
    "each_run_once",
    "held_bytes",
    "hints_of",
    "images_lost",
    "own_copy",
]
