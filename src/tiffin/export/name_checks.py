"""Find names that can't be made, as early as the documents show it."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from tiffin.errors import TemplateError, TiffinError
from tiffin.template import field_to_add

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.assemble import DeclaredImages
    from tiffin.engine import Ledger
    from tiffin.frames import Frame
    from tiffin.settings import Settings


class NameChecks:
    """Checks the template at start documents and descriptors; remembers failures."""

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._template = settings.template
        self._stack = settings.stack
        self._ledger = ledger
        # By the uid of a run; or of a descriptor, and the field.
        self._refused: dict[tuple[str, str | None], TiffinError] = {}
        self._descriptors: defaultdict[str, list[str]] = defaultdict(list)
        self._first: dict[tuple[str, str | None], TiffinError] = {}
        self._streams: defaultdict[str, set[str]] = defaultdict(set)

    def forget(self, run: str) -> None:
        """Forget a run."""
        uids = {run, *self._descriptors.pop(run, ())}
        self._refused = {k: e for k, e in self._refused.items() if k[0] not in uids}
        self._first = {k: e for k, e in self._first.items() if k[0] != run}
        self._streams.pop(run, None)

    def check_start(self, start: Mapping[str, Any]) -> TemplateError | None:
        """Return the error that every name of a run would have."""
        try:
            self._template.check_start(start)
        except TemplateError as error:
            self.refuse_run(str(start["uid"]), error)
            return error
        return None

    def refuse_run(self, run: str, error: TiffinError) -> None:
        """Refuse the names of all frames of a run."""
        self._refused[run, None] = error
        self._first.setdefault((run, None), error)
        effect = "no image of this run can be exported"
        self._ledger.say(run, error, effect=effect)

    def check_descriptor(
        self, declared: DeclaredImages, *, live: bool
    ) -> TemplateError | None:
        """Return the error that every name of a stream would have.

        Live, this includes a template that gives several declared frames the same name.
        A replay checks the frames themselves.
        """
        descriptor, start = declared.descriptor, declared.start
        run = str(start["uid"])
        if declared.images:
            self._streams[run].add(str(descriptor["name"]))
        found: TemplateError | None = None
        for field, images in declared.images.items():
            try:
                self._template.check_descriptor(descriptor, start, field)
                if live:
                    self._check_distinct(declared, images)
            except TemplateError as error:
                self._refused[str(descriptor["uid"]), field] = error
                self._descriptors[run].append(str(descriptor["uid"]))
                self._first.setdefault((run, field), error)
                self._ledger.say(run, error, field)
                found = found or error
        return found

    def refusal(self, frame: Frame) -> TiffinError | None:
        """Return why a frame can't have a name, if its run or stream was refused."""
        if not self._refused:
            return None
        of_stream = (str(frame.descriptor.get("uid")), frame.field)
        return self._refused.get((frame.run, None)) or self._refused.get(of_stream)

    def first_refusal(self, run: str, field: str | None) -> TiffinError | None:
        """Return the first refusal of a run, or of one of its fields."""
        for (of, refused), error in self._first.items():
            if of == run and (None in (refused, field) or refused == field):
                return error
        return None

    def _check_distinct(self, declared: DeclaredImages, images: int) -> None:
        template, start = self._template, declared.start
        streams = self._streams[str(start["uid"])]
        events = start.get("num_points")
        most = self._stack if isinstance(self._stack, int) else None
        if self._stack == "run":
            events = 1
        elif most is not None and isinstance(events, int):
            events = -(-events * images // most)
        if self._stack is not None:
            images = 1
        mend = field_to_add(
            template.fields,
            num_points=events,
            images=images,
            image_fields=len(declared.images),
            streams=len(streams),
        )
        if mend is not None:
            mend = "{frame}" if most and "event" in mend else mend
            many = {
                "{frame}": f"all stacks of {most} frames",
                "{i}": f"the {images} images of an event",
                "{field}": f"the images of {len(declared.images)} fields",
                "{stream}": f"the images of streams {' and '.join(sorted(streams))}",
            }
            message = (
                f"template {template.text!r} gives the same name to "
                f"{many.get(mend, 'all events of a run')}: add {mend}"
            )
            raise TemplateError(message)
