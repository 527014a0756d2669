"""Where files go: a directory, or a manager of suitcase-utils, which stays optional."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from tiffin.errors import ExistsError, SettingsError, TemplateError
from tiffin.folders import Folders
from tiffin.writers import publish, write_buffers

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.writers import Buffer

__all__ = ["Output", "output_of"]

LABEL = "stream_data"
"""What suitcase-tiff calls its files in the artifacts."""

BLOCK = 2**20
"""How much of a file is copied at a time [bytes]."""


def output_of(directory: Any) -> Output:
    """Return where files go.

    Raises
    ------
    SettingsError
        If `directory` is neither a path nor a manager.
    """
    if isinstance(directory, (str, Path)):
        return Output(directory)
    utils = sys.modules.get(
        "suitcase.utils"
    )  # imported, if the user has such a manager
    if utils is not None and isinstance(directory, utils.MultiFileManager):
        return _ManagedFiles(directory)
    if not callable(getattr(directory, "open", None)):
        message = f"must be a path or a manager of suitcase-utils, not {directory!r}"
        raise SettingsError(message, setting="directory")
    return _ManagedBuffers(directory)


class Output:
    """A directory, in which no file is replaced.

    Parameters
    ----------
    directory : str or Path
        It may begin with ``~``. Created with the first file.
    replace : bool
        Whether files may be replaced all the same.
    """

    def __init__(self, directory: str | Path, *, replace: bool = False) -> None:
        self._folders = Folders(str(Path(directory).expanduser().resolve()))
        self._replace = replace
        self._paths: list[Path] = []

    @property
    def artifacts(self) -> dict[str, list[Any]]:
        """Label → what was written: paths, or buffers."""
        return {LABEL: [*self._paths]} if self._paths else {}

    def put(self, name: str, buffers: list[Buffer]) -> None:
        """Write a file, completely or not at all.

        Raises
        ------
        ExistsError
        WriteError
        """
        self._publish(name, partial(write_buffers, buffers=buffers, kind="none"))

    def begin(self, name: str) -> IO[bytes]:
        """Return a file without a name, on the same disk, for `put_file`.

        Raises
        ------
        ExistsError
            If there is a file of that name: at the beginning, not after hours.
        """
        path = Path(self._folders.root, name)
        if os.path.lexists(path) and not self._replace:
            raise _exists(path)
        self._folders.make()
        return tempfile.TemporaryFile(dir=self._folders.root)

    def put_file(self, name: str, file: IO[bytes]) -> None:
        """Write a copy of a file, see `put`."""

        def copy(descriptor: int) -> None:
            file.seek(0)
            with open(descriptor, "wb", closefd=False) as target:
                shutil.copyfileobj(file, target, BLOCK)

        self._publish(name, copy)

    def close(self) -> None:
        """Files are closed already, each when it was written."""

    def _publish(self, name: str, write: Callable[[int], object]) -> None:
        path = self._path(name)
        try:
            publish(path, write, replace=self._replace, folders=self._folders)
        except ExistsError:
            raise _exists(path) from None
        self._paths.append(path)

    def _path(self, name: str) -> Path:
        return Path(self._folders.root, name)


class _ManagedFiles(Output):
    """A `MultiFileManager`, which keeps the list of files."""

    def __init__(self, manager: Any) -> None:
        # By default it only creates files; its user may have allowed more.
        replace = not {"w", "wb"}.isdisjoint(manager._allowed_modes)  # noqa: SLF001 (it has no public name)
        super().__init__(manager._directory, replace=replace)  # noqa: SLF001
        self._manager = manager

    @property
    def artifacts(self) -> dict[str, list[Any]]:
        return dict(self._manager.artifacts)

    def close(self) -> None:
        self._manager.close()

    def _path(self, name: str) -> Path:
        path, expected = self._manager.reserve_name(LABEL, name), super()._path(name)
        if path != expected:
            message = f"{expected} leads out of the directory, to {path}"
            raise TemplateError(message)
        return expected


class _ManagedBuffers(Output):
    """Any other manager, which opens files or buffers."""

    def __init__(self, manager: Any) -> None:
        super().__init__(tempfile.gettempdir(), replace=True)
        self._manager = manager

    @property
    def artifacts(self) -> dict[str, list[Any]]:
        return dict(self._manager.artifacts)

    def put(self, name: str, buffers: list[Buffer]) -> None:
        with self._manager.open(LABEL, name, "xb") as file:
            for buffer in buffers:
                file.write(buffer)

    def put_file(self, name: str, file: IO[bytes]) -> None:
        file.seek(0)
        with self._manager.open(LABEL, name, "xb") as target:
            shutil.copyfileobj(file, target, BLOCK)

    def close(self) -> None:
        self._manager.close()


def _exists(path: Path) -> ExistsError:
    return ExistsError(
        f"there is already a file at {path}, which is not replaced: choose another "
        f"directory or file_prefix"
    )
