"""Turn documents into frames, without reading a pixel.

The `Assembler` keeps interleaved runs apart and joins what belongs together. How the
pixels are had is told by ``inline`` for values in the event itself, and by ``external``
for datums and stream datums.
"""

from tiffin.assemble.documents import held_bytes, own_copy
from tiffin.assemble.foresight import Foresight
from tiffin.assemble.handover import HandOver
from tiffin.assemble.inline import ListDtypes
from tiffin.assemble.router import Assembler
from tiffin.assemble.run import Announced

__all__ = [
    "Announced",
    "Assembler",
    "Foresight",
    "HandOver",
    "ListDtypes",
    "held_bytes",
    "own_copy",
]
