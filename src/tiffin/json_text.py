"""Write values as JSON, quickly."""

from __future__ import annotations

import json
from typing import Any

import orjson


def json_text(value: Any, *, ascii_only: bool = False) -> bytes:
    r"""Return a value as JSON on one line, in UTF-8.

    Parameters
    ----------
    value : dict, list, str, int, float, bool or None
    ascii_only : bool
        Whether to escape all other characters, for programs that read ASCII.

    Examples
    --------
    >>> json_text({"unit": "µm"}, ascii_only=True)
    b'{"unit":"\\u00b5m"}'
    """
    try:
        text = orjson.dumps(value)
    except TypeError:  # lone surrogates, and integers of more than 64 bits
        text = None
    if text is not None and (text.isascii() or not ascii_only):
        return text
    escaped = json.dumps(value, ensure_ascii=ascii_only, separators=(",", ":"))
    return escaped.encode("utf-8", "backslashreplace")
