"""Old names that go on working."""

from tiffin.compat.live_tiff_exporter import LiveTiffExporter

__all__ = ["LiveTiffExporter"]
