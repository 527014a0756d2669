"""Where files go: a directory, or a manager of suitcase-utils, which stays optional."""

from __future__ import annotations

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
        It may begin with ``~``. Made with the first file.
    """

    def __init__(self, directory: str | Path) -> None:
        self._folders = Folders(str(Path(directory).expanduser().resolve()))
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

    def put_file(self, name: str, file: IO[bytes]) -> None:
        """Write a copy of an open file, see `put`."""

        def copy(descriptor: int) -> None:
            file.seek(0)
            with open(descriptor, "wb", closefd=False) as target:
                shutil.copyfileobj(file, target, 2**20)

        self._publish(name, copy)

    def scratch(self) -> IO[bytes]:
        """Return a nameless file on the disk where the files go."""
        self._folders.make()
        return tempfile.TemporaryFile(dir=self._folders.root)

    def close(self) -> None:
        """Files are closed already, each when it was written."""

    def _publish(self, name: str, write: Callable[[int], object]) -> None:
        self._paths.append(_publish(self._folders, name, write))


class _ManagedFiles(Output):
    """A `MultiFileManager`, which chooses the paths and lists them."""

    def __init__(self, manager: Any) -> None:
        super().__init__("")
        self._manager = manager
        # By default it only creates files; its user may have allowed more.
        modes = getattr(manager, "_allowed_modes", ())
        self._replace = "wb" in modes or "w" in modes

    @property
    def artifacts(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = self._manager.artifacts
        return found

    def scratch(self) -> IO[bytes]:
        return tempfile.TemporaryFile()

    def close(self) -> None:
        self._manager.close()

    def _publish(self, name: str, write: Callable[[int], object]) -> None:
        path = str(self._manager.reserve_name(LABEL, name))
        root = path.removesuffix(f"/{name}")
        if root == path:
            message = f"{name!r} leads out of the directory, to {path}"
            raise TemplateError(message)
        _publish(Folders(root), name, write, replace=self._replace)


class _ManagedBuffers(_ManagedFiles):
    """Any other manager, which opens files or buffers."""

    def put(self, name: str, buffers: list[Buffer]) -> None:
        with self._manager.open(LABEL, name, "xb") as file:
            for buffer in buffers:
                file.write(buffer)

    def put_file(self, name: str, file: IO[bytes]) -> None:
        file.seek(0)
        with self._manager.open(LABEL, name, "xb") as target:
            shutil.copyfileobj(file, target, 2**20)


def _publish(
    folders: Folders,
    name: str,
    write: Callable[[int], object],
    *,
    replace: bool = False,
) -> Path:
    path = Path(folders.root, name)
    try:
        publish(path, write, replace=replace, folders=folders)
    except ExistsError:
        message = (
            f"there is already a file at {path}, which is not replaced: export to "
            f"another directory, or choose another file_prefix"
        )
        raise ExistsError(message) from None
    return path
