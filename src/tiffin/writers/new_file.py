"""A file that is written over a time, and gets its name when it is complete."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import tempfile
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from tiffin.errors import ExistsError, WriteError
from tiffin.folders import sync_folder
from tiffin.writers.leftovers import temporary_name
from tiffin.writers.link import link_descriptor, name_temporary, replace_by_temporary
from tiffin.writers.publishing import (
    check_length,
    open_nameless,
    open_temporary,
    set_time,
    write_error,
)

if TYPE_CHECKING:
    from tiffin.folders import Folders

SPARE = 100
"""How many descriptors a file that stays open leaves to others."""


class NewFile:
    """An open file without a name, which gets its name when it is complete.

    Parameters
    ----------
    target : str
        Absolute, below the root of `folders`. Its folders are made.
    mode : int, optional
        The permissions of the file; without it, the umask decides.
    sync : bool
        Whether to wait until the file and its folders are on the disk (``fsync``).
    folders : Folders

    Attributes
    ----------
    descriptor : int
        Opened for reading and writing.

    Raises
    ------
    WriteError
        If the system refuses; also if it would soon have no descriptors left.
    """

    def __init__(
        self,
        target: str,
        *,
        mode: int | None = None,
        sync: bool = False,
        folders: Folders,
    ) -> None:
        check_length(target)
        self._path, self._sync = target, sync
        self._above = self.descriptor = -1
        folder, _, self._name = (
            target.removeprefix(folders.root).lstrip("/").rpartition("/")
        )
        self._temporary: str | None = None
        self._is_named = False
        try:
            folders.make(folder, sync=sync)
            self._above = folders.descriptor(folder)
            nameless = open_nameless(".", self._above, os.O_RDWR)
            if nameless is None:
                self._temporary, nameless = open_temporary(self._above, os.O_RDWR)
            self.descriptor = nameless
            _check_descriptors(nameless)
            if mode is not None:
                os.fchmod(nameless, mode)
        except OSError as error:
            self.close()
            raise write_error(target, error) from error
        except ValueError as error:  # a name that no system call takes
            self.close()
            message = f"{target!r} can't be written: {error}"
            raise WriteError(message) from error

    def publish(self, *, replace: bool, seconds: float | None = None) -> None:
        """Give the file its name, and close it.

        With `replace`, a file with that name is replaced; otherwise an ExistsError is
        raised. `seconds` is the modification time, as for `dated`. After a WriteError,
        publish the file again, or close it.
        """
        try:
            if seconds is not None:
                set_time(self.descriptor, seconds)
            if self._sync:
                os.fsync(self.descriptor)
            self._give_name(replace=replace)
            if self._sync:
                sync_folder(".", self._above)
        except FileExistsError:
            self.close()
            raise ExistsError.at(self._path) from None
        except OSError as error:
            raise write_error(self._path, error) from error
        self.close()

    def _give_name(self, *, replace: bool) -> None:
        if self._is_named:
            return  # then only the folder could not be synced
        if self._temporary is None:
            link = partial(link_descriptor, self.descriptor, folder=self._above)
            if not replace and link(self._name):
                self._is_named = True
                return
            temporary = temporary_name()
            if link(temporary):
                self._temporary = temporary
            else:
                self._copy()
        assert self._temporary is not None  # noqa: S101 (linked or copied)
        give_name = replace_by_temporary if replace else name_temporary
        give_name(self._temporary, self._name, self._above)
        self._temporary, self._is_named = None, True

    def _copy(self) -> None:
        """Copy the file to a temporary one, on a file system without hard links."""
        temporary, copy = open_temporary(self._above)
        try:
            with (
                open(copy, "wb") as to,  # noqa: PTH123 (both are open)
                open(self.descriptor, "rb", closefd=False) as file,
            ):
                file.seek(0)
                shutil.copyfileobj(file, to)
                to.flush()
                status = os.fstat(self.descriptor)
                os.fchmod(copy, status.st_mode & 0o7777)
                os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
                if self._sync:
                    os.fsync(copy)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=self._above)
            raise
        self._temporary = temporary

    def close(self) -> None:
        """Close the file; one that was not published is gone."""
        if self._temporary is not None:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=self._above)
            self._temporary = None
        for descriptor in (self.descriptor, self._above):
            if descriptor >= 0:
                os.close(descriptor)
        self.descriptor = self._above = -1


class ScratchFile:
    """Stands for a `NewFile` that never gets a name."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (`close` does)
        self.descriptor = self._file.fileno()

    def publish(self, *, replace: bool, seconds: float | None = None) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


UnnamedFile = NewFile | ScratchFile


def _check_descriptors(descriptor: int) -> None:
    """Refuse a descriptor that leaves too few for manifests and images."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and descriptor >= most - min(SPARE, most // 2):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
