"""Turn documents into frames, without reading a pixel.

The `Assembler` keeps interleaved runs apart and joins what belongs together. How the
pixels are had is told by one module for each generation of documents: ``inline`` for
values in the event itself, ``tiffin.readers`` for resources and datums.
"""

from tiffin.assemble.inline import ListDtypes
from tiffin.assemble.router import Assembler

__all__ = ["Assembler", "ListDtypes"]
