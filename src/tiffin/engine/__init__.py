"""Carry work out: workers under a byte budget, names claimed, records kept in order."""

from tiffin.engine.claims import Claims, folded
from tiffin.engine.interrupts import Interrupts
from tiffin.engine.later import Later
from tiffin.engine.lean import lean
from tiffin.engine.ledger import Ledger
from tiffin.engine.listed import FOLDER, ManifestFile, manifests_in, read_manifest
from tiffin.engine.patience import Patience
from tiffin.engine.pool import Pool

__all__ = [
    "FOLDER",
    "Claims",
    "Interrupts",
    "Later",
    "Ledger",
    "Patience",
    "ManifestFile",
    "Pool",
    "folded",
    "lean",
    "manifests_in",
    "read_manifest",
]
