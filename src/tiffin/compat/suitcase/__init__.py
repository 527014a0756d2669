"""Exports as suitcase-tiff 0.4.0 does them: only the import changes.

``from tiffin.compat.suitcase import tiff_series, tiff_stack`` in place of
``from suitcase import tiff_series, tiff_stack``.
"""

from tiffin.compat.suitcase import tiff_series, tiff_stack

__all__ = ["tiff_series", "tiff_stack"]
