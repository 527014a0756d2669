"""Write images as files under their names, and handle a full disk."""

from __future__ import annotations

import errno
import os
import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from tiffin.errors import ExistsError, TiffinError, WriteError
from tiffin.export.metadata import Metadata
from tiffin.export.output_file import Content, Published
from tiffin.writers import (
    NewFile,
    PageInfo,
    Written,
    clear_leftovers,
    dated,
    publish,
    write_buffers,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np

    from tiffin.array_images import Encoded
    from tiffin.corrections import Notes
    from tiffin.engine import Ledger
    from tiffin.frames import Frame
    from tiffin.settings import Settings
    from tiffin.writers import UnnamedFile

    Save = Callable[[str, Any, Mapping[str, Any]], object]

FULL = (errno.ENOSPC, errno.EDQUOT)

LATEST = 2.0**33
"""The year 2242, which all file systems accept as the time of a file [s]."""

MOST_FOLDERS = 10_000
"""How many folders are remembered as cleared."""

LOOK_AGAIN = 1.0
"""Pause between two attempts while the disk is full [s]."""

E = TypeVar("E", bound=OSError)


class Publisher:
    """Writes the files of an export, each completely or not at all. Thread-safe.

    `save`, if given, writes the file instead, whatever its format: it is called with a
    path, an image and its metadata.
    """

    def __init__(
        self, settings: Settings, ledger: Ledger, save: Save | None = None
    ) -> None:
        self._settings = settings
        self._ledger = ledger
        self._save = save
        self._root = str(settings.directory)
        self._folders = settings.folders
        self._write = partial(write_buffers, kind=settings.checksum)
        self._writer = settings.writer
        self._sidecar = None if save else settings.sidecar
        self.metadata = Metadata(settings)
        self._dates = settings.file_time == "event"
        self._waits_for_room = settings.on_full == "wait"
        self._cleared: set[str] = set()
        self._cancelled = threading.Event()
        self.stopped: TiffinError | None = None
        """The error that stopped the export: the disk is full."""
        self.looked = 0
        """How many attempts were made while the disk was full."""

    def path(self, name: str) -> str:
        """Return the absolute path of a name."""
        return f"{self._root}/{name}"

    def name(self, path: object) -> str:
        """Return a path relative to the root."""
        return str(path)[len(self._root) :].lstrip("/")

    def encode(
        self, image: np.ndarray | Encoded, frame: Frame, notes: Notes
    ) -> Content:
        """Return the content of the file of an image, as `publish` takes it.

        A DtypeError is raised if such a file can't hold the image.
        """
        metadata = self.metadata.of(frame, notes)
        if self._save is not None:
            return Content([image, metadata])
        buffers = list(self._writer.buffers(image, metadata))
        if self._sidecar is None:
            return Content(buffers)
        info = PageInfo(image.shape, image.dtype, metadata)
        return Content(buffers, self._sidecar.content(info))

    def publish(
        self, name: str, content: Content, frame: Frame, *, replace: bool
    ) -> Published:
        """Write a complete file and its sidecar, or neither.

        The sidecar comes first: programs look for it when they open the image. An
        ExistsError is raised if there is a file of that name and `replace` is false; a
        WriteError if it can't be written.
        """
        if not self._settings.dry_run:
            self.clear(name)
        if self._save is not None:
            self._save(self.path(name), *content.buffers)
            return Published(Written(0, ""))
        image = partial(self._write, buffers=content.buffers)
        if self._sidecar is None or content.sidecar is None:
            return Published(self.write(name, image, frame, replace=replace))
        beside = partial(self._write, buffers=[content.sidecar])
        suffix = self._sidecar.suffix
        sidecar = self.write(name + suffix, beside, frame, replace=replace)
        try:
            return Published(self.write(name, image, frame, replace=replace), sidecar)
        except BaseException as error:
            # After a late error, as of `close`, the image can be there all the same.
            is_there = not isinstance(error, ExistsError) and self._has(name)
            if not (replace or is_there):
                self._unlink(name + suffix)
            raise

    def write(
        self,
        name: str,
        write: Callable[[int], Written],
        frame: Frame,
        *,
        replace: bool,
        stops: bool = True,
    ) -> Written:
        """Write a complete file, with the time of its frame for ``file_time="event"``.

        A full disk stops the export, unless `stops` is false. The errors are those of
        `publish`.
        """
        time = self._date_of(frame) if self._dates else None
        if time is not None:
            write = dated(write, time)
        while True:
            try:
                return publish(
                    f"{self._root}/{name}",
                    write,
                    replace=replace,
                    mode=self._settings.mode,
                    sync=self._settings.fsync == "file",
                    folders=self._folders,
                )
            except WriteError as error:
                if not (stops or self._waits_for_room):
                    raise
                if not self.waits_for_room(error):
                    raise

    def new_file(self, name: str) -> NewFile:
        """Open a file that gets its name when it is complete."""
        self.clear(name)
        return NewFile(
            self.path(name),
            mode=self._settings.mode,
            sync=self._settings.fsync == "file",
            folders=self._folders,
        )

    def give_name(self, file: UnnamedFile, frame: Frame, *, replace: bool) -> None:
        """Give a complete file its name, with the time of a frame if that is asked for.

        The errors are those of `publish`.
        """
        time = self._date_of(frame)
        while True:
            try:
                file.publish(replace=replace, seconds=time)
            except WriteError as error:
                if not self.waits_for_room(error):
                    raise
            else:
                return

    def _date_of(self, frame: Frame) -> float | None:
        """Return the time for a file, for ``file_time="event"`` [s since 1970]."""
        time = frame.taken()[0] if self._dates else 0
        return time if 0 < time < LATEST else None

    def clear(self, name: str) -> None:
        """Remove temporary files of killed exports from a folder, once."""
        folder = name.rpartition("/")[0]
        if folder not in self._cleared:
            if len(self._cleared) >= MOST_FOLDERS:
                self._cleared.clear()
            self._cleared.add(folder)
            clear_leftovers(self._folders, folder)

    def remove(self, name: str) -> None:
        """Remove a file of a take that another one supersedes, and its sidecar."""
        self._unlink(name)
        if self._sidecar is not None:
            self._unlink(name + self._sidecar.suffix)

    def _has(self, name: str) -> bool:
        return os.path.lexists(self.path(name))

    def _unlink(self, name: str) -> None:
        folder, _, last = name.rpartition("/")
        with suppress(OSError), self._folders.open(folder) as above:
            os.unlink(last, dir_fd=above)

    def waits_for_room(self, error: WriteError) -> bool:
        """Wait if the disk is full, and return whether to try again.

        Without ``on_full="wait"``, a full disk stops the export.
        """
        if error.errno not in FULL:
            return False
        if not self._waits_for_room:
            stopped = WriteError(f"stopped, because the disk is full: {error}")
            self.stopped = self.stopped or caused_by(stopped, error)
            return False
        if self._cancelled.is_set():
            return False
        self._ledger.say("", WriteError(f"{error}: the export waits for room"))
        self.looked += 1
        return not self._cancelled.wait(LOOK_AGAIN)

    def stop_waiting(self) -> None:
        """Stop waiting for space on a full disk."""
        self._cancelled.set()


def caused_by(error: E, cause: BaseException) -> E:
    """Set the cause of an error, and its `errno` if the cause has one."""
    error.errno = getattr(cause, "errno", None)
    error.__cause__ = cause
    return error
