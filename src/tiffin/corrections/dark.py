"""Subtract a dark frame: of another run, a stream of this one, a file; or a number.

Whatever is subtracted, no number wraps: the difference has a dtype that holds it,
chosen by the light's dtype and never by its values.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from tiffin.corrections.alike import difference_of
from tiffin.corrections.arithmetic import prepare_dark, subtract
from tiffin.corrections.nearest import Nearest, find_nearest
from tiffin.corrections.numbers import check_text, double
from tiffin.corrections.order import Order, check_order, taken_from_stream
from tiffin.corrections.references import check_alive, mean_of, told_of, uids_in
from tiffin.errors import CorrectionError, MissingDarkError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tiffin.corrections.step import Notes, Reference, RunView
    from tiffin.frames import Frame

__all__ = ["DarkSubtract", "Kind"]

Kind = Literal["light", "dark", "sub"]
Missing = Literal["error", "raw", "skip"]
Dead = Literal["error", "keep"]

SIDE = {"before": " before it", "nearest": "", "after": " after it"}

PREPARED = 4
"""So many darks are kept ready: one a detector, and the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DarkSubtract:
    """Subtract a dark frame.

    One of `key`, `stream`, `file`, `constant` and `run` says where the dark comes from;
    without any, it is ``key="dark_frame"``.

    Parameters
    ----------
    key : str, optional
        Key of the start document that holds the uid of the dark's run, or a list of
        uids, whose images are averaged. A run in which it is True is itself a dark, and
        is left as it is.
    stream : str, optional
        Stream of the same run. Each light takes the latest dark before it, unless
        `order` says otherwise.
    file : path, optional
        TIFF, NPY, or ``file.h5:/path/of/dataset``.
    constant : float, optional
        The same for every pixel [counts].
    run : str or Nearest, optional
        The uid of a run; or what its start document holds: of those runs the nearest in
        time is taken that had the light's exposure, gain and binning, but for what
        `allow` names. A run for which `Nearest` looks is itself a dark, and is left as
        it is.
    catalog : object, optional
        Where runs are looked up: ``catalog[uid]``, or a file or list of documents.
        Without it, in the catalogue that the export was given, or in what it exports.
    missing : {"error", "raw", "skip"}
        For a light without a dark: it fails, is exported as it is (`{kind}` in its name
        is ``light``), or is left out.
    pedestal : float
        Taken off the dark first, and never more than there is: subtracted is
        max(dark - pedestal, 0) [counts].
    dtype : dtype-like, optional
        Of the result. By default float32 where that holds every value of the light's
        dtype (8 and 16 bits), else float64.
    allow : tuple of str
        Differences between light and dark that are allowed: ``"exposure"``, ``"gain"``,
        ``"binning"``, ``"images"`` (a stack for single images), or the key of a
        configuration.
    dead : {"error", "keep"}
        What becomes of an image where the dark is NaN or infinite: it fails, or those
        pixels stay as they were counted; a `Mask` behind replaces them.
    order : {"before", "nearest", "after"}
        Which of a stream's darks, or of the runs that `Nearest` finds, a light takes:
        the latest before it, the nearest in time, or the first after it. Darks that a
        stream gives later are known to a replay only; live, such lights fail.

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
    dead: Dead = "error"
    order: Order = "before"

    def __post_init__(self) -> None:
        chosen = [name for name in SOURCES if getattr(self, name) is not None]
        if not chosen:
            object.__setattr__(self, "key", "dark_frame")
        if len(chosen) > 1:
            message = f"a dark comes from one place, not from {' and '.join(chosen)}"
            raise SettingsError(message)
        wanted: Any = self.run
        if wanted is not None and not isinstance(wanted, (str, Mapping, Nearest)):
            message = f"run is the uid of a run, or Nearest(...), not {wanted!r}"
            raise SettingsError(message)
        if isinstance(wanted, Mapping):
            message = f"run={wanted!r} is no uid; to search for it: Nearest({wanted!r})"
            raise SettingsError(message)
        if self.missing not in get_args(Missing):
            message = (
                f"missing must be one of 'error', 'raw', 'skip', not {self.missing!r}"
            )
            raise SettingsError(message)
        self._check_order()
        if self.dead not in get_args(Dead):
            message = f"dead is 'error' or 'keep', not {self.dead!r}"
            raise SettingsError(message)
        if self.constant is not None:
            object.__setattr__(self, "constant", double("constant", self.constant))
        object.__setattr__(self, "pedestal", double("pedestal", self.pedestal))
        if self.pedestal < 0:
            message = f"pedestal={self.pedestal} would raise the dark: 0 or more"
            raise SettingsError(message)
        for name in ("key", "stream", "file"):
            check_text(name, getattr(self, name))
        given: Any = self.allow
        if not isinstance(given, (str, tuple, list, set, frozenset)):
            message = f"allow names what may differ, as in ('exposure',), not {given!r}"
            raise SettingsError(message)
        allow = (given,) if isinstance(given, str) else tuple(given)
        object.__setattr__(self, "allow", allow)
        if self.file is not None:
            object.__setattr__(self, "file", str(self.file))
        if self.dtype is not None:
            object.__setattr__(self, "dtype", _result_dtype(self.dtype))

    def _check_order(self) -> None:
        if check_order(self.order) == "before":
            return
        if isinstance(self.run, Nearest):
            object.__setattr__(self, "run", self.run.with_order(self.order))
        elif self.stream is None:
            message = f"order={self.order!r} goes with stream= or run=Nearest(...)"
            raise SettingsError(message)

    def __str__(self) -> str:
        default = {
            **{"missing": "error", "pedestal": 0, "allow": (), "dead": "error"},
            **{"order": "before" if self.stream is not None else self.order},
        }
        told = [
            f"{name}={str(value) if name == 'dtype' else value!r}"
            for name in (
                *SOURCES,
                "missing",
                "pedestal",
                "dtype",
                "allow",
                "dead",
                "order",
            )
            if (value := getattr(self, name)) is not None and value != default.get(name)
        ]
        return f"DarkSubtract({', '.join(told)})"

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams of a run that must be followed for it."""
        return () if self.stream is None else (self.stream,)

    def bind(self, run: RunView) -> BoundDark:
        """Prepare it for a run."""
        return BoundDark(self, run)


SOURCES = ("key", "stream", "file", "constant", "run")


def _result_dtype(given: Any) -> np.dtype:
    """Return the dtype asked for, if it can hold differences at all."""
    dtype: np.dtype[Any]
    try:
        dtype = np.dtype(given)
    except TypeError:
        dtype = np.dtype(object)
    if dtype.kind not in "iu" and dtype.name not in ("float32", "float64"):
        message = f"dtype={given!r} holds no differences: ask for float32 or an integer"
        raise SettingsError(message)
    return dtype


class BoundDark:
    """A dark subtraction of one run. Safe in threads.

    Parameters
    ----------
    step : DarkSubtract
    run : RunView
    """

    def __init__(self, step: DarkSubtract, run: RunView) -> None:
        self._step = step
        self._run = run
        self._found: dict[Any, Sequence[Reference]] = {}
        self._why: dict[Any, str] = {}
        self._prepared: OrderedDict[Any, _Prepared] = OrderedDict()
        self._checked: set[Any] = set()
        self._lock = threading.RLock()

    def __str__(self) -> str:
        return str(self._step)

    def kind(self, frame: Frame) -> Kind:
        """Return what will come of a frame, before its pixels are read.

        Raises
        ------
        MissingDarkError
            For a light without a dark, unless that is to be exported as it is.
        """
        step = self._step
        if step.stream is not None and frame.stream == step.stream:
            return "dark"
        start = self._run.start
        if any(_is_true(start.get(key)) for key in (step.key, "dark_frame") if key):
            return "dark"
        if isinstance(step.run, Nearest) and step.run.matches(self._run.start):
            return "dark"
        if step.constant is not None:
            return "sub"
        with self._lock:
            darks = self._references(frame)
            # The dark that others are given is not one's own.
            if step.stream is None and any(dark.run == frame.run for dark in darks):
                return "dark"
            if darks:
                return "sub"
        if step.missing == "raw":
            return "light"
        raise MissingDarkError(self._nothing(frame), skip=step.missing == "skip")

    def references(self, frame: Frame) -> Sequence[Reference]:
        """Return the darks of a frame, for who wants to save them too."""
        if self._step.constant is not None or self.kind(frame) != "sub":
            return ()
        with self._lock:
            return self._references(frame)

    def __call__(self, image: np.ndarray, frame: Frame, notes: Notes, /) -> np.ndarray:
        """Subtract the frame's dark from it."""
        if (frame.kind or self.kind(frame)) != "sub":
            return image
        step = self._step
        if step.constant is not None:
            notes.used.append({"constant": step.constant})
            dark = self._constant()
            return subtract(image, dark, step.dtype)
        ready = self._ready(frame)
        if ready.shape != image.shape:
            message = (
                f"the dark ({ready.name}) has shape {ready.shape}, the light ({frame}) "
                f"{image.shape}"
            )
            raise CorrectionError(message)
        notes.used += ready.told
        return subtract(image, ready.dark, step.dtype)

    def _constant(self) -> np.ndarray:
        """Return a number as an array of no dimension."""
        step = self._step
        known = np.asarray(step.constant)
        if known.dtype.kind not in "if":  # a whole number beyond int64
            known = np.asarray(step.constant, np.float64)
        return prepare_dark(known, pedestal=step.pedestal)

    def _ready(self, frame: Frame) -> _Prepared:
        """Return the dark of a frame ready to be subtracted; made once."""
        with self._lock:
            references = self._references(frame)
            key = tuple(id(r) for r in references)
            checked = (key, frame.descriptor.get("uid"))  # of another setting: again
            if checked not in self._checked:
                for reference in references:
                    self._check(frame, reference)
                self._checked.add(checked)
            if key not in self._prepared:
                self._prepared[key] = _prepare(references, self._step)
            self._prepared.move_to_end(key)
            while len(self._prepared) > PREPARED:
                self._prepared.popitem(last=False)
            return self._prepared[key]

    def _references(self, frame: Frame) -> Sequence[Reference]:
        step = self._step
        if step.stream is not None:
            return taken_from_stream(self._run, step.stream, frame, step.order, "dark")
        key = self._key(frame)
        if key not in self._found:
            self._found[key] = self._look_up(frame)
        return self._found[key]

    def _key(self, frame: Frame) -> Any:
        """Tell which frames share a dark: where it is searched for, of one setting."""
        searched = isinstance(self._step.run, Nearest)
        return frame.field, frame.descriptor.get("uid") if searched else None

    def _look_up(self, frame: Frame) -> Sequence[Reference]:
        step = self._step
        if step.file is not None:
            return [self._run.of_file(step.file)]
        if isinstance(step.run, Nearest):
            return self._search(step.run, frame)
        uids: Any = step.run if step.key is None else self._run.start.get(step.key)
        return [
            reference
            for uid in uids_in(uids)
            for reference in self._run.of_run(uid, frame.field, step.catalog)
        ]

    def _search(self, query: Nearest, frame: Frame) -> Sequence[Reference]:
        """Find the nearest run taken as the light was; keep why there is none."""

        def differs(dark: Reference) -> str | None:
            difference = difference_of(frame, dark, self._step.allow)
            return difference and f"{difference.told} ({difference.waived})"

        found, why = find_nearest(query, frame, self._run, self._step.catalog, differs)
        self._why[self._key(frame)] = why
        return found

    def _check(self, frame: Frame, dark: Reference) -> None:
        """Refuse a dark that was taken otherwise than the light."""
        difference = difference_of(frame, dark, self._step.allow)
        if difference is not None:
            message = (
                f"{difference.told}: light {frame}, dark {dark.name}; "
                f"{difference.waived}"
            )
            raise CorrectionError(message)
        images = frame.pixels.shape if frame.pixels is not None else None
        axes = 2 if frame.pixels is None else len(frame.pixels.hints.at)
        single = images is not None and int(np.prod(images[:-axes])) == 1
        if single and "images" not in self._step.allow:
            shape = dark.read().shape
            if shape[0] > 1:
                message = (
                    f"the dark ({dark.name}) is a stack of {shape[0]} images, the "
                    f"light ({frame}) one image: allow=('images',) takes their mean"
                )
                raise CorrectionError(message)

    def _nothing(self, frame: Frame) -> str:
        step = self._step
        where = {
            "key": f"the start document has no {step.key!r}",
            "stream": f"stream {step.stream!r} has given none{SIDE[step.order]}",
            "run": self._why.get(self._key(frame)) or f"run {step.run!r} has none",
        }
        chosen = next(name for name in SOURCES if getattr(step, name) is not None)
        return (
            f"there is no dark for {frame}: {where.get(chosen, chosen)}; missing='raw' "
            f"exports it as it is, missing='skip' leaves it out"
        )


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A dark, ready to be subtracted."""

    dark: Any
    shape: tuple[int, ...]
    name: str
    told: Sequence[Mapping[str, Any]]


def _prepare(references: Sequence[Reference], step: DarkSubtract) -> _Prepared:
    """Average several darks, once, and tell which they were."""
    mean = mean_of(references)
    told = [told_of(reference) for reference in references]
    name = references[0].name + (f" and {len(references) - 1} more" * (len(told) > 1))
    alive = np.isfinite(mean)
    dead = check_alive(mean, alive, f"the dark ({name}) is NaN or infinite", step.dead)
    if dead:
        mean = np.where(alive, mean, 0)
        told[0] = {**told[0], "dead": dead}
    ready = prepare_dark(mean, pedestal=step.pedestal)
    return _Prepared(ready, mean.shape, name, told)


def _is_true(value: Any) -> bool:
    return isinstance(value, (bool, np.bool_)) and bool(value)
