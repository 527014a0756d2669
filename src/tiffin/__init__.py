"""Export the images of Bluesky runs as numbered TIFF files, exactly.

Documents in, files out, nothing lost on the way: `ImageExporter` does it live,
`export` afterwards, and the report of either lists every frame.
"""

from tiffin.callback import ImageExporter
from tiffin.compat import LiveTiffExporter
from tiffin.errors import TiffinError
from tiffin.images import get_images
from tiffin.records import Record, Report
from tiffin.replay import export, process
from tiffin.template import Template
from tiffin.verify import verify

try:
    from tiffin._version import __version__
except ImportError:  # a checkout that was never built
    __version__ = "0+unknown"

__all__ = [
    "export",
    "process",
    "get_images",
    "verify",
    "ImageExporter",
    "LiveTiffExporter",
    "Record",
    "Report",
    "Template",
    "TiffinError",
    "__version__",
]
