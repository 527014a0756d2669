"""What the descriptions of a file say, in whatever way a program wants it said."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.writers.profile import PageInfo

OF_ALL_PAGES = ("run", "scan_id", "stream", "field", "sample", "plan_name", "exposure")
"""What the metadata of one page says of the others as well."""


_as_json = json.JSONEncoder(ensure_ascii=False).encode


def dimensions(page: PageInfo, *, any_order: bool) -> dict[str, int]:
    """Return T (time), Z (depth) and C (channel) of the pages, the slowest first.

    Axes with other names become T, Z and C in their order; with `any_order`, axes that
    are named T, Z and C may be in another one. A plain sequence, or a scan that is not
    complete, is T.

    Examples
    --------
    >>> import numpy as np
    >>> from tiffin.writers import PageInfo
    >>> grid = PageInfo((8, 8), np.dtype("u2"), {}, pages=12, axes={"y": 3, "x": 4})
    >>> dimensions(grid, any_order=False)
    {'T': 3, 'Z': 4}
    """
    lengths = list(page.axes.values())
    if not lengths or math.prod(lengths) != page.pages:
        return {"T": page.pages}
    letters = "TZC" if len(page.shape) == 2 else "TZ"  # colours are channels
    names = [name.upper() for name in page.axes]
    in_order = [letter for letter in letters if letter in names]
    if names == in_order or (any_order and sorted(names) == sorted(in_order)):
        return dict(zip(names, lengths, strict=True))
    while len(lengths) > len(letters):
        lengths[:2] = [lengths[0] * lengths[1]]
    return dict(zip(letters, lengths, strict=False))


def facts(page: PageInfo) -> dict[str, str]:
    """Return the metadata of a file as text: for several pages, what all share."""
    metadata = page.metadata
    if page.pages > 1:
        metadata = {key: metadata[key] for key in OF_ALL_PAGES if key in metadata}
    return _texts(metadata)


def label(metadata: Mapping[str, Any]) -> str:
    """Return a line that tells the image of a page from the others of its file.

    Examples
    --------
    >>> th = {"value": 1.5, "unit": "deg"}
    >>> label({"scan_id": 7, "seq_num": 3, "time": "2026-11-29", "motors": {"th": th}})
    'seq_num 3, th 1.5 deg, 2026-11-29'
    """
    known = {
        key: metadata[key]
        for key in metadata
        if key == "motors" or isinstance(metadata[key], (str, int, float))
    }
    for key in (*OF_ALL_PAGES, "timestamp"):
        known.pop(key, None)
    time = [str(known.pop("time"))] if "time" in known else []
    found = [f"{key} {value}" for key, value in _texts(known).items()]
    return " ".join(", ".join(found + time).split())


def _texts(metadata: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in metadata.items():
        if key == "motors" and isinstance(value, dict):
            found |= {motor: _with_unit(of_it) for motor, of_it in value.items()}
        else:
            found[key] = _with_unit(value)
    return found


def _with_unit(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, dict) and set(value) in ({"value"}, {"value", "unit"}):
        return f"{_with_unit(value['value'])} {value.get('unit', '')}".strip()
    return _as_json(value)
