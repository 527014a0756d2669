"""Open what documents point at: external files, by way of registered handlers."""

from tiffin.readers.handlers import DatumPixels, Handlers

__all__ = ["DatumPixels", "Handlers"]
