"""Combine several frames to one, as an average or a sum.

A worker reads, corrects and adds up one frame after the other, so that only one is in
memory.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tiffin.axes import ArrayHints
from tiffin.corrections import (
    FrameCombiner,
    Notes,
    RunningSum,
    check_real,
    check_same_kind,
)
from tiffin.errors import CorrectionError, NotYetError, ReadError, TiffinError
from tiffin.frames import Frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.array_images import Images

Correct = Callable[[np.ndarray, Frame, Notes], np.ndarray]


class CombinedPixels:
    """The pixels of several frames that are combined. Not thread-safe.

    If a file is late, the sum so far is kept, and the next `open` continues.

    Parameters
    ----------
    step : FrameCombiner
    correct : callable
        The corrections before this one: (image, frame, notes) → image.
    first : Frame
        The frame that gives the combined frame its name and place.

    Attributes
    ----------
    shape, dtype, hints
        Those of the first frame.
    memory : int
        Memory for waiting images and for the sum [bytes].
    count : int
        How many frames are combined so far.
    """

    def __init__(self, step: FrameCombiner, correct: Correct, first: Frame) -> None:
        self._step = step
        self._correct = correct
        pixels = first.pixels
        self.shape = None if pixels is None else pixels.shape
        self.dtype = None if pixels is None else pixels.dtype
        axes = 2 if pixels is None else len(pixels.hints.image_axes)
        self.hints = ArrayHints.of_images(self.shape or (), axes=axes)
        self.count = 0
        # A sum is carried as two numbers of 8 bytes a pixel.
        itemsize = 1 if self.dtype is None else self.dtype.itemsize
        self.memory = self._own = 16 * (first.nbytes // itemsize)
        self._first = self._last = first
        self._left: deque[tuple[Frame, int | None]] = deque()
        self._failed: TiffinError | None = None
        self._is_done = False
        self._running: RunningSum | None = None
        self._notes = Notes()

    def add(
        self, frame: Frame, images: int | None, *, names_only: bool = False
    ) -> None:
        """Add a frame.

        `images` is how many images its event should have; None combines all images of
        the event, however many there are. With `names_only`, the pixels will never be
        read.
        """
        if self.count == 0 or frame.pixels is not self._last.pixels:
            self.memory += _memory(frame)
        self.count += 1
        self._last = frame
        if names_only or self._failed is not None:
            self.memory = self._own
            return
        self._left.append((frame, images))

    def replace(self, retake: list[Frame]) -> list[Frame]:
        """Replace frames of an earlier take by a retake's; return the earlier ones.

        Return no frame if some of them have been added up already.
        """
        first = retake[0]
        at = [
            n
            for n, (frame, _) in enumerate(self._left)
            if (frame.seq_num, frame.source) == (first.seq_num, first.source)
        ]
        earlier = [self._left[n][0] for n in at]
        if not earlier or first.problem is not None:
            return earlier
        if [frame.i for frame in earlier] != [frame.i for frame in retake]:
            return []
        for n, frame in zip(at, retake, strict=True):
            self._left[n] = frame, len(retake)
        self._first = first if self._first is earlier[0] else self._first
        self._last = retake[-1] if self._last is earlier[-1] else self._last
        self.memory += _memory(first) - _memory(earlier[0])
        return earlier

    @property
    def waiting(self) -> int:
        """Memory for images from documents that are not added up yet [bytes]."""
        return self.memory - self._own

    def add_up(self) -> None:
        """Add up the frames that can be read; `open` raises errors later."""
        try:
            self._read_on()
        except NotYetError:
            return
        except TiffinError as error:
            self._failed = error
            self._left.clear()
            self.memory = self._own

    def open(self) -> np.ndarray:
        """Combine the frames; return the image, shape (rows, columns) [counts].

        A TiffinError is raised if a frame fails; a CorrectionError if the frames differ
        in shape or dtype, or an event has more or fewer images than its descriptor
        says.
        """
        if self._failed is not None:
            raise self._failed
        self._read_on()
        if self._is_done:
            raise ReadError(f"{self._first}: the frames were combined already")
        if self._running is None:  # an event without images
            return np.empty((0, *(self._first.shape or (0, 0))))
        return self._step.result(self._running)

    def tell(self, notes: Notes) -> None:
        """Note which frames were combined, and how they were corrected."""
        self.tell_sources(notes)
        first, last = _who(self._first), _who(self.last)
        entry = {"joined": str(self._step), "frames": self.count}
        notes.used.append({**entry, "first": first, "last": last})

    def tell_sources(self, notes: Notes) -> None:
        """Note how the combined frames were corrected."""
        notes.clipped += self._notes.clipped
        notes.used += [entry for entry in self._notes.used if entry not in notes.used]
        notes.steps += [*self._notes.steps, str(self._step)]

    @property
    def last(self) -> Frame:
        """The last frame that is combined."""
        pixels = self._last.pixels
        return pixels.last if isinstance(pixels, CombinedPixels) else self._last

    def let_go(self) -> None:
        """Free the sum after its last use."""
        self._running = None
        self._is_done = True

    def _read_on(self) -> None:
        opened: tuple[Frame, Images] | None = None
        while self._left:
            frame, declared = self._left[0]
            try:
                if opened is None or opened[0].pixels is not frame.pixels:
                    opened = frame, frame.images()
                if declared is None:
                    self._expect_all(frame, opened[1].shape[0])
                    continue
                _check_count(frame, declared, opened[1].shape[0])
                self._take(frame, opened[1])
            except TiffinError as error:
                named = naming_frame(error, frame)
                if named is error:
                    raise
                raise named from error
            except Exception as error:
                message = f"{frame}: {type(error).__name__}: {error}"
                raise ReadError(message) from error
            self._left.popleft()
            if not self._left or self._left[0][0].pixels is not frame.pixels:
                self.memory -= _memory(frame)

    def _expect_all(self, frame: Frame, found: int) -> None:
        """Know now how many images the event holds."""
        self._left = deque((frame.with_index(i), found) for i in range(found))
        self.count = found
        if found:
            self._last = self._left[-1][0]

    def _take(self, frame: Frame, images: Images) -> None:
        notes = Notes()
        inner = frame.pixels if isinstance(frame.pixels, CombinedPixels) else None
        if inner is not None:
            inner.tell_sources(notes)
        image = self._correct(np.asarray(images[frame.i or 0]), frame, notes)
        if not image.size:
            message = f"the corrections leave no pixels, shape {image.shape}"
            raise CorrectionError(message)
        if self._running is None:
            self._begin(image)
        assert self._running is not None  # noqa: S101 (just begun)
        check_same_kind(self._running, self._first, image, frame)
        self._running.add(image)
        self._note(notes)
        if inner is not None:
            inner.let_go()

    def _begin(self, image: np.ndarray) -> None:
        # Fail before reading all frames if no dtype can hold their sum.
        self._step.result_dtype(
            check_real(image).dtype, self._step.n or len(self._left)
        )
        self._running = RunningSum(image.shape, image.dtype)
        self.hints = ArrayHints.of_images(image.shape, axes=image.ndim)

    def _note(self, notes: Notes) -> None:
        """Add the notes of a frame; equal notes appear once."""
        self._notes.clipped += notes.clipped
        self._notes.used += [u for u in notes.used if u not in self._notes.used]
        # A step may change some frames only, such as a cast.
        self._notes.steps = max(self._notes.steps, notes.steps, key=len)


def _memory(frame: Frame) -> int:
    return 0 if frame.pixels is None else frame.pixels.memory


def _who(frame: Frame) -> Mapping[str, int | None]:
    return {"seq_num": frame.seq_num, "i": frame.i}


def _check_count(frame: Frame, declared: int, found: int) -> None:
    if found != declared:
        message = (
            f"event {frame.seq_num} has {found} images of {frame.field!r}, but its "
            f"descriptor declares {declared}: use n=None, which combines all images "
            f"of each event"
        )
        raise CorrectionError(message)


def naming_frame(error: TiffinError, frame: Frame) -> TiffinError:
    """Return an error that names the frame, unless the message names it already."""
    if re.search(rf"\bevent {frame.seq_num}\b", str(error)):
        return error
    where = str(frame) if frame.i is not None else f"event {frame.seq_num}"
    named = type(error)(f"{where}: {error}")
    named.__dict__.update(error.__dict__)
    return named
