"""Events: images that stand in them, and references to datums."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tiffin.assemble.data_keys import declares_image
from tiffin.assemble.documents import array_shape
from tiffin.assemble.event_frames import frames_of
from tiffin.assemble.inline import inline_pixels
from tiffin.assemble.malformed import MALFORMED_OR_OURS, malformed_error
from tiffin.errors import FieldError, NoImageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiffin.assemble.datums import Datums
    from tiffin.assemble.field_selection import FieldSelection
    from tiffin.assemble.inline import ListDtypes
    from tiffin.assemble.run import OpenRun
    from tiffin.frames import Frame, Pixels

__all__ = ["Events"]


class Events:
    """Gives the frames that events tell of, at once or once a datum is known.

    Parameters
    ----------
    selection : FieldSelection
    dtypes : ListDtypes
        The rule for lists without a dtype.
    datums : Datums
        Who knows what references mean.
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
        """Return the images of an event, field by field."""
        for name in self._selection.fields_in(event["data"], descriptor["data_keys"]):
            yield from self._of_field(run, descriptor, event, name)

    def _of_field(
        self,
        run: OpenRun,
        descriptor: Mapping[str, Any],
        event: Mapping[str, Any],
        name: str,
    ) -> Iterator[Frame]:
        data_key = descriptor["data_keys"].get(name, {})
        external = str(data_key.get("external", ""))
        if name not in event["data"]:
            if external.startswith("STREAM:"):
                return  # its stream datum tells of it
            problem = NoImageError(f"event {event['seq_num']} holds no {name!r}")
            yield from frames_of(run, descriptor, event, name, problem)
            return
        value = event["data"][name]
        shape = array_shape(value)
        announced = declares_image(data_key)
        if isinstance(value, str) and (external or _may_be_filled(event, name)):
            yield from self._datums.frames(run, descriptor, event, name, final=False)
        elif shape is not None and (len(shape) >= 2 or (announced and shape == (0,))):
            where = (run.uid, descriptor["name"], name)
            try:
                pixels = self._selection.checked(self._pixels(value, data_key, where))
            except MALFORMED_OR_OURS as error:
                pixels = malformed_error(f"event {event['seq_num']}: {name!r}", error)
            yield from frames_of(run, descriptor, event, name, pixels)
        elif announced or name in run.seen:
            held = type(value).__name__ if shape is None else f"shape {list(shape)}"
            message = f"event {event['seq_num']}: {name!r} is no image here ({held})"
            yield from frames_of(run, descriptor, event, name, FieldError(message))
        # Else the field is none of images: said at the run's end, if it was asked for.

    def _pixels(
        self, value: Any, data_key: Mapping[str, Any], where: tuple[str, str, str]
    ) -> Pixels:
        hints = self._selection.hints(where[-1], data_key)
        made: Any = inline_pixels(value, data_key, self._dtypes, where, hints)
        pixels: Pixels = made
        return pixels


def _may_be_filled(event: Mapping[str, Any], name: str) -> bool:
    """Whether an event knows of a field that it is, or is not, filled."""
    filled = event.get("filled")
    return isinstance(filled, Mapping) and name in filled
