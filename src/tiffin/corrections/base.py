"""What a correction is: settings, bound to a run and then applied to its images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, is_dataclass
from traceback import walk_tb
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import numpy as np

from tiffin.dtypes import refuse_masked
from tiffin.errors import CorrectionError, TiffinError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from tiffin.corrections.nearest_run import Nearest
    from tiffin.frames import Frame


@dataclass(slots=True)
class Notes:
    """What the corrections of one image report."""

    clipped: int = 0
    """Number of pixels whose value was replaced, as the user asked."""
    used: list[Mapping[str, Any]] = field(default_factory=list)
    """The other images that were used: run, stream, seq_num, checksum and so on."""
    steps: list[str] = field(default_factory=list)
    """The corrections that changed the image, in order, each in one line."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReferenceImages:
    """Images that others are corrected with, such as darks."""

    read: Callable[[], np.ndarray]
    """Return them, read-only: shape (images, rows, columns) [counts]."""
    run: str | None = None
    stream: str | None = None
    seq_num: int | None = None
    time: float = 0.0
    """Time of the event, or of the descriptor if the event has none [s since 1970]."""
    is_timed: bool = True
    """Whether `time` is that of the event."""
    configuration: Mapping[str, Any] = field(default_factory=dict)
    """Configuration of the detector, by key."""
    name: str = ""
    """Name for messages."""
    frame: Frame | None = None
    """The first image, if they are frames of a run."""


class RunView(Protocol):
    """What a correction may ask about the run that it is bound to.

    The export implements this, so that corrections open no file or catalogue. Methods
    raise a `TiffinError` if a file or run can't be found or read.
    """

    @property
    def start(self) -> Mapping[str, Any]:
        """The run's start document."""

    @property
    def is_whole(self) -> bool:
        """Whether all documents of the run are known, as in a replay."""

    def of_run(
        self, uid: str, field: str | None, catalog: Any
    ) -> Sequence[ReferenceImages]:
        """Return the images of another run, one item for each event."""

    def nearest_runs(self, query: Nearest, catalog: Any) -> Iterator[Mapping[str, Any]]:
        """Return the start documents of runs that match a query, nearest first."""

    def of_stream(self, stream: str, field: str | None) -> Sequence[ReferenceImages]:
        """Return the images that a stream of this run has given so far, by time."""

    def of_file(self, path: str) -> ReferenceImages:
        """Return the images of a file: TIFF, NPY, or ``file.h5:/path/of/dataset``."""


BoundCorrection = Callable[..., Any]
"""A correction that is bound to a run: (image, frame, notes) → image.

It gets the image read-only, and adds what it has to report to the notes.
"""


@runtime_checkable
class SupportsBind(Protocol):
    """A correction with settings. ``str()`` describes it in one line."""

    def bind(self, run: RunView, /) -> BoundCorrection:
        """Return the correction, ready for the images of a run."""


Correction = SupportsBind | Callable[..., Any]
"""An item of ``corrections=[...]``: a correction, or a function (image, frame) → image.
"""


class PixelCorrection:
    """Base of corrections that need nothing but the image.

    Such a correction needs no run: it can be called directly, with an image alone.
    """

    __slots__ = ()

    def bind(self, _run: RunView | None = None, /) -> Self:
        """Return the correction itself."""
        return self

    def __call__(
        self,
        image: np.ndarray,
        _frame: Frame | None = None,
        notes: Notes | None = None,
        /,
    ) -> np.ndarray:
        """Return the corrected image."""
        return self._apply(image, Notes() if notes is None else notes)

    def _apply(self, image: np.ndarray, notes: Notes) -> np.ndarray:
        raise NotImplementedError


class _BoundFunction:
    """A user's function, which does not take notes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __str__(self) -> str:
        return describe(self._function)

    def __call__(self, image: np.ndarray, frame: Frame, _notes: Notes, /) -> Any:
        return self._function(image, frame)


def bind(correction: Correction, run: RunView) -> BoundCorrection:
    """Bind a correction, or a user's function, to a run."""
    if isinstance(correction, SupportsBind):
        return correction.bind(run)
    return _BoundFunction(correction)


def describe(correction: object) -> str:
    """Return a correction as one line: a function's name, or a class with its settings.

    Examples
    --------
    >>> def halve(image, frame):
    ...     return image / 2
    >>> describe(halve).rpartition(".")[2], describe(Notes(clipped=3))
    ('halve', 'Notes(clipped=3, used=[], steps=[])')
    """
    name = getattr(correction, "__qualname__", None)
    if isinstance(name, str):
        return f"{getattr(correction, '__module__', '?')}.{name}"
    # The default text of an object has its address, which changes.
    has_text = (
        is_dataclass(correction) or type(correction).__str__ is not object.__str__
    )
    return str(correction) if has_text else type(correction).__qualname__


def _line_of(error: BaseException) -> str:
    """Return the line of a correction that raised, if it is not in this module."""
    for frame, line in walk_tb(error.__traceback__):
        if frame.f_code.co_filename != __file__:
            return f", line {line}"
    return ""


def correct(
    image: np.ndarray,
    frame: Frame,
    corrections: Iterable[BoundCorrection],
    notes: Notes,
) -> np.ndarray:
    """Apply corrections in order, and fill the notes."""
    for correction in corrections:
        # Read-only: one that works in place fails, and changes no pixels of others.
        guarded = image.view()
        guarded.flags.writeable = False
        try:
            changed = correction(guarded, frame, notes)
        except TiffinError:
            raise
        except BaseException as error:  # a plug-in's SystemExit fails its frame only
            where = f"correction {describe(correction)}{_line_of(error)}"
            message = f"{where}: {type(error).__name__}: {error}"
            raise CorrectionError(message) from error
        if changed is guarded:
            continue
        notes.steps.append(describe(correction))
        refuse_masked(changed)
        image = np.asarray(changed)
        if image.ndim not in (2, guarded.ndim):
            message = (
                f"correction {describe(correction)} returned an array of shape "
                f"{image.shape}, not an image of two dimensions"
            )
            raise CorrectionError(message)
    return image
