"""Write the documents of a run as JSON that every program reads."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.template import elements, follow, is_container, plain

if TYPE_CHECKING:
    from tiffin.export.run_documents import DocumentsOfRun

DEEPEST = 100
"""Values that are nested deeper are left out."""


def run_json(documents: DocumentsOfRun) -> bytes:
    """Return the documents of a run as a JSON object, in UTF-8.

    NaN and infinity become null, arrays become lists. What JSON can't hold becomes
    null too; ``not_json`` then names it, with its type.
    """
    left_out: dict[str, str] = {}
    found: dict[str, Any] = {
        "start": _as_json(documents.start, "start", left_out),
        "descriptors": _as_json(
            [*documents.descriptors.values()], "descriptors", left_out
        ),
        "stop": _as_json(documents.stop, "stop", left_out),
    }
    if left_out:
        found["not_json"] = left_out
    text = json.dumps(found, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
    # UTF-8 has nothing for half of a surrogate pair, and JSON has an escape.
    return text.encode("utf-8", "backslashreplace")


def _as_json(value: Any, place: str, left_out: dict[str, str], depth: int = 0) -> Any:
    value = plain(value)
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth > DEEPEST:
        left_out[place] = "nested too deep"
        return None
    if isinstance(value, np.ndarray):
        value = np.ndarray.tolist(value)
    if not is_container(value):
        left_out[place] = type(value).__name__
        return None
    if isinstance(value, Mapping):
        return {
            str(plain(key)): _as_json(
                follow(value, key) if isinstance(key, str) else value[key],
                f"{place}.{key}",
                left_out,
                depth + 1,
            )
            for key in elements(value)
        }
    return [
        _as_json(item, f"{place}.{n}", left_out, depth + 1)
        for n, item in enumerate(elements(value))
    ]
