"""What the shell and the configuration file can set, and how they write it.

Each is a keyword of `tiffin.export`, a choice of runs, or a correction. `read_config`
reads a configuration file, for the shell and for `tiffin.ImageExporter.from_config`.
"""

from tiffin.options.config_file import (
    FILE_NAME,
    ConfigFile,
    errors_in,
    find_config,
    load_config,
    read_config,
    read_exports,
    read_table,
)
from tiffin.options.config_sections import OTHER_TYPES, file_hints, refuse_secrets
from tiffin.options.correction_options import CHAIN, CorrectionOptions
from tiffin.options.correction_tables import KINDS, CorrectionTable
from tiffin.options.option_values import (
    AllStreams,
    as_keywords,
    option_type,
    without_empty,
)
from tiffin.options.run_options import RunOptions, meant_address

__all__ = [
    "CHAIN",
    "FILE_NAME",
    "KINDS",
    "OTHER_TYPES",
    "AllStreams",
    "ConfigFile",
    "CorrectionOptions",
    "CorrectionTable",
    "RunOptions",
    "as_keywords",
    "errors_in",
    "file_hints",
    "find_config",
    "load_config",
    "meant_address",
    "option_type",
    "read_config",
    "read_exports",
    "read_table",
    "refuse_secrets",
    "without_empty",
]
