"""What the page tells of each image: a row of plain values for JSON.

Manifests and files may be anybody's, so types are checked and texts are cut.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tiffin.report.statistics import exact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiffin.report.listed_images import ListedImage

LONGEST = 500
"""How many characters of a value are shown."""

MOST = 50
"""How many motors, entries and corrections of an image are shown."""

USUAL = {
    *("run", "scan_id", "stream", "field", "seq_num", "i", "frame", "kind"),
    *("time", "timestamp", "sample", "plan_name", "motors", "exposure"),
    *("corrections", "used", "clipped"),
}
"""The keys of metadata that have a place of their own."""


def row_of(image: ListedImage, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the manifest and the file tell of an image."""
    line = image.line
    time = _number(line.get("time"))
    row = {
        "run": image.run,
        "name": image.name,
        "page": image.page,
        "seq_num": image.seq_num,
        "i": image.index,
        "frame": _number(metadata.get("frame", line.get("frame"))),
        "stream": _text(line.get("stream")),
        "field": _text(line.get("field")),
        "kind": _text(line.get("image")),
        "time": _text(metadata.get("time")),
        "timestamp": time if time else _number(metadata.get("timestamp")),
        "scan_id": _text(metadata.get("scan_id")),
        "sample": _text(metadata.get("sample")),
        "plan": _text(metadata.get("plan_name")),
        "exposure": _number(metadata.get("exposure")),
        "clipped": _number(line.get("clipped")),
        "corrections": _texts(metadata.get("corrections")),
        "used": [_used(entry) for entry in _list(line.get("used"))],
        "motors": _motors(metadata.get("motors")),
        "others": _others(metadata, line.get("values")),
    }
    return {key: value for key, value in row.items() if value not in (None, [], {})}


def link_companions(rows: Sequence[dict[str, Any]], lines: Sequence[Any]) -> None:
    """Tell subtracted images where their light and their dark are, and lights of darks.

    `lines` are those of the manifest, one for each row.
    """
    by_place: dict[tuple[Any, ...], int] = {}
    by_name: dict[str, int] = {}
    for n, row in enumerate(rows):
        kind = row.get("kind", "light")
        place = (row["run"], row.get("stream"), row.get("field"), row.get("seq_num"))
        by_place.setdefault((kind, *place), n)
        by_place.setdefault((kind, *place, row.get("i")), n)
        by_name.setdefault(row["name"], n)
    for row, line in zip(rows, lines, strict=True):
        if row.get("kind") != "sub":
            continue
        place = (row["run"], row.get("stream"), row.get("field"), row.get("seq_num"))
        light = by_place.get(("light", *place, row.get("i")))
        if light is not None:
            row["light"] = light
        for used in _list(line.get("used")):
            dark = _dark_of(used, row, by_place, by_name)
            if dark is not None:
                row["dark"] = dark
                if light is not None:
                    rows[light]["dark"] = dark
                break


def _dark_of(
    used: Any,
    row: Mapping[str, Any],
    by_place: Mapping[tuple[Any, ...], int],
    by_name: Mapping[str, int],
) -> int | None:
    """Return the index of a dark that a line names, if it is among the images."""
    if not isinstance(used, dict):
        return None
    name = used.get("name")
    if isinstance(name, str):  # an absolute path, and the folder may have moved
        parts = name.split("/")
        for k in range(len(parts)):
            if (n := by_name.get("/".join(parts[k:]))) is not None:
                return n
    run, stream, seq_num = (used.get(key) for key in ("run", "stream", "seq_num"))
    if not isinstance(seq_num, int):
        return None
    for kind in ("dark", "light"):
        place = (kind, run or row["run"], stream, row.get("field"), seq_num)
        if place in by_place:
            return by_place[place]
    return None


def _text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    try:
        text = value if isinstance(value, str) else json.dumps(value)
    except RecursionError:
        return "…"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"


def _number(value: Any) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return exact(value) if is_number else None


def _list(value: Any) -> list[Any]:
    return value[:MOST] if isinstance(value, list) else []


def _texts(value: Any) -> list[str]:
    return [text for item in _list(value) if (text := _text(item))]


def _used(entry: Any) -> str:
    """Return what a correction used, in a line."""
    if not isinstance(entry, dict):
        return _text(entry) or ""
    named = entry.get("name") is not None  # which tells run, stream and event
    hidden = ("name", "run", "stream", "seq_num") if named else ()
    parts = [entry["name"]] if named else []
    parts += [
        f"{key} {_text(value)}"
        for key, value in entry.items()
        if value is not None and key not in hidden
    ]
    return _text(", ".join(str(_text(part)) for part in parts)) or ""


def _motors(value: Any) -> dict[str, Any]:
    """Return motor → [value, unit]."""
    motors: dict[str, Any] = {}
    for name, motor in list(value.items() if isinstance(value, dict) else ())[:MOST]:
        found, unit = motor, None
        if isinstance(motor, dict):
            found, unit = motor.get("value"), _text(motor.get("unit"))
        motors[str(name)[:LONGEST]] = [_value(found), unit] if unit else [_value(found)]
    return motors


def _others(metadata: Mapping[str, Any], values: Any) -> dict[str, Any]:
    """Return entries that the user added, and figures that the export made."""
    added = {key: value for key, value in metadata.items() if key not in USUAL}
    added |= values if isinstance(values, dict) else {}
    return {str(key)[:LONGEST]: _value(added[key]) for key in list(added)[:MOST]}


def _value(value: Any) -> Any:
    number = _number(value)
    return _text(value) if number is None else number
