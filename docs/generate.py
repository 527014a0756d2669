"""Generate parts of the manual from the schema of settings: ``make generated``.

These are the tables ``docs/reference/settings.md`` and ``_export_options.md``, and the
JSON Schema of the configuration file, ``docs/_static/tiffin.schema.json``.
"""

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from tiffin.cli import load
from tiffin.cli.config_file import hints_of, options_of
from tiffin.cli.correction_tables import KINDS
from tiffin.settings import (
    description,
    option_of,
    setting_names,
    table_model,
    type_text,
)

DOCS = Path(__file__).parent
HEAD = """# Settings

<!-- Written by docs/generate.py from the schema in tiffin.settings. -->

These are the keyword arguments of `tiffin.export` and `tiffin.ImageExporter`, and the
options of `tiffin export`. A [configuration file](../howto/configure.md) uses the names
of the options, without dashes.

| setting | option | type | what it does |
|---|---|---|---|
"""


def table() -> str:
    """Return the page with a row for each setting."""
    return HEAD + "".join(map(row, setting_names(live=True)))


def row(name: str) -> str:
    """Return the row of one setting."""
    option = option_of(name)
    cells = (
        f"`{name}`",
        f"`--{option.name}`" if option else "",
        type_text(name).replace("|", r"\|"),
        description(name).replace("``", "`"),
    )
    return f"| {' | '.join(cells)} |\n"


def options() -> str:
    """Return the table of the options of ``tiffin export``."""
    rows = [
        f"| {', '.join(f'`{text}`' for text in option.parameter.opts)} "
        f"| {choices_of(option.hint)} | {option.parameter.help} |\n"
        for option in options_of(load("export")).values()
    ]
    return "| option | one of | what it does |\n|---|---|---|\n" + "".join(rows)


def choices_of(hint: Any) -> str:
    """Return the choices of an option, or an empty string if it takes any value."""
    for kind in (hint, *get_args(hint)):
        if get_origin(kind) is Literal:
            return ", ".join(f"`{choice}`" for choice in get_args(kind))
    return ""


def schema() -> str:
    """Return the JSON Schema of a configuration file of ``tiffin export``."""
    options = options_of(load("export"))
    found = table_model("tiffin.toml", hints_of(options)).model_json_schema()
    for name, option in options.items():
        entry = found["properties"][name]
        entry.pop("default", None)
        entry["title"] = name
        entry["description"] = option.parameter.help.replace("\\[", "[")
    found["properties"]["corrections"] = {
        "title": "corrections",
        "description": "Corrections, in the order in which they act.",
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"kind": {"enum": [*KINDS]}},
            "required": ["kind"],
        },
    }
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


FILES = {
    DOCS / "reference" / "settings.md": table,
    DOCS / "reference" / "_export_options.md": options,
    DOCS / "_static" / "tiffin.schema.json": schema,
}

if __name__ == "__main__":
    for path, make in FILES.items():
        path.write_text(make(), encoding="utf-8")
