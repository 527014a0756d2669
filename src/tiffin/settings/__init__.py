"""Settings of an export: one schema, and what is made of it.

`Settings` is the schema. To add a setting, add its field there and its line in
`Keywords`, then use it.
"""

from tiffin.settings.chosen import text_of
from tiffin.settings.keywords import (
    LIVE_DEFAULTS,
    Keywords,
    LiveKeywords,
    documented,
    keywords_of,
    option_of,
    resumed,
    type_text,
)
from tiffin.settings.marks import Option
from tiffin.settings.problems import file_model, in_our_words
from tiffin.settings.schema import Existing, OnError, Repeats, Settings

__all__ = [
    "Existing",
    "LIVE_DEFAULTS",
    "Keywords",
    "LiveKeywords",
    "OnError",
    "Option",
    "Repeats",
    "Settings",
    "documented",
    "file_model",
    "in_our_words",
    "keywords_of",
    "option_of",
    "resumed",
    "text_of",
    "type_text",
]
