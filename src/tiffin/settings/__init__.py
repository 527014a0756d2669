"""Settings of an export: one schema, and what is made of it.

`Settings` is the schema. To add a setting, add its field there and its line in
`Keywords`, then use it.
"""

from tiffin.settings.frame_selection import format_frames
from tiffin.settings.keywords import (
    LIVE_DEFAULTS,
    AllKeywords,
    Keywords,
    LiveKeywords,
    description,
    document_settings,
    option_of,
    refuse_unknown,
    resume_settings,
    setting_names,
    type_text,
)
from tiffin.settings.schema import Settings
from tiffin.settings.setting_types import (
    PANELS,
    PIXELS,
    SERVER,
    WHAT,
    OnError,
    Option,
    Repeats,
)
from tiffin.settings.validation import check_model, check_table, choices_of, table_model

__all__ = [
    "PANELS",
    "PIXELS",
    "SERVER",
    "WHAT",
    "AllKeywords",
    "LIVE_DEFAULTS",
    "Keywords",
    "LiveKeywords",
    "OnError",
    "Option",
    "Repeats",
    "Settings",
    "check_model",
    "check_table",
    "choices_of",
    "description",
    "document_settings",
    "format_frames",
    "option_of",
    "refuse_unknown",
    "resume_settings",
    "setting_names",
    "table_model",
    "type_text",
]
