"""Where files go: a directory, or a manager of suitcase-utils, which stays optional."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import ExistsError, SettingsError, TemplateError
from tiffin.folders import Folders
from tiffin.writers import NewFile, ScratchFile, publish, write_buffers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiffin.writers import Buffer, UnnamedFile

LABEL = "stream_data"
"""What suitcase-tiff calls its files in the artifacts."""

BLOCK = 2**20
"""How much of a file is copied at a time [bytes]."""


def output_of(directory: Any) -> Output:
    """Return where files go, for a path or a manager."""
    if isinstance(directory, (str, Path)):
        return Output(directory)
    utils = sys.modules.get("suitcase.utils")  # imported with such a manager
    if utils is not None and isinstance(directory, utils.MultiFileManager):
        return _ManagedFiles(directory)
    if not callable(getattr(directory, "open", None)):
        message = f"must be a path or a manager of suitcase-utils, not {directory!r}"
        raise SettingsError(message, setting="directory")
    return _ManagedBuffers(directory)


class Output:
    """A directory, in which no file is replaced unless `replace` says so.

    It is created with the first file.
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
        """Write a file, completely or not at all."""
        write = partial(write_buffers, buffers=buffers, kind="none")
        with self._named(name) as path:
            publish(path, write, replace=self._replace, folders=self._folders)

    def begin(self, name: str) -> UnnamedFile:
        """Open a file that gets its name with `finish`.

        If there is a file of that name, it raises now, not after hours.
        """
        path = Path(self._folders.root, name)
        if os.path.lexists(path) and not self._replace:
            raise _exists(path)
        return NewFile(str(path), folders=self._folders)

    def finish(self, name: str, file: UnnamedFile) -> None:
        """Give a complete file its name, see `put`."""
        try:
            with self._named(name):
                file.publish(replace=self._replace)
        finally:
            file.close()

    def close(self) -> None:
        """Files are closed already, each when it was written."""

    @contextmanager
    def _named(self, name: str) -> Iterator[Path]:
        path = self._path(name)
        try:
            yield path
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

    def begin(self, name: str) -> UnnamedFile:  # noqa: ARG002 (it gets none here)
        return ScratchFile()

    def finish(self, name: str, file: UnnamedFile) -> None:
        os.lseek(file.descriptor, 0, os.SEEK_SET)
        with (
            open(file.descriptor, "rb", closefd=False) as source,
            self._manager.open(LABEL, name, "xb") as target,
        ):
            shutil.copyfileobj(source, target, BLOCK)
        file.close()

    def close(self) -> None:
        self._manager.close()


def _exists(path: Path) -> ExistsError:
    return ExistsError(
        f"there is already a file at {path}, which is not replaced: choose another "
        f"directory or file_prefix"
    )
