"""Check that template and dtype are those of the format."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tiffin.errors import SettingsError, TemplateError
from tiffin.writers import format_of

if TYPE_CHECKING:
    import numpy as np

    from tiffin.writers import Writer

__all__ = ["check_format"]

ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]*$")


def check_format(
    writer: Writer, template: str, dtype: np.dtype | None, profile: str
) -> None:
    """Refuse a template or a dtype that is not the format's.

    Raises
    ------
    SettingsError, TemplateError
    """
    if dtype is not None and dtype.name not in writer.dtypes:
        message = (
            f"{dtype.name!r} can't be stored with format={writer.format!r} and "
            f"profile={profile!r}: choose one of {', '.join(writer.dtypes)}"
        )
        raise SettingsError(message, setting="dtype")
    found = ENDING.search(template)
    if found is None or found.group().lower() in writer.suffixes:
        return
    ending, usual = found.group(), writer.suffixes[0]
    other = format_of(ending)
    if other is None and writer.format == "tiff":
        return  # some programs want another ending
    message = (
        f"template {template!r} ends in {ending!r}, but files of format="
        f"{writer.format!r} end in {usual!r}: write "
        f"{template.removesuffix(ending) + usual!r}"
    )
    raise TemplateError(message + (f", or format={other!r}" if other else ""))
