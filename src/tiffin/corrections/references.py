"""Darks and flat fields: find the images that belong to a frame, and average them."""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from dataclasses import fields
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from tiffin.corrections.arithmetic import average, check_real
from tiffin.corrections.checks import check_choice, check_text, set_fields
from tiffin.corrections.nearest_run import Nearest, Order
from tiffin.display import count_text
from tiffin.dtypes import refuse_masked
from tiffin.errors import (
    CorrectionError,
    DtypeError,
    FieldError,
    NoImageError,
    SettingsError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from tiffin.corrections.base import ReferenceImages, RunView
    from tiffin.frames import Frame

BadPixels = Literal["error", "keep"]

MAX_RUNS = 100
"""Runs that are looked at until one fits; each may cost several requests."""

MAX_SHOWN = 3
"""Runs that did not fit, and are listed in the message."""

CACHED = 8
"""Prepared images that are kept for a run, as one for each of several detectors."""

COMPARED = {
    "exposure": ("exposure", "acquire_time", "count_time", "integration_time"),
    "gain": ("gain",),
    "binning": ("bin_x", "bin_y", "binning"),
}
"""What must be equal for light and dark: parts of the keys of a configuration."""


class ReferenceCorrection:
    """Base of the settings of corrections that use images from elsewhere."""

    __slots__ = ()

    key: str | None
    stream: str | None
    file: str | None
    dead: BadPixels
    order: Order

    def __str__(self) -> str:
        """Return the settings that differ from their defaults."""
        shown = []
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            hidden = field.name == "catalog" or (
                field.name == "order" and not self.stream
            )
            if not hidden and value != field.default:
                shown.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams of the run that the images come from."""
        return () if self.stream is None else (self.stream,)

    def _check_source(self, what: str, sources: tuple[str, ...]) -> None:
        given = [name for name in sources if getattr(self, name) is not None]
        if len(given) != 1:
            message = (
                f"{what} comes from one of {', '.join(sources)}, "
                f"not from {' and '.join(given) or 'nowhere'}"
            )
            raise SettingsError(message)
        for name in ("key", "stream", "file"):
            check_text(name, getattr(self, name))
        if self.file is not None:
            set_fields(self, file=str(self.file))
        check_choice("dead", self.dead, BadPixels)
        check_choice("order", self.order, Order)


class PreparedReference(NamedTuple):
    """The average of some reference images, ready for the arithmetic."""

    image: np.ndarray
    name: str
    notes: Sequence[Mapping[str, Any]]


class BoundReferences:
    """Find and prepare the reference images of a run, each once. Safe in threads."""

    what: str

    def __init__(self, settings: Any, run: RunView) -> None:
        self._settings = settings
        self._run = run
        self._found: dict[Any, Sequence[ReferenceImages]] = {}
        self._prepared: OrderedDict[Any, PreparedReference] = OrderedDict()
        self._lock = threading.RLock()

    def __str__(self) -> str:
        return str(self._settings)

    def _find(self, frame: Frame) -> Sequence[ReferenceImages]:
        """Return the images that belong to a frame; none if there are none."""
        settings = self._settings
        with self._lock:
            if settings.stream is not None:
                return _of_stream(
                    self._run, settings.stream, frame, settings.order, self.what
                )
            key = self._cache_key(frame)
            if key not in self._found:
                self._found[key] = self._look_up(frame)
            return self._found[key]

    def _cache_key(self, frame: Frame) -> Any:
        return self._settings.file or frame.field

    def _look_up(self, frame: Frame) -> Sequence[ReferenceImages]:
        settings = self._settings
        if settings.file is not None:
            return [self._run.of_file(settings.file)]
        return self._of_runs(self._run.start.get(settings.key), frame)

    def _of_runs(self, uids: Any, frame: Frame) -> Sequence[ReferenceImages]:
        catalog = self._settings.catalog
        return [
            reference
            for uid in _uids(uids)
            for reference in self._run.of_run(uid, frame.field, catalog)
        ]

    def _prepared_average(
        self,
        frame: Frame,
        references: Sequence[ReferenceImages],
        shape: tuple[int, ...],
    ) -> PreparedReference:
        """Return the prepared average of some references; raise if shapes differ."""
        with self._lock:
            key = tuple(references)
            if key not in self._prepared:
                self._prepared[key] = self._prepare(references)
            self._prepared.move_to_end(key)
            while len(self._prepared) > CACHED:
                self._prepared.popitem(last=False)
            ready = self._prepared[key]
        if ready.image.shape != shape:
            message = (
                f"the {self.what} ({ready.name}) has shape {ready.image.shape}, the "
                f"image ({frame}) {shape}"
            )
            raise CorrectionError(message)
        return ready

    def _prepare(self, references: Sequence[ReferenceImages]) -> PreparedReference:
        raise NotImplementedError


def _of_stream(
    run: RunView, stream: str, frame: Frame, order: Order, what: str
) -> Sequence[ReferenceImages]:
    """Return the image of a stream that belongs to a frame: one, or none."""
    if order != "before" and not run.is_whole:
        message = (
            f"{frame}: order={order!r} needs the {what}s that stream {stream!r} gives "
            f"after it, which are not known while the run goes on: export the run "
            f"afterwards, with tiffin.export or tiffin.process"
        )
        raise CorrectionError(message)
    time, is_timed = frame.taken()
    found = [
        reference
        for reference in run.of_stream(stream, frame.field)
        if order == "nearest"
        or (reference.time <= time if order == "before" else reference.time >= time)
    ]
    if len(found) > 1 and not (is_timed and all(r.is_timed for r in found)):
        side = "" if order == "nearest" else f" {order} it"
        message = (
            f"{frame}: {len(found)} {what}s came{side}, and without the times of "
            f"events tiffin can't choose one: name it with run= or file="
        )
        raise CorrectionError(message)
    if order == "before":
        return found[-1:]
    return sorted(found, key=lambda reference: abs(reference.time - time))[:1]


def find_reference_run(
    query: Nearest,
    frame: Frame,
    run: RunView,
    catalog: Any,
    mismatch: Callable[[ReferenceImages], str | None],
) -> tuple[Sequence[ReferenceImages], str]:
    """Find the nearest run whose images of a frame's field fit the frame.

    `mismatch` returns why an image does not fit. Return the images, one for each event;
    or none, and why no run fits.
    """
    unfit: list[str] = []
    for start in islice(run.nearest_runs(query, catalog), MAX_RUNS):
        uid = str(start["uid"])
        try:
            images = run.of_run(uid, frame.field, catalog)
        except (FieldError, NoImageError) as error:
            unfit.append(f"run {uid[:8]}: {error}")
            continue
        reasons = [why for reference in images if (why := mismatch(reference))]
        if images and not reasons:
            return images, ""
        reasons = reasons or [f"it has no image of {frame.field!r}"]
        unfit.append(f"run {uid[:8]}: {reasons[0]}")
    return [], _why_none(query, unfit)


def _why_none(query: Nearest, unfit: Sequence[str]) -> str:
    if not unfit:
        hint = {
            "before": ", that began before it (order='nearest' looks on both sides)",
            "after": ", that began after it, so far",
        }.get(query.order, "")
        return f"there is no other run for {query!r}{hint}"
    more = [f"{len(unfit) - MAX_SHOWN} more"] * (len(unfit) > MAX_SHOWN)
    reasons = "; ".join([*unfit[:MAX_SHOWN], *more])
    looked_at = f"{count_text(len(unfit), 'run')} looked at for {query!r}"
    return f"{looked_at}, and none fits: {reasons}"


def _uids(value: Any) -> list[str]:
    """Return the uids that a start document names: one, several, or none.

    >>> _uids("7f3a"), _uids(("7f3a", "b481")), _uids(None)
    (['7f3a'], ['7f3a', 'b481'], [])
    """
    if value is None or (isinstance(value, (bool, np.bool_, str)) and not value):
        return []
    uids = [value] if isinstance(value, str) else value
    is_list = isinstance(uids, (list, tuple, np.ndarray))
    if not is_list or not all(isinstance(uid, str) for uid in uids):
        raise CorrectionError(f"{value!r} is not the uid of a run or a list of uids")
    return [str(uid) for uid in uids]


def mean_of(references: Sequence[ReferenceImages]) -> np.ndarray:
    """Return the mean of all images of some references; one image stays as it is."""
    images = [image for reference in references for image in _read(reference)]
    return images[0] if len(images) == 1 else average(images)


def _read(reference: ReferenceImages) -> np.ndarray:
    try:
        stack = reference.read()
        refuse_masked(stack)
        return check_real(stack)
    except DtypeError as error:
        raise DtypeError(f"{reference.name}: {error}") from None


def count_bad_pixels(
    mean: np.ndarray, good: np.ndarray, what: str, dead: BadPixels
) -> int:
    """Count the pixels that can't be used; raise unless `dead` is "keep"."""
    count = int(np.count_nonzero(~good))
    if count and dead != "keep":
        where = tuple(np.argwhere(~good)[0])
        message = (
            f"{what} (pixels: {count}, such as {mean[where]:g} at row {where[0]}, "
            f"column {where[1]}): dead='keep' leaves their counts as they are, and "
            f"a Mask after it can replace them"
        )
        raise CorrectionError(message)
    return count


def checksum(array: np.ndarray) -> str:
    """Return a checksum of pixels, for the notes of a corrected image."""
    return f"crc32:{zlib.crc32(np.ascontiguousarray(array).data.cast('B')):08x}"


def acquisition_mismatch(
    light: Frame, dark: ReferenceImages, allow: Collection[str]
) -> str | None:
    """Return how a dark was taken differently from a light, and how to allow that.

    `allow` has names in `COMPARED`, or keys of a configuration, that may differ.
    """
    ours, theirs = configuration_of(light.descriptor, light.field), dark.configuration
    for what, parts in COMPARED.items():
        for key in sorted(ours.keys() & theirs.keys()):
            compared = any(part in key for part in parts)
            if not compared or what in allow or key in allow:
                continue
            if not np.array_equal(ours[key], theirs[key]):
                return (
                    f"{key} is {ours[key]!r} for the light, {theirs[key]!r} for the "
                    f"dark (allow=({what!r},) accepts that)"
                )
    return None


def configuration_of(
    descriptor: Mapping[str, Any], field: str | None
) -> Mapping[str, Any]:
    """Return the configuration of the device that a field belongs to."""
    devices = descriptor.get("configuration") or {}
    keys = descriptor.get("object_keys") or {}
    own = [name for name in devices if field in (keys.get(name) or ())]
    configuration: dict[str, Any] = {}
    for name in own or list(devices):
        configuration |= (devices[name] or {}).get("data") or {}
    return configuration
