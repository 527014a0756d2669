"""Classes that work like older ones."""

from tiffin.compat.live_tiff_exporter import LiveTiffExporter

__all__ = ["LiveTiffExporter"]
