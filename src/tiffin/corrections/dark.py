"""Subtract a dark frame: of another run, a stream of this one, a file; or a number.

No number wraps: the dtype of the difference depends on the light's dtype, never on its
values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tiffin.corrections.arithmetic import prepare_dark, subtract
from tiffin.corrections.checks import check_choice, float64_number, set_fields
from tiffin.corrections.nearest_run import Nearest, Order
from tiffin.corrections.references import (
    BadPixels,
    BoundReferences,
    PreparedReference,
    ReferenceCorrection,
    acquisition_mismatch,
    checksum,
    count_bad_pixels,
    find_reference_run,
    mean_of,
)
from tiffin.dtypes import FLOAT_DTYPES, INTEGER_DTYPES, parse_dtype
from tiffin.errors import CorrectionError, MissingDarkError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiffin.corrections.base import Notes, ReferenceImages, RunView
    from tiffin.frames import Frame

ImageKind = Literal["light", "dark", "sub"]
Missing = Literal["error", "raw", "skip"]

SOURCES = ("key", "stream", "file", "constant", "run")
DTYPES = (*INTEGER_DTYPES, "int64", "uint64", *FLOAT_DTYPES)


@dataclass(frozen=True, slots=True, kw_only=True)
class DarkSubtract(ReferenceCorrection):
    """Subtract a dark frame.

    One of `key`, `stream`, `file`, `constant` and `run` says where the dark comes from.
    The default is ``key="dark_frame"``.

    Parameters
    ----------
    key : str, optional
        Key of the start document that holds the uid of the dark's run, or a list of
        uids, whose images are averaged. A run in which it is True is itself a dark, and
        is exported unchanged.
    stream : str, optional
        Stream of the same run. Each light uses the latest dark before it, unless
        `order` says otherwise.
    file : path, optional
        TIFF, NPY, or ``file.h5:/path/of/dataset``.
    constant : float, optional
        One number for all pixels [counts].
    run : str or Nearest, optional
        The uid of a run; or `Nearest`, which describes its start document. Of the runs
        that match, the nearest in time is used that has the light's exposure, gain and
        binning, except for what `allow` names. A run that itself matches is a dark, and
        is exported unchanged.
    catalog : object, optional
        Where runs are looked up: ``catalog[uid]``, or a file or list of documents. By
        default the catalogue of the export, or the runs that it exports.
    missing : {"error", "raw", "skip"}
        A light without a dark fails, is exported uncorrected (with ``light`` for
        `{kind}` in its name), or is skipped.
    pedestal : float
        Subtracted from the dark first. What is subtracted from the light is
        max(dark - pedestal, 0) [counts].
    dtype : dtype-like, optional
        Of the result. By default float32 if that holds every value of the light's dtype
        (8 and 16 bits), else float64.
    allow : tuple of str
        Differences between light and dark that are accepted: ``"exposure"``,
        ``"gain"``, ``"binning"``, ``"images"`` (a stack of darks for single lights), or
        a key of the configuration.
    dead : {"error", "keep"}
        Where the dark is NaN or infinite, the image fails, or these pixels keep their
        counts; a `Mask` after it can replace them.
    order : {"before", "nearest", "after"}
        Which dark of a stream, or which of the runs that match, a light uses: the
        latest before it, the nearest in time, or the first after it. Later darks of a
        stream are known in a replay only; live, such lights fail.

    Examples
    --------
    >>> str(DarkSubtract(stream="dark"))
    "DarkSubtract(stream='dark')"
    >>> str(DarkSubtract(run=Nearest(plan_name="dark")))
    "DarkSubtract(run=Nearest(plan_name='dark'))"
    """

    key: str | None = None
    stream: str | None = None
    file: str | None = None
    constant: float | None = None
    run: str | Nearest | None = None
    catalog: Any = None
    missing: Missing = "error"
    pedestal: float = 0
    dtype: Any = None
    allow: tuple[str, ...] = ()
    dead: BadPixels = "error"
    order: Order = "before"

    def __post_init__(self) -> None:
        if all(getattr(self, name) is None for name in SOURCES):
            set_fields(self, key="dark_frame")
        self._check_source("a dark", SOURCES)
        self._check_run()
        check_choice("missing", self.missing, Missing)
        if self.constant is not None:
            set_fields(self, constant=float64_number("constant", self.constant))
        set_fields(self, pedestal=float64_number("pedestal", self.pedestal, least=0))
        given: Any = self.allow
        allow = (given,) if isinstance(given, str) else given
        if not isinstance(allow, (tuple, list, set, frozenset)):
            message = f"allow must be names, such as ('exposure',), not {allow!r}"
            raise SettingsError(message)
        set_fields(self, allow=tuple(allow))
        if self.dtype is not None:
            set_fields(self, dtype=parse_dtype(self.dtype, DTYPES, "dtype").name)

    def _check_run(self) -> None:
        run: Any = self.run
        if run is not None and not isinstance(run, (str, Nearest)):
            message = f"run must be the uid of a run, or Nearest(...), not {run!r}"
            if isinstance(run, Mapping):
                message += f": to search for a run, use Nearest({run!r})"
            raise SettingsError(message)
        if self.order == "before":
            return
        if isinstance(run, Nearest):
            set_fields(self, run=run.with_order(self.order))
        elif self.stream is None:
            message = f"order={self.order!r} needs stream= or run=Nearest(...)"
            raise SettingsError(message)

    def bind(self, run: RunView) -> BoundDark:
        """Return the correction, ready for the images of a run."""
        return BoundDark(self, run)


class BoundDark(BoundReferences):
    """A dark subtraction of one run."""

    what = "dark"

    def __init__(self, settings: DarkSubtract, run: RunView) -> None:
        super().__init__(settings, run)
        self._why_missing: dict[Any, str] = {}
        self._compared: set[Any] = set()

    def kind(self, frame: Frame) -> ImageKind:
        """Return what a frame becomes; raise if it needs a dark and has none."""
        settings, start = self._settings, self._run.start
        if settings.stream is not None and frame.stream == settings.stream:
            return "dark"
        marks = [start.get(key) for key in (settings.key, "dark_frame") if key]
        if any(isinstance(mark, (bool, np.bool_)) and mark for mark in marks):
            return "dark"
        if isinstance(settings.run, Nearest) and settings.run.matches(start):
            return "dark"
        if settings.constant is not None:
            return "sub"
        darks = self._find(frame)
        # A run is not corrected with itself.
        if settings.stream is None and any(dark.run == frame.run for dark in darks):
            return "dark"
        if darks:
            return "sub"
        if settings.missing == "raw":
            return "light"
        raise MissingDarkError(self._missing(frame), skip=settings.missing == "skip")

    def references(self, frame: Frame) -> Sequence[ReferenceImages]:
        """Return the darks of a frame, for exports that write them too."""
        if self._settings.constant is not None or self.kind(frame) != "sub":
            return ()
        return self._find(frame)

    def __call__(self, image: np.ndarray, frame: Frame, notes: Notes, /) -> np.ndarray:
        """Subtract the frame's dark from it."""
        settings = self._settings
        if (frame.kind or self.kind(frame)) != "sub":
            return image
        if settings.constant is not None:
            notes.used.append({"constant": settings.constant})
            constant = np.asarray(settings.constant, np.float64)
            dark = prepare_dark(constant, pedestal=settings.pedestal)
            return subtract(image, dark, settings.dtype)
        with self._lock:
            references = self._find(frame)
            self._refuse_mismatch(frame, references)
            ready = self._prepared_average(frame, references, image.shape)
        notes.used += ready.notes
        return subtract(image, ready.image, settings.dtype)

    def _prepare(self, references: Sequence[ReferenceImages]) -> PreparedReference:
        mean, dead = mean_of(references), self._settings.dead
        more = f" and {len(references) - 1} more" if len(references) > 1 else ""
        name = references[0].name + more
        notes: list[dict[str, Any]] = [
            {
                "run": reference.run,
                "stream": reference.stream,
                "seq_num": reference.seq_num,
                "name": reference.name,
                "checksum": checksum(reference.read()),
            }
            for reference in references
        ]
        good = np.isfinite(mean)
        what = f"the dark ({name}) is NaN or infinite"
        if bad := count_bad_pixels(mean, good, what, dead):
            mean = np.where(good, mean, 0)
            notes[0]["dead"] = bad
        ready = prepare_dark(mean, pedestal=self._settings.pedestal)
        return PreparedReference(ready, name, notes)

    def _cache_key(self, frame: Frame) -> Any:
        # A search depends on the detector's configuration, which has its descriptor.
        searches = isinstance(self._settings.run, Nearest)
        where = super()._cache_key(frame)
        return where, frame.descriptor.get("uid") if searches else None

    def _look_up(self, frame: Frame) -> Sequence[ReferenceImages]:
        settings = self._settings
        if settings.run is None:
            return super()._look_up(frame)
        if isinstance(settings.run, str):
            return self._of_runs(settings.run, frame)
        found, self._why_missing[self._cache_key(frame)] = find_reference_run(
            settings.run,
            frame,
            self._run,
            settings.catalog,
            lambda dark: acquisition_mismatch(frame, dark, settings.allow),
        )
        return found

    def _refuse_mismatch(self, frame: Frame, darks: Sequence[ReferenceImages]) -> None:
        """Raise if darks and light differ in how they were taken."""
        key = (*darks, frame.descriptor.get("uid"))
        if key in self._compared:
            return
        for dark in darks:
            mismatch = acquisition_mismatch(frame, dark, self._settings.allow)
            if mismatch is not None:
                message = f"light {frame}, dark {dark.name}: {mismatch}"
                raise CorrectionError(message)
            if _is_single(frame) and "images" not in self._settings.allow:
                count = len(dark.read())
                if count > 1:
                    message = (
                        f"the dark ({dark.name}) is a stack of {count} images, the "
                        f"light ({frame}) is one image: allow=('images',) uses "
                        f"the mean"
                    )
                    raise CorrectionError(message)
        self._compared.add(key)

    def _missing(self, frame: Frame) -> str:
        settings = self._settings
        if settings.stream is not None:
            side = "" if settings.order == "nearest" else f" {settings.order} it"
            why = f"stream {settings.stream!r} has none{side}"
        elif settings.key is not None:
            why = f"the start document has no {settings.key!r}"
        else:
            why = f"run {settings.run!r} has none"
            why = self._why_missing.get(self._cache_key(frame), why)
        return (
            f"there is no dark for {frame}: {why}; missing='raw' exports it "
            f"uncorrected, missing='skip' skips it"
        )


def _is_single(frame: Frame) -> bool:
    """Return whether an event has one image of the frame's field."""
    if frame.pixels is None or frame.pixels.shape is None:
        return False
    axes = len(frame.pixels.hints.image_axes)
    return int(np.prod(frame.pixels.shape[:-axes])) == 1
