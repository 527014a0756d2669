"""The exceptions of tiffin.

::

    TiffinError
    ├── SettingsError (ValueError)        a setting is not valid
    │   └── ResumeError                   an export is resumed with other settings
    ├── TemplateError (ValueError)        a template is not valid, or gives no name
    │   └── MissingKeyError (LookupError) a key of the template is not in the documents
    ├── FieldError (LookupError)          a field is missing or not an image
    ├── NoImageError (LookupError)        there is no image to export: it is skipped
    ├── DtypeError (TypeError)            the pixels do not fit the dtype
    ├── CollisionError (ValueError)       several frames have the same name
    ├── ExistsError (FileExistsError)     the file exists already
    ├── SupersededError                   the point was taken again: it is skipped
    ├── SourceError (ValueError)          the source can't be read as documents
    ├── ReadError (OSError)               the pixels can't be read
    │   ├── NotYetError                   the file is not there or not complete yet
    │   └── UnknownFormatError            no handler or reader is registered
    ├── WriteError (OSError)              the file can't be written
    │   └── NoRoomError                   the disk has too little space
    ├── VerifyError (ValueError)          the file is not what was exported
    ├── CorrectionError (RuntimeError)    a correction failed
    │   └── MissingDarkError              there is no dark for an image
    └── MissingLibraryError (ImportError) an optional library is not installed

Each error is also of the built-in type in brackets.
"""

from __future__ import annotations

import difflib
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tiffin.records import Report

__all__ = [
    "CollisionError",
    "CorrectionError",
    "DtypeError",
    "ExistsError",
    "FieldError",
    "MissingDarkError",
    "MissingKeyError",
    "MissingLibraryError",
    "NoImageError",
    "NoRoomError",
    "NotYetError",
    "ReadError",
    "ResumeError",
    "SettingsError",
    "SourceError",
    "SupersededError",
    "TemplateError",
    "TiffinError",
    "UnknownFormatError",
    "VerifyError",
    "WriteError",
    "did_you_mean",
]


class TiffinError(Exception):
    """The base class of all errors of tiffin.

    Attributes
    ----------
    report : Report or None
        The report of the export that the error ended, with ``on_error="raise"``.
    exit_status : int
        The exit status of a shell command that the error ends.
    skip : bool
        Whether the frame is skipped, and not failed.
    """

    report: Report | None = None
    exit_status = 1
    skip = False

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        """Is shown in IPython without the lines of tiffin: the user's line matters."""
        from tiffin.display import short_traceback

        return short_traceback(self)


class SettingsError(TiffinError, ValueError):
    """A setting is not valid.

    Parameters
    ----------
    problem : str
        What is wrong, such as "must be True or False, not 1".
    setting : str, optional
        The name of the setting. The message begins with it.

    Attributes
    ----------
    problem, setting : str
        As given. The shell and the configuration file write the setting in their way.
    """

    exit_status = 2

    def __init__(self, problem: str, *, setting: str = "") -> None:
        super().__init__(f"{setting} {problem}" if setting else problem)
        self.problem = problem
        self.setting = setting


class ResumeError(SettingsError):
    """An export is resumed with other settings. The message shows the difference."""

    exit_status = 1


class TemplateError(TiffinError, ValueError):
    """A template is not valid, or gives no name for an image.

    Attributes
    ----------
    column : int
        The place in the template, counted from 1.
    word : str
        What stands there without saying in which document it is.
    """

    exit_status = 2
    word = ""

    def __init__(self, message: str, *, column: int = 1) -> None:
        super().__init__(message)
        self.column = column


class MissingKeyError(TemplateError, LookupError):
    """A key of the template is not in the documents of the run, or has no value."""

    exit_status = 1


class FieldError(TiffinError, LookupError):
    """A field is not an image, or the run does not have it."""


class NoImageError(TiffinError, LookupError):
    """There is no image to export. The status of the record is ``"skipped"``."""


class DtypeError(TiffinError, TypeError):
    """The pixels can't be stored exactly in the requested dtype, or in a TIFF."""


class CollisionError(TiffinError, ValueError):
    """Several frames of an export have the same name."""


class ExistsError(TiffinError, FileExistsError):
    """The file exists already, and ``existing="error"``."""

    @classmethod
    def at(cls, path: object) -> ExistsError:
        """Return the error for a path. Its message says what to do."""
        return cls(
            f"there is already a file at {path}: "
            f"existing='skip' leaves it, existing='replace' replaces it, "
            f"existing='resume' goes on with an earlier export"
        )


class SupersededError(TiffinError):
    """The point was taken again. Only one of the takes is exported."""

    skip = True


class SourceError(TiffinError, ValueError):
    """The source can't be read as Bluesky documents."""


class ReadError(TiffinError, OSError):
    """The pixels can't be read, for example because a file is missing."""


class NotYetError(ReadError):
    """The file is not there or not complete yet. A live export tries again later."""


class UnknownFormatError(ReadError):
    """No handler is registered for the spec, or no reader for the mimetype."""


class WriteError(TiffinError, OSError):
    """A file or folder can't be written."""


class NoRoomError(WriteError):
    """The disk has too little space for the export. Nothing was written."""


class VerifyError(TiffinError, ValueError):
    """A file is missing, damaged, or not what was exported."""


class CorrectionError(TiffinError, RuntimeError):
    """A correction failed, or did not return an image."""


class MissingDarkError(CorrectionError):
    """There is no dark for an image.

    Attributes
    ----------
    skip : bool
        Whether the image is skipped, and not failed.
    """

    def __init__(self, message: str, *, skip: bool = False) -> None:
        super().__init__(message)
        self.skip = skip


class MissingLibraryError(TiffinError, ImportError):
    """An optional library is not installed. The message names the extra to install."""


@contextmanager
def optional_import(why: str, *, extra: str) -> Iterator[None]:
    """Raise `MissingLibraryError` if an import fails; `why` says what needs it."""
    try:
        yield
    except ImportError as error:
        message = f"{why}: pip install 'tiffin[{extra}]' ({error})"
        raise MissingLibraryError(message) from error


def did_you_mean(wrong: str, choices: Iterable[str], *, list_all: bool = True) -> str:
    """Return the end of an error message that suggests the most similar choices.

    If none is similar, it lists them, unless `list_all` is false.

    Examples
    --------
    >>> did_you_mean("sampel", ["sample", "scan_id"])
    ": did you mean 'sample'?"
    >>> did_you_mean("qqq", ["scan_id", "uid"])
    '; there are: scan_id, uid'
    >>> did_you_mean("PNG", ["npy", "png"])
    ": did you mean 'png'?"
    >>> did_you_mean("qqq", [])
    ''
    """
    names = sorted({str(choice) for choice in choices})
    similar = difflib.get_close_matches(wrong, names, n=3, cutoff=0.6)
    if not similar:  # perhaps but for its capitals
        small = {name.lower(): name for name in names}
        matches = difflib.get_close_matches(wrong.lower(), small, n=3, cutoff=0.6)
        similar = [small[match] for match in matches]
    if similar:
        return ": did you mean " + " or ".join(map(repr, similar)) + "?"
    if not names or not list_all:
        return ""
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"; there are: {shown}"
