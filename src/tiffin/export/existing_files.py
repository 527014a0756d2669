"""Check existing files: by the manifest, or byte by byte."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from tiffin.errors import ExistsError, ReadError, VerifyError
from tiffin.export.output_file import Published
from tiffin.folders import IrregularError
from tiffin.writers import checksum_of, difference, same_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from tiffin.export.manifests import Manifests
    from tiffin.export.output_file import Content
    from tiffin.settings import Settings

State = Literal["absent", "damaged", "same"]


class ExistingFiles:
    """Checks files of earlier exports, for a resume or a comparison."""

    def __init__(self, settings: Settings, manifests: Manifests) -> None:
        self._settings = settings
        self._manifests = manifests
        self._root = str(settings.directory)
        self._folders = settings.folders
        self._sums = settings.checksum
        self.looks = settings.existing == "resume" or settings.compare
        """Whether to call `state` before a file is written."""

    def listed(self, run: str, name: str) -> bool:
        """Return whether a file is in the manifest, with its size and checksum.

        Its sidecar must be there too, if the profile has one. An OSError is raised if
        the file can't be read.
        """
        return all(self._listed(run, file) for file in self._files(name))

    def _listed(self, run: str, name: str) -> bool:
        entry = self._manifests.listed(run, name)
        if entry is None:
            return False
        checksum = str(entry.get("checksum") or "")
        if not checksum and self._sums != "none":
            return False  # the size is not enough: compare the bytes
        try:
            descriptor = self._folders.open_file(name)
        except (FileNotFoundError, IrregularError):
            return False
        return not difference(descriptor, entry["bytes"], checksum)

    def _files(self, name: str) -> list[str]:
        sidecar = self._settings.sidecar
        return [name] if sidecar is None else [name, name + sidecar.suffix]

    def state(self, run: str, name: str, content: Content) -> State:
        """Return the state of the file and the sidecar that are about to be written.

        It is "absent"; "damaged", if a file of the manifest is not intact, or has no
        sidecar; or "same", with exactly the bytes that would be written. An ExistsError
        is raised if there is another file, which is in no manifest; when comparing, a
        VerifyError if the file differs or is missing.
        """
        states = {
            self.state_of(run, name, partial(same_bytes, buffers=content.buffers))
        }
        if content.sidecar is not None:
            _, sidecar = self._files(name)
            same = partial(same_bytes, buffers=[content.sidecar])
            states.add(self.state_of(run, sidecar, same))
        return states.pop() if len(states) == 1 else "damaged"

    def state_of(self, run: str, name: str, same: Callable[[int], bool]) -> State:
        """Return the state of one file, as `state`.

        `same` returns whether a file, given its descriptor, is what would be written.
        """
        settings, path = self._settings, f"{self._root}/{name}"
        try:
            if same(self._folders.open_file(name)):
                return "same"
        except (FileNotFoundError, NotADirectoryError):
            if settings.compare:
                message = f"{path} is missing"
                raise VerifyError(message) from None
            return "absent"
        except IrregularError as error:
            if settings.compare:
                raise VerifyError(str(error.strerror)) from None
        except OSError as error:
            refused = ReadError(f"{path} can't be read: {error.strerror or error}")
            refused.errno = error.errno
            raise refused from error
        if settings.compare:
            message = f"{path} differs from what the run gives"
            raise VerifyError(message)
        if self._manifests.listed(run, name) is not None:
            return "damaged"
        message = (
            f"there is already another file at {path}, which no manifest lists with "
            f"these settings: move it away; existing='replace' replaces it"
        )
        raise ExistsError(message)

    def sum_of(self, name: str) -> Published:
        """Return size and checksum of a file, and of its sidecar."""
        return Published(
            *(
                checksum_of(self._folders.open_file(file), self._sums)
                for file in self._files(name)
            )
        )
