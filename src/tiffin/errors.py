"""What can go wrong, as a tree.

::

    TiffinError
    ├── SettingsError (ValueError)        a setting that can't work
    │   └── ResumeError                   an export resumed with other settings
    ├── TemplateError (ValueError)        a template, or what it asks of a run
    │   └── MissingKeyError (LookupError) a key that this run or event lacks
    ├── FieldError (LookupError)          a field that is no image, or not there
    ├── NoImageError (LookupError)        nothing to export here: a skipped record
    ├── DtypeError (TypeError)            pixels that a TIFF can't hold as asked
    ├── CollisionError (ValueError)       two frames would get one name
    ├── ExistsError (FileExistsError)     a file of that name is there already
    ├── SourceError (ValueError)          a source that can't be read as documents
    ├── ReadError (OSError)               pixels that can't be read
    │   ├── NotYetError                   a file that is not there, or not whole, yet
    │   └── UnknownFormatError            no handler or reader is registered
    ├── WriteError (OSError)              a file that can't be written
    │   └── NoRoomError                   more than the disk has room for
    ├── VerifyError (ValueError)          a file that is not what was exported
    ├── CorrectionError (RuntimeError)    a correction that failed
    │   └── MissingDarkError              a light without a dark
    └── MissingLibraryError (ImportError) an optional library that is not installed

Each subclasses the built-in exception that it replaces, so that old ``except`` clauses
go on working.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

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
    "TemplateError",
    "TiffinError",
    "UnknownFormatError",
    "VerifyError",
    "WriteError",
    "did_you_mean",
]


class TiffinError(Exception):
    """The base of every error that tiffin raises by itself.

    Attributes
    ----------
    report : Report or None
        What the export had done, on errors that end one with ``on_error="raise"``.
    exit_status : int
        What a shell gets when this error ends a command.
    """

    report: Report | None = None
    exit_status = 1


class SettingsError(TiffinError, ValueError):
    """A setting that can't work, whatever the run.

    Parameters
    ----------
    problem : str
        What is wrong, such as "must be True or False, not 1".
    setting : str, optional
        The name of the setting, which the message begins with.

    Attributes
    ----------
    problem, setting : str
        As given: the shell and the configuration file write the setting in their way.
    """

    exit_status = 2

    def __init__(self, problem: str, *, setting: str = "") -> None:
        super().__init__(f"{setting} {problem}" if setting else problem)
        self.problem = problem
        self.setting = setting


class ResumeError(SettingsError):
    """An export that is resumed with other settings; the message shows them."""

    exit_status = 1


class TemplateError(TiffinError, ValueError):
    """A template that can't work, or a name that it can't make.

    Attributes
    ----------
    column : int
        Where in the template, counted from 1.
    """

    exit_status = 2

    def __init__(self, message: str, *, column: int = 1) -> None:
        super().__init__(message)
        self.column = column


class MissingKeyError(TemplateError, LookupError):
    """A key that the template names and this run or event lacks."""

    exit_status = 1


class FieldError(TiffinError, LookupError):
    """A field that is no image, or that the run does not have."""


class NoImageError(TiffinError, LookupError):
    """Nothing to export here; the record's status is ``"skipped"``."""


class DtypeError(TiffinError, TypeError):
    """Pixels that can't be held exactly in the dtype asked for, or in a TIFF."""


class CollisionError(TiffinError, ValueError):
    """Two frames of one export would get the same name."""


class ExistsError(TiffinError, FileExistsError):
    """A file of that name is there already, and ``existing="error"``."""

    @classmethod
    def at(cls, path: object) -> ExistsError:
        """Say so, and what can be done."""
        return cls(
            f"there is already a file at {path}: "
            f"existing='skip' leaves it, existing='replace' replaces it"
        )


class SupersededError(TiffinError):
    """A point that was taken again: another take of it is the frame."""

    skip = True


class SourceError(TiffinError, ValueError):
    """A source that can't be read as Bluesky documents."""


class ReadError(TiffinError, OSError):
    """Pixels that can't be read: a file that vanished, an unknown format."""


class NotYetError(ReadError):
    """A file that is not there, or not whole; live, it is looked for again."""


class UnknownFormatError(ReadError):
    """No handler is registered for a spec, or no reader for a mimetype."""


class WriteError(TiffinError, OSError):
    """A file or folder that can't be written."""


class NoRoomError(WriteError):
    """More than the disk has room for, told before anything is written."""


class VerifyError(TiffinError, ValueError):
    """A file that is missing, damaged, or not what was exported."""


class CorrectionError(TiffinError, RuntimeError):
    """A correction that failed, or gave back something that is no image."""


class MissingDarkError(CorrectionError):
    """A light without a dark.

    Attributes
    ----------
    skip : bool
        Whether it is to be left out, not to fail.
    """

    def __init__(self, message: str, *, skip: bool = False) -> None:
        super().__init__(message)
        self.skip = skip


class MissingLibraryError(TiffinError, ImportError):
    """An optional library that is not installed; the message names the extra."""


def did_you_mean(wrong: str, choices: Iterable[str]) -> str:
    """Name the nearest of `choices`, as the end of an error message.

    Examples
    --------
    >>> did_you_mean("sampel", ["sample", "scan_id"])
    ": did you mean 'sample'?"
    >>> did_you_mean("qqq", ["scan_id", "uid"])
    '; there are: scan_id, uid'
    >>> did_you_mean("qqq", [])
    ''
    """
    names = sorted({str(choice) for choice in choices})
    near = difflib.get_close_matches(wrong, names, n=3, cutoff=0.6)
    if near:
        return ": did you mean " + " or ".join(map(repr, near)) + "?"
    if not names:
        return ""
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"; there are: {shown}"
