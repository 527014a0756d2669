"""Write a configuration file with comments, from the answers of a user."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tiffin.options import CorrectionOptions
from tiffin.settings import check_model

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

TEMPLATE = "{start.scan_id}/{start.scan_id}_{event.seq_num:03d}.tif"
"""Names for a beginning: a folder for each run, a file for each event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a configuration file is to say, in values of the shell's options."""

    source: str = ""
    """Empty if it differs from export to export."""
    directory: str = "images"
    """Several exports have a folder each in it."""
    templates: Mapping[str, str] = field(default_factory=dict)
    """Field → the template of its names."""
    streams: tuple[str, ...] = ("primary",)
    dark: str = ""
    profile: str = "plain"
    existing: str = "resume"


HEAD = """\
# How tiffin exports the images of this beamline.
#
#   tiffin export{choice} --dry-run    shows the names
#   tiffin export{choice}              exports
#
# Live, in the session of the RunEngine:
#
#   from tiffin import ImageExporter
#   RE.subscribe(ImageExporter.from_config("tiffin.toml"{python}))
#
# Every option of "tiffin export --help" can stand here, under its long name. Lines that
# begin with "#" are switched off.

# --- Source: the address of a Tiled server, or a file or folder of documents. A key has
# no place here: put it into the environment variable TILED_API_KEY.
{source}

# --- Folder: where images go, relative to the folder in which tiffin runs. Several
# exports with existing = "resume" need a folder each.
{directory}
# mode = "640"              # permissions of files
# directory-mode = "2750"   # permissions of new folders

# --- Streams.
stream = [{streams}]
# all-streams = true

# --- Files: for the program that reads them (plain is read by most; imagej, ome, gsas2,
# pilatus, areadetector). A sidecar lies beside them: documents, a table of the images.
profile = {profile}
# compression = "zlib"
# sidecar = ["run.json", "frames.csv"]

# --- Policies. If a file exists: error, skip, replace, unique, or resume, which writes
# only what is missing or damaged. If the disk is full: stop, or wait.
existing = {existing}
on-full = "stop"

# --- Corrections, in the order in which they act. Their files lie beside this one.
{corrections}
# [[corrections]]
# kind = "mask"
# file = "mask.tif"
# fill = 0
"""

DARK = """\
[[corrections]]
kind = "dark"
{place}
missing = "error"   # a light without a dark: error, raw (as it is), or skip
"""

EXPORTS = """
# --- Exports. A template makes names of metadata. "tiffin runs SOURCE --run -1" lists
# what it may use, "tiffin template TEMPLATE --explain" explains it.
"""


def config_text(answers: Answers) -> str:
    """Return the file.

    Examples
    --------
    >>> text = config_text(Answers(templates={"img": "{frame}.tif"}))
    >>> print(text[text.index("[exports") :], end="")
    [exports.img]
    field = "img"
    template = "{frame}.tif"
    """
    names = export_names(answers.templates)
    several = len(names) > 1
    first = next(iter(names.values()), "images")
    source = answers.source
    head = HEAD.format(
        choice=f" --as {first}" if several else "",
        python=f', export="{first}"' if several else "",
        source=f"source = {_text(source)}" if source else '# source = "run.jsonl"',
        directory="# " * several + f"directory = {_text(answers.directory)}",
        streams=", ".join(map(_text, answers.streams)),
        profile=_text(answers.profile),
        existing=_text(answers.existing),
        corrections=_dark(answers.dark),
    )
    return head + EXPORTS + "\n".join(_exports(answers, names))


def export_names(fields: Iterable[str]) -> dict[str, str]:
    """Return a name for the export of each field.

    Examples
    --------
    >>> export_names(["pe1_image", "cam.2", "cam_2"])
    {'pe1_image': 'pe1', 'cam.2': 'cam_2', 'cam_2': 'cam_2_2'}
    """
    names: dict[str, str] = {}
    for each in fields:
        stem = re.sub(r"\W", "_", each.removesuffix("_image"), flags=re.ASCII)
        name, number = stem or "images", 1
        while name in names.values():
            number += 1
            name = f"{stem}_{number}"
        names[each] = name
    return names


def _exports(answers: Answers, names: Mapping[str, str]) -> Iterator[str]:
    for each, template in answers.templates.items():
        lines = [f"[exports.{names[each]}]", f"field = {_text(each)}"]
        if len(names) > 1:
            directory = f"{answers.directory}/{names[each]}"
            lines.append(f"directory = {_text(directory)}")
        yield "\n".join([*lines, f"template = {_text(template)}\n"])
    if not names:
        yield f"[exports.images]\ntemplate = {_text(TEMPLATE)}\n"


def _dark(option: str) -> str:
    """Return the table of a dark that is subtracted; commented if there is none."""
    if not option:
        return re.sub("(?m)^(?=.)", "# ", DARK.format(place='stream = "dark"'))
    (table,) = check_model(CorrectionOptions, {"dark": option}).tables()
    ((key, value),) = table.settings.items()
    return DARK.format(place=f"{key} = {_text(value)}")


def _text(value: str | float) -> str:
    """Return text or a number as TOML writes it."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
