"""What a correction is: settings that are bound to a run, then act on its images."""

from __future__ import annotations

from dataclasses import dataclass, field, is_dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np

    from tiffin.corrections.nearest import Nearest
    from tiffin.frames import Frame

__all__ = [
    "Bound",
    "Correction",
    "Notes",
    "Reference",
    "RunView",
    "Step",
    "bind",
    "described",
]


@dataclass(slots=True)
class Notes:
    """What the corrections of one image have to say.

    Attributes
    ----------
    clipped : int
        Pixels whose value could not be kept, and was replaced as asked.
    used : list of mapping
        Which other images went into this one: run, stream, seq_num, checksum…
    steps : list of str
        The corrections that changed it, in order, each in one line.
    """

    clipped: int = 0
    used: list[Mapping[str, Any]] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """Images that others are corrected with: a dark, a flat field.

    Attributes
    ----------
    read : callable
        Gives them: ndarray, shape (images, rows, columns) [counts]. Not to be written
        to.
    run, stream : str or None
    seq_num : int or None
    time : float
        Of its event, or else of its stream [s since 1970].
    is_timed : bool
        Whether that is its event's.
    configuration : mapping
        Of the device that gave it, by key.
    name : str
        What to call it in a message.
    frame : Frame or None
        The first of the images, where they are frames of a run.
    """

    read: Callable[[], np.ndarray]
    run: str | None = None
    stream: str | None = None
    seq_num: int | None = None
    time: float = 0.0
    is_timed: bool = True
    configuration: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""
    frame: Frame | None = None


class RunView(Protocol):
    """What a correction may ask about the run that it is bound to.

    It is the export's to answer: a correction opens nothing itself.
    """

    @property
    def start(self) -> Mapping[str, Any]:
        """The run's start document."""
        ...

    @property
    def is_whole(self) -> bool:
        """Whether all of the run's documents are known: it is replayed."""
        ...

    def of_run(self, uid: str, field: str | None, catalog: Any) -> Sequence[Reference]:
        """Return the images of another run, one reference an event.

        Raises
        ------
        TiffinError
            If the catalogue has no such run, or the run no such field.
        """
        ...

    def near(self, query: Nearest, catalog: Any) -> Iterator[Mapping[str, Any]]:
        """Return the start documents of the runs that a query reaches, nearest first.

        Raises
        ------
        TiffinError
            If there is no catalogue, or it can't be searched.
        """
        ...

    def of_stream(self, stream: str, field: str | None) -> Sequence[Reference]:
        """Return what a stream of this run has given so far, in the order of times."""
        ...

    def of_file(self, path: str) -> Reference:
        """Return the images of a file: TIFF, NPY, or ``file.h5:/path/of/dataset``."""
        ...


class Bound(Protocol):
    """A correction, bound to a run."""

    def __call__(self, image: np.ndarray, frame: Frame, notes: Notes, /) -> Any:
        """Return a new image.

        Parameters
        ----------
        image : ndarray, shape (rows, columns) [counts]
            Not to be written to.
        frame : Frame
        notes : Notes
            To be added to.
        """
        ...


@runtime_checkable
class Step(Protocol):
    """A correction with settings: a frozen dataclass.

    ``str()`` of it describes it in one line.
    """

    def bind(self, run: RunView) -> Bound:
        """Prepare it for a run."""
        ...


class Function(Protocol):
    """A correction of the user's own."""

    def __call__(self, image: np.ndarray, frame: Frame, /) -> Any:
        """Return a new image."""
        ...


Correction = Step | Function
"""What stands in ``corrections=[...]``."""


def bind(step: Correction, run: RunView) -> Bound:
    """Prepare a correction, or a user's function, for a run."""
    if isinstance(step, Step):
        return step.bind(run)
    return _Plain(step)


def described(step: object) -> str:
    """Tell a correction in one line: a function by its name, others by their settings.

    Examples
    --------
    >>> def halve(image, frame):
    ...     return image / 2
    >>> described(halve).rpartition(".")[2], described(Notes(clipped=3))
    ('halve', 'Notes(clipped=3, used=[], steps=[])')
    """
    name = getattr(step, "__qualname__", None)
    if isinstance(name, str):
        return f"{getattr(step, '__module__', '?')}.{name}"
    # An object without a text of its own would tell its address, which changes.
    has_text = is_dataclass(step) or type(step).__str__ is not object.__str__
    return str(step) if has_text else type(step).__qualname__


class _Plain:
    """A user's function, which has nothing to note."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self.__name__ = getattr(function, "__name__", repr(function))

    def __str__(self) -> str:
        return described(self._function)

    def __call__(self, image: np.ndarray, frame: Frame, _notes: Notes, /) -> Any:
        return self._function(image, frame)
