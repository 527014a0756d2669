"""Make a file's name from a run's metadata.

A `Template` is parsed once and rendered for each frame. It looks up items and formats
them, and does nothing else: it reads no attribute and runs no code of a document. No
value can add a folder or leave the root.
"""

from tiffin.template.document_checks import field_to_add
from tiffin.template.grammar import Reference
from tiffin.template.items import (
    MISSING,
    elements,
    follow,
    is_container,
    plain,
    texts_in,
)
from tiffin.template.keys import fields_with_values
from tiffin.template.lookup import (
    find,
    motor_names,
    places_of,
    sample_of,
    units_of,
    why_missing,
)
from tiffin.template.messages import unbraced
from tiffin.template.parser import parse_reference
from tiffin.template.paths import with_number
from tiffin.template.portable import foreign_path, portable_text
from tiffin.template.preview import NameCheck
from tiffin.template.style import Style
from tiffin.template.template import Template

__all__ = [
    "MISSING",
    "NameCheck",
    "Reference",
    "Style",
    "Template",
    "elements",
    "field_to_add",
    "fields_with_values",
    "find",
    "follow",
    "foreign_path",
    "is_container",
    "motor_names",
    "parse_reference",
    "places_of",
    "plain",
    "portable_text",
    "sample_of",
    "texts_in",
    "unbraced",
    "units_of",
    "why_missing",
    "with_number",
]
