"""Names from a ``file_prefix`` in Python's format language.

They are those of suitcase-tiff, except that no value of a document adds a folder or
leaves the directory.
"""

from __future__ import annotations

import re
import string
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tiffin.errors import MissingKeyError, SettingsError, TemplateError
from tiffin.template import Style

if TYPE_CHECKING:
    from collections.abc import Mapping

_TIME = re.compile("%[a-zA-Z]")
"""A strftime directive. In ``.1%``, a percent sign stands alone."""

_FORBIDDEN = re.compile(r"[/\x00-\x1f\x7f]|^\.+")
"""What a value must not bring into a name: separators, control characters, and dots at
its beginning."""


class _Formatter(string.Formatter):
    """Python's own, with times, and with values that are no part of a path."""

    def format_field(self, value: Any, format_spec: str) -> str:
        if _TIME.search(format_spec):
            if isinstance(value, (int, float)):
                value = Style().time(value)
            if isinstance(value, datetime):
                return format(value, format_spec)  # its slashes are the author's
        return _FORBIDDEN.sub("_", format(value, format_spec))


_formatter = _Formatter()


def check_prefix(file_prefix: str, roots: tuple[str, ...]) -> None:
    """Refuse a prefix that can't give a name: in its curly brackets stand `roots`."""
    try:
        fields = [field for _, field, _, _ in _formatter.parse(file_prefix)]
    except (TypeError, ValueError) as error:
        message = f"{file_prefix!r} is not a format string: {error}"
        raise SettingsError(message, setting="file_prefix") from None
    for field in fields:
        root = re.split(r"[.\[]", field or "")[0]
        if field is not None and root not in roots:
            allowed = ", ".join(f"{{{each}}}" for each in roots)
            message = f"has {{{field}}}; there are {allowed}"
            raise SettingsError(message, setting="file_prefix")


def file_name(file_prefix: str, ending: str, values: Mapping[str, Any]) -> str:
    """Return the name of a file, relative to the directory.

    Examples
    --------
    >>> values = {"start": {"sample": "../Ni", "time": 0}, "field": "img"}
    >>> file_name("{start[time]:%Y/%m}/{start[sample]}-", "{field}.tiff", values)
    '1970/01/__Ni-img.tiff'
    """
    try:
        name = _formatter.vformat(file_prefix + ending, (), values)
    except LookupError as error:
        message = f"file_prefix={file_prefix!r}: the document has no {error}"
        raise MissingKeyError(message) from None
    except AttributeError as error:
        message = (
            f"file_prefix={file_prefix!r} gives no name: put a key into square "
            f"brackets, as in {{start[{error.name}]}}"
        )
        raise TemplateError(message) from None
    except (TypeError, ValueError, OverflowError) as error:
        message = f"file_prefix={file_prefix!r} gives no name: {error}"
        raise TemplateError(message) from None
    parts = [part for part in name.split("/") if part != "."]
    if parts[0] == "" or ".." in parts:
        message = (
            f"file_prefix={file_prefix!r} gives the name {name!r}, which is outside of "
            f"the directory: choose another directory="
        )
        raise TemplateError(message)
    return "/".join(part for part in parts if part)
