"""Say which of the requested fields a run did not have, and which it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiffin.assemble.data_keys import declares_image, image_fields, is_streamed
from tiffin.errors import FieldError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from tiffin.assemble.runs import OpenRun

    Names = tuple[str, ...] | None


def missing_fields(
    run: OpenRun, fields: Names, streams: Names
) -> list[tuple[str | None, FieldError]]:
    """Return each requested field that had no image, and why.

    None instead of a field means that the run has no image at all.
    """
    if fields is None:
        if not run.found:
            where = "any stream" if streams is None else " or ".join(map(repr, streams))
            message = f"run {run.uid[:8]} has no image in {where}; {_choices(run)}"
            return [(None, FieldError(message))]
        fields = (*sorted(run.absent), *_never_streamed(run, streams))
    names = [name for name in dict.fromkeys(fields) if name not in run.found]
    return [(name, FieldError(_reason(run, name, streams))) for name in names]


def _never_streamed(run: OpenRun, streams: Names) -> list[str]:
    """Return the fields that should have had stream datums."""
    return [
        name
        for descriptor in run.descriptors.values()
        if descriptor["name"] in run.seq_nums
        and (streams is None or descriptor["name"] in streams)
        for name, data_key in descriptor["data_keys"].items()
        if declares_image(data_key) and is_streamed(data_key)
    ]


def _reason(run: OpenRun, name: str, streams: Names) -> str:
    short = run.uid[:8]
    data_keys = {
        descriptor["name"]: descriptor["data_keys"][name]
        for descriptor in run.descriptors.values()
        if name in descriptor["data_keys"]
    }
    if not data_keys:
        images = [name for names in _image_fields(run).values() for name in names]
        hint = did_you_mean(name, images, list_all=False)
        return f"run {short} has no field {name!r}{hint or ';'} {_choices(run)}"
    selected = [s for s in data_keys if streams is None or s in streams]
    if not selected:
        return (
            f"field {name!r} of run {short} is in stream "
            f"{' and '.join(map(repr, data_keys))} only: "
            f"ask for streams={tuple(data_keys)!r}"
        )
    data_key = data_keys[selected[0]]
    if declares_image(data_key):
        return f"run {short} has no event with field {name!r} in {selected[0]!r}"
    shape = data_key.get("shape")
    shape = [] if shape is None else [*shape] if isinstance(shape, tuple) else shape
    return (
        f"field {name!r} of run {short} is not an image: its shape is {shape}, "
        f"an image has two dimensions or more; {_choices(run)}"
    )


def _choices(run: OpenRun) -> str:
    fields, what = _image_fields(run), "its image fields are: "
    if not fields:
        fields = _fields(run)
        if not fields:
            return "it has no fields at all"
        what = "it declares no image field; its fields are: "
    choices = (f"{', '.join(f[:20])} (stream {s!r})" for s, f in fields.items())
    return what + "; ".join(choices)


def _image_fields(run: OpenRun) -> dict[str, list[str]]:
    """Return the image fields by stream, as declared or as far as they may be."""
    return _fields(run, image_fields)


def _fields(
    run: OpenRun, chosen: Callable[[Mapping[str, Any]], Iterable[str]] = list
) -> dict[str, list[str]]:
    """Return the fields that are chosen of the data keys of each stream."""
    found: dict[str, dict[str, None]] = {}
    for descriptor in run.descriptors.values():
        names = dict.fromkeys(chosen(descriptor["data_keys"]))
        if names:
            found.setdefault(descriptor["name"], {}).update(names)
    return {stream: [*names] for stream, names in found.items()}
