"""What both serializers do: documents in, one image after another out."""

from __future__ import annotations

import io
import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.assemble import Assembler, ListDtypes
from tiffin.axes import Axes
from tiffin.compat.suitcase.file_names import check_prefix
from tiffin.compat.suitcase.outputs import output_of
from tiffin.corrections import Notes
from tiffin.dtypes import cast_exactly, parse_dtype, refuse_masked
from tiffin.errors import DtypeError, FieldError
from tiffin.export import Metadata
from tiffin.settings import Settings
from tiffin.writers import TifffilePages, TiffWriter, find_profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import ExitStack
    from typing import Self

    from tiffin.frames import Frame
    from tiffin.writers import TiffStack, UnnamedFile


class ImageSerializer:
    """Calls `image` for each image of one run.

    Parameters
    ----------
    directory, file_prefix, astype, bigtiff, byteorder, imagej, **kwargs
        See `tiffin.compat.suitcase.tiff_series.export`.
    """

    roots: tuple[str, ...] = ()
    """What `file_prefix` may use."""

    def __init__(
        self,
        directory: Any,
        file_prefix: str = "{start[uid]}-",
        astype: Any = "uint16",
        bigtiff: bool = False,
        byteorder: str | None = None,
        imagej: bool = False,
        **kwargs: Any,
    ) -> None:
        check_prefix(file_prefix, self.roots)
        self._file_prefix = file_prefix
        self._options = {
            "bigtiff": bigtiff, "byteorder": byteorder, "imagej": imagej, **kwargs
        }  # fmt: skip
        TifffilePages(io.BytesIO(), self._options).finish()  # refuses options
        is_own = not kwargs and byteorder in (None, "<") and not (imagej and bigtiff)
        profile = find_profile("imagej" if imagej else "plain")
        self._writer = TiffWriter(profile=profile) if is_own else None
        self._dtype: np.dtype | None = None  # keeps that of the images
        if astype is not None:
            self._dtype = parse_dtype(astype, profile.dtypes, "astype")
        self._output = output_of(directory)
        self._metadata = Metadata(Settings.of("{run}_{frame}.tif"))
        self._assembler = Assembler(
            fields=None,
            streams=None,
            dtypes=ListDtypes(self._dtype),
            join_events="{event" in file_prefix,
            join_readings=True,
            axes=Axes.of(axes="yx"),  # as suitcase has it: whatever is before, counts
            repeats=True,
        )
        self._start: Mapping[str, Any] | None = None
        self._descriptors: list[Mapping[str, Any]] = []
        self._failed = False
        self.prepare()

    @property
    def artifacts(self) -> dict[str, list[Any]]:
        """``{"stream_data": […]}``: the paths or buffers that were written so far."""
        return self._output.artifacts

    def export(self, gen: Iterable[tuple[str, Any]]) -> dict[str, list[Any]]:
        """Take all documents of a run, and return the `artifacts`."""
        with self:
            for name, doc in gen:
                self(name, doc)
        return self.artifacts

    def __call__(self, name: str, doc: Any) -> tuple[str, Any]:
        """Take one document, and return it as event-model's routers do."""
        if name in ("start", "descriptor", "event", "event_page", "stop"):
            getattr(self, name)(doc)
        else:
            self._feed(name, doc)
        return name, doc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._failed |= kind is not None
        self.close()

    def start(self, doc: Any) -> None:
        """Begin the run, which must be the only one."""
        if self._start is not None and self._start["uid"] != doc["uid"]:
            message = (
                f"a second run, {doc['uid']}, came to a Serializer, which takes one: "
                f"use event_model.RunRouter, or a Serializer for each run"
            )
            raise RuntimeError(message)
        self._start = doc
        self._feed("start", doc)

    def descriptor(self, doc: Any) -> None:
        """Begin a stream."""
        self._feed("descriptor", doc)
        self._descriptors.append(doc)

    def event(self, doc: Any) -> None:
        """Write the images of an event."""
        self._feed("event", doc)

    def event_page(self, doc: Any) -> None:
        """Write the images of several events."""
        self._feed("event_page", doc)

    def stop(self, doc: Any) -> None:
        """End the run."""
        try:
            self._feed("stop", doc)
        finally:
            self.close()

    def close(self) -> None:
        """Write what waits for documents that do not come, and close all files."""
        try:
            if not self._failed:
                self._write_all(self._assembler.finish())
        finally:
            self._assembler.close()
            try:
                self.complete()
            finally:
                self._output.close()

    def prepare(self) -> None:
        """Begin without any file."""

    def image(self, image: np.ndarray, frame: Frame) -> None:
        """Write an image, shape (rows, columns)."""
        raise NotImplementedError

    def complete(self) -> None:
        """Complete the files that are open, or drop them after an error."""

    def _feed(self, name: str, doc: Any) -> None:
        self._write_all(self._assembler(name, doc))

    def _write_all(self, frames: Iterable[Frame]) -> None:
        try:
            for frame in frames:
                if not frame.i:  # the first image of an event and field, or an error
                    self._write(frame)
        except BaseException:
            self._failed = True
            self.complete()
            raise

    def _write(self, frame: Frame) -> None:
        """Write all images of an event and field."""
        problem = frame.problem
        if isinstance(problem, FieldError) and frame.field is None:
            return  # the run has no images
        descriptors = [frame.descriptor] if frame.descriptor else self._descriptors
        keys = [each["data_keys"].get(frame.field, {}) for each in descriptors]
        if problem is not None and (frame.field is None or any(map(_is_image, keys))):
            raise problem
        if not any(map(_is_image, keys)):
            return
        shape = keys[0]["shape"]
        array = self._array(frame)
        if tuple(shape) != array.shape:
            message = (
                f"The descriptor claims the data shape is {[*shape]}, but it is "
                f"{[*array.shape]} ({frame})"
            )
            warnings.warn(message, stacklevel=2)
        for i, image in enumerate(array[None] if array.ndim == 2 else array):
            self.image(image, frame.with_index(i))

    def _array(self, frame: Frame) -> np.ndarray:
        opened = frame.pixels.open() if frame.pixels is not None else None
        refuse_masked(opened)
        array = np.asarray(opened)
        if not 1 < array.ndim < 4 or not array.size:
            message = f"{frame}: no image, its shape is {[*array.shape]}"
            raise FieldError(message)
        if self._dtype is None:
            return array
        try:
            return cast_exactly(array, self._dtype)
        except DtypeError as error:
            reason = str(error).partition(": ")[0]  # its advice is for other doors
            message = f"{frame}: astype={str(self._dtype)!r}: {reason}"
            advice = "astype=None keeps the dtype of the images"
            raise DtypeError(f"{message}; {advice}") from None

    def _metadata_of(self, frame: Frame) -> dict[str, Any]:
        return self._metadata.of(frame, Notes())

    def _open(
        self, name: str, closing: ExitStack
    ) -> tuple[UnnamedFile, TiffStack | TifffilePages]:
        """Open a file for pages, which `closing` closes, complete or not."""
        file = self._output.begin(name)
        closing.callback(file.close)
        if self._writer is not None:
            big = self._options["bigtiff"]
            return file, self._writer.stack(file.descriptor, checksum="none", big=big)
        own = closing.enter_context(os.fdopen(os.dup(file.descriptor), "r+b"))
        return file, TifffilePages(own, self._options)


def _is_image(data_key: Mapping[str, Any]) -> bool:
    """Return whether a field holds images, as suitcase-tiff tells it."""
    shape = data_key.get("shape") or ()
    return data_key.get("dtype") == "array" and 1 < len(shape) < 4
