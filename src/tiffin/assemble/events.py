"""Events: images in the event itself, or references to datums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tiffin.assemble.data_keys import declares_image, is_streamed
from tiffin.assemble.documents import array_shape
from tiffin.assemble.inline import inline_pixels
from tiffin.assemble.malformed import MALFORMED_OR_OURS, malformed_error
from tiffin.errors import FieldError, NoImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiffin.assemble.datums import Datums
    from tiffin.assemble.field_selection import FieldSelection
    from tiffin.assemble.list_images import ListDtypes
    from tiffin.assemble.runs import OpenRun
    from tiffin.errors import TiffinError
    from tiffin.frames import Frame, Pixels

__all__ = ["Events"]


class Events:
    """Makes the frames of events.

    Parameters
    ----------
    selection : FieldSelection
    dtypes : ListDtypes
        Chooses the dtype of lists for which none is declared.
    datums : Datums
        Makes the frames of references.
    """

    def __init__(
        self, selection: FieldSelection, dtypes: ListDtypes, datums: Datums
    ) -> None:
        self._selection = selection
        self._dtypes = dtypes
        self._datums = datums

    def frames(
        self, run: OpenRun, descriptor: Mapping[str, Any], event: Mapping[str, Any]
    ) -> Iterator[Frame]:
        """Yield the frames of an event, field by field."""
        data, data_keys = event["data"], descriptor["data_keys"]
        for name in self._selection.in_event(data, data_keys):
            data_key = data_keys.get(name, {})
            if name in data and _is_reference(event, name, data_key):
                yield from self._datums.frames(
                    run, descriptor, event, name, final=False
                )
            elif name in data:
                pixels = self._pixels(run, descriptor, event, name, data_key)
                if pixels is not None:
                    yield from run.frames(descriptor, event, name, pixels)
            elif not is_streamed(data_key):
                problem = NoImageError(f"event {event['seq_num']} holds no {name!r}")
                yield from run.frames(descriptor, event, name, problem)

    def _pixels(
        self,
        run: OpenRun,
        descriptor: Mapping[str, Any],
        event: Mapping[str, Any],
        name: str,
        data_key: Mapping[str, Any],
    ) -> Pixels | TiffinError | None:
        """Return the pixels of a value, or why there are none; None for no image."""
        value = event["data"][name]
        shape = array_shape(value)
        declared = declares_image(data_key)
        if shape is not None and (len(shape) >= 2 or (declared and shape == (0,))):
            key = (run.uid, descriptor["name"], name)
            try:
                hints = self._selection.hints(name, data_key)
                pixels: Any = inline_pixels(value, data_key, self._dtypes, key, hints)
                return self._selection.check(pixels, declared=False)
            except MALFORMED_OR_OURS as error:
                return malformed_error(f"event {event['seq_num']}: {name!r}", error)
        if declared or name in run.found:
            got = type(value).__name__ if shape is None else f"shape {list(shape)}"
            message = f"event {event['seq_num']}: {name!r} is not an image here ({got})"
            return FieldError(message)
        return None  # the end of the run reports it, if the user asked for this field


def _is_reference(
    event: Mapping[str, Any], name: str, data_key: Mapping[str, Any]
) -> bool:
    if not isinstance(event["data"][name], str):
        return False
    filled = event.get("filled")
    in_filled = isinstance(filled, Mapping) and name in filled
    return in_filled or bool(str(data_key.get("external", "")))
