"""Open what documents point at: external files.

Resource and Datum go through handlers that packages register (``handlers``); stream
resources through readers found by mimetype (``assets``), one module a format.
"""

from tiffin.readers.assets import AssetPixels, Assets
from tiffin.readers.handlers import DatumPixels, Handlers
from tiffin.readers.one_file import read_images
from tiffin.readers.places import RootMap
from tiffin.readers.rows import Asset, Rows

__all__ = [
    "Asset",
    "AssetPixels",
    "Assets",
    "DatumPixels",
    "Handlers",
    "RootMap",
    "Rows",
    "read_images",
]
