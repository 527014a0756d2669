"""Run jobs in threads, claim names, and keep records and manifests in order."""

from tiffin.engine.claims import Claims, folded
from tiffin.engine.interrupts import Interrupts
from tiffin.engine.ledger import Ledger
from tiffin.engine.manifest import SCHEMA, Manifest
from tiffin.engine.manifest_folder import manifests_in
from tiffin.engine.manifest_reader import FOLDER, ManifestFile, read_manifest
from tiffin.engine.patience import Patience
from tiffin.engine.pool import Pool
from tiffin.engine.retry import Retries
from tiffin.engine.run_records import Place
from tiffin.engine.slim_errors import slim

__all__ = [
    "FOLDER",
    "SCHEMA",
    "Claims",
    "Interrupts",
    "Ledger",
    "Manifest",
    "ManifestFile",
    "Patience",
    "Place",
    "Pool",
    "Retries",
    "folded",
    "slim",
    "manifests_in",
    "read_manifest",
]
