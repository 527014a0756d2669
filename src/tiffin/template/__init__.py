"""Make a file's name from a run's metadata.

A `Template` is parsed once and rendered for each frame. It looks items up and formats
them, nothing else: no attribute is read, no code is run, and no value can add a folder
or leave the root.
"""

from tiffin.template.distinct import indistinct
from tiffin.template.grammar import ROOTS, Field, Reference, Segment
from tiffin.template.portable import numbered
from tiffin.template.style import Style
from tiffin.template.template import Template

__all__ = [
    "ROOTS",
    "Field",
    "Reference",
    "Segment",
    "Style",
    "Template",
    "indistinct",
    "numbered",
]
