"""Check that template and dtype are those of the format, and warn of odd names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tiffin.errors import SettingsError, TemplateError
from tiffin.writers import find_profile, format_of

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    import numpy as np

    from tiffin.template import Template
    from tiffin.writers import Writer

ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]*$")

OTHERS = re.compile(
    r"\.(jpe?g|gif|bmp|webp|h5|hdf5?|nxs|nc|zarr|npz|edf|cbf|csv|txt|jsonl?|pdf|svg|zip|gz|bz2|xz|zst)",
    re.IGNORECASE,
)
"""Endings of files that are nothing like a TIFF file."""

BLANKS = re.compile(r"(?:[ ]?[<>=^])?[-+ ]?z?#?(?P<width>[1-9][0-9]*)(?P<rest>.*)")
"""A format that fills a value up with blanks."""


def check_format(
    writer: Writer, template: str, dtype: np.dtype | None, profile: str
) -> None:
    """Refuse a template or a dtype that is not the format's."""
    if dtype is not None and dtype.name not in writer.dtypes:
        message = f"{dtype.name!r} can't be stored with format={writer.format!r}"
        takes = "format='tiff'"
        if writer.format == "tiff":
            message += f" and profile={profile!r}"
            takes = f"profile={find_profile(profile).otherwise!r}"
        message += f": choose {' or '.join(map(repr, writer.dtypes))}, or {takes}"
        raise SettingsError(message, setting="dtype")
    found = ENDING.search(template)
    if found is None or found.group().lower() in writer.suffixes:
        return
    ending, usual = found.group(), writer.suffixes[0]
    other = format_of(ending)
    is_tiff = writer.format == "tiff"
    if other is None and is_tiff and not OTHERS.fullmatch(ending):
        return  # some programs want another ending
    stem = template.removesuffix(ending)
    better = stem if stem.lower().endswith(writer.suffixes) else stem + usual
    message = (
        f"template {template!r} ends in {ending!r}, but files of format="
        f"{writer.format!r} end in {usual!r}: write {better!r}"
    )
    raise TemplateError(message + (f", or format={other!r}" if other else ""))


def odd_names(
    template: Template, suffix: str, directory: str | os.PathLike[str] = ""
) -> Iterator[str]:
    """Yield what is odd about the names of a template, and what to write instead.

    Examples
    --------
    >>> from tiffin.template import Template
    >>> template = Template("{start.scan_id}_{event.seq_num:3d}.tif")
    >>> print(*odd_names(template, ".tif"))  # doctest: +ELLIPSIS
    template field '{event.seq_num:3d}' makes names with blanks: ...
    """
    for field in template.fields:
        blank = BLANKS.fullmatch(field.specification)
        if blank is not None and field.type != "s" and not field.is_time:
            text = str(field)
            filled = f":0{blank['width']}{blank['rest']}"
            better = text.replace(f":{field.specification}", filled)
            yield f"template field {text!r} makes names with blanks: write {better!r}"
    text = template.text
    variable = re.search(r"\$(\w+|\{)", f"{directory}/{text}")
    if variable:
        yield (
            f"{variable[0]!r} stays as it is in the names: write fields as "
            f"{{start.scan_id}}, and a variable of the shell in double quotes"
        )
    if not template.fields:
        yield (
            f"template {text!r} has no field in curly brackets, such as "
            f"{{start.scan_id}} or {{event.seq_num}}: all images get one name"
        )
    by_value = re.search(r"\.\{[^{}]*\}$", text)
    if ENDING.search(text) is None and not by_value:
        shape = re.sub(r"\{[^{}]*\}", "…", text.rpartition("/")[2])
        yield (
            f"names such as {shape!r} have no extension, and programs may not open the "
            f"files: write {text + suffix!r}"
        )
