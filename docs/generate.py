"""Generate parts of the manual from the schema of settings: ``make generated``.

These are the tables ``docs/reference/settings.md`` and those of the commands
(``_tiffin_export.md`` and so on), the JSON Schema of the configuration file
(``docs/_static/tiffin.schema.json``), and the colour maps of the page of images.
"""

import json
from base64 import b64encode
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from tiffin.cli import COMMANDS, load
from tiffin.options import KINDS, OTHER_TYPES, file_hints
from tiffin.service.config import ServiceConfig
from tiffin.settings import (
    description,
    option_of,
    setting_names,
    table_model,
    type_text,
)

DOCS = Path(__file__).parent
PAGE = DOCS.parent / "src" / "tiffin" / "report" / "assets"
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


def command(name: str) -> str:
    """Return how a command is typed, examples, and tables of its options."""
    loaded, hints = load(name), file_hints() if name == "export" else {}
    arguments = [p.name for p in loaded.params if p.param_type_name == "argument"]
    shown = " ".join(word.upper() for word in arguments)
    examples = "".join(f"$ {line}\n" for line in loaded.examples)
    text = f"```console\n$ tiffin {name} {shown} [OPTIONS]\n{examples}```\n"
    for heading, parameters in grouped(loaded.params).items():
        text += f"\n| {heading.lower()} | one of | what it does |\n|---|---|---|\n"
        text += "".join(option_row(p, hints) for p in parameters)
    return text


def grouped(parameters: Any) -> dict[str, list[Any]]:
    """Return options by the heading that they have in the help."""
    groups: dict[str, list[Any]] = {}
    for parameter in parameters:
        if parameter.param_type_name != "argument":
            heading = getattr(parameter, "rich_help_panel", None) or "Options"
            groups.setdefault(heading.partition(",")[0], []).append(parameter)
    return groups


def option_row(parameter: Any, hints: Any) -> str:
    """Return the row of an option."""
    names = ", ".join(f"`{text}`" for text in parameter.opts)
    long = max(parameter.opts, key=len).removeprefix("--")
    return f"| {names} | {choices_of(hints.get(long))} | {parameter.help} |\n"


def parameters() -> dict[str, Any]:
    """Return the parameters of ``tiffin export`` by their long names."""
    return {
        long.removeprefix("--"): parameter
        for parameter in load("export").params
        for long in parameter.opts
        if long.startswith("--") or long == "source"
    }


def choices_of(hint: Any) -> str:
    """Return the choices of an option, or an empty string if it takes any value."""
    for kind in (hint, *get_args(hint)):
        if get_origin(kind) is Literal and get_args(kind) != (False,):
            return ", ".join(f"`{choice}`" for choice in get_args(kind))
    return ""


def schema() -> str:
    """Return the JSON Schema of a configuration file of ``tiffin export``."""
    hints, shown = file_hints(), parameters()
    export = table_model("tiffin.toml", hints).model_json_schema()
    for name in hints:
        entry = export["properties"][name]
        description = shown[name].help.replace("\\[", "[")
        value = {key: entry[key] for key in entry if key not in ("default", "title")}
        export["properties"][name] = {
            "title": name,
            "description": description,
            **as_in_toml(value, name),
        }
    export["properties"]["corrections"] = {
        "title": "corrections",
        "description": "Corrections, in the order in which they act.",
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"kind": {"enum": [*KINDS]}},
            "required": ["kind"],
        },
    }
    own = {"$ref": "#/$defs/export"}
    exports = {
        "title": "exports",
        "description": "Exports by name; what is above them is common to all.",
        "type": "object",
        "additionalProperties": own,
    }
    service = ServiceConfig.model_json_schema()
    service["description"] = "What tiffin serve does."
    definitions = export.pop("$defs", {}) | service.pop("$defs", {})
    definitions["export"] = export | {"title": "export"}
    top = export["properties"] | {"exports": exports, "service": service}
    found = export | {"$defs": definitions, "properties": top}
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def as_in_toml(value: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the schema of a value that may also be one of a list, or a number."""
    kinds = value.get("anyOf", [value])
    kinds += [kind["items"] for kind in kinds if kind.get("type") == "array"]
    if int in OTHER_TYPES.get(name, ()):
        kinds.append({"type": "number" if float in OTHER_TYPES[name] else "integer"})
    return value if len(kinds) == 1 else {"anyOf": kinds}


def colour_maps() -> str:
    """Return the colour maps of the page of images, as its script has them."""
    import numpy as np
    from cmap import Colormap

    lines = [
        "// Written by docs/generate.py from the colour maps of cmap: 256 colours,",
        "// red, green and blue, as base64.",
        "const COLOUR_MAPS = {",
    ]
    for name in ("viridis", "inferno", "magma"):
        colours = np.array(Colormap(name).lut(256))[:, :3]
        text = b64encode(np.rint(colours * 255).astype("u1").tobytes()).decode()
        lines.append(f'  {name}: "{text}",')
    return "\n".join([*lines, "};"]) + "\n"


FILES = {
    DOCS / "reference" / "settings.md": table,
    **{
        DOCS / "reference" / f"_tiffin_{name}.md": partial(command, name)
        for name in COMMANDS
    },
    DOCS / "_static" / "tiffin.schema.json": schema,
    PAGE / "colormaps.js": colour_maps,
}

if __name__ == "__main__":
    for path, make in FILES.items():
        path.write_text(make(), encoding="utf-8")
