"""Make a file's name from a run's metadata.

A `Template` is parsed once and rendered for each frame. It looks items up and formats
them, nothing else: no attribute is read, no code is run, and no value can add a folder
or leave the root.
"""

from tiffin.template.checks import field_to_add
from tiffin.template.portable import portable_text, with_number
from tiffin.template.style import Style
from tiffin.template.template import Template

__all__ = ["Style", "Template", "field_to_add", "portable_text", "with_number"]
