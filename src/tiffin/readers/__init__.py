"""Read the external files that documents refer to.

Resource and Datum documents are read by handlers (`handlers`), stream resources by the
reader of their mimetype (`registry`, `assets`).
"""

from tiffin.readers.assets import AssetPixels, Assets
from tiffin.readers.event_index import event_shape
from tiffin.readers.exported_file import read_exported
from tiffin.readers.handlers import DatumPixels, Handlers
from tiffin.readers.image_files import read_tiff
from tiffin.readers.reference_file import read_images
from tiffin.readers.registry import find_reader
from tiffin.readers.root_map import RootMap
from tiffin.readers.rows import Asset, Rows

__all__ = [
    "Asset",
    "AssetPixels",
    "Assets",
    "DatumPixels",
    "Handlers",
    "RootMap",
    "Rows",
    "event_shape",
    "find_reader",
    "read_exported",
    "read_images",
    "read_tiff",
]
