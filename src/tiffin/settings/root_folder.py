"""Prepare the template: apply its style, and find its root folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tiffin.engine import FOLDER
from tiffin.errors import SettingsError, TemplateError
from tiffin.template import Style, Template, foreign_path

if TYPE_CHECKING:
    from collections.abc import Mapping


def with_style(
    template: str | Template,
    timezone: str | None,
    policy: str | None,
    replacements: Mapping[str, str] | None,
) -> Template:
    """Return the template in the given style; what is None stays as it is."""
    if not isinstance(template, Template):
        return Template(
            template,
            timezone=timezone,
            policy=policy or "portable",
            replacements=replacements,
        )
    if timezone is None and policy is None and replacements is None:
        return template
    old = template.style
    given = dict(old.replacements) if replacements is None else replacements
    style = Style.of(policy or old.policy, given, timezone or old.timezone)
    return template.with_style(style)


def split_root(
    template: Template, directory: str | os.PathLike[str] | None
) -> tuple[Path, Template]:
    """Return the absolute root folder, and the template relative to it."""
    lead, relative = template.split_root()
    problem = foreign_path(lead)
    if problem:
        raise TemplateError(f"template {template.text!r}: {problem}")
    if directory is None:
        return _absolute(lead), relative
    if template.is_absolute:
        message = (
            f"template {template.text!r} is an absolute path, and directory="
            f"{str(directory)!r} is given too: leave one of them out"
        )
        raise TemplateError(message, column=1)
    if lead.split("/")[0] == FOLDER:
        message = f"{FOLDER!r} is the folder of the manifests: choose another"
        raise TemplateError(message)
    if ".." in lead.split("/"):
        message = (
            f"template {template.text!r} leaves directory={str(directory)!r}: "
            f"write no '..', and give the folder above all names as the directory"
        )
        raise TemplateError(message, column=1)
    _refuse_fields(directory)
    return _absolute(directory), template


def _refuse_fields(directory: str | os.PathLike[str]) -> None:
    """Refuse a directory that is written as a template."""
    try:
        fields = Template(f"{os.fspath(directory)}/name").fields
    except (TypeError, TemplateError):  # no template: a name may have any characters
        return
    if fields:
        message = (
            f"{os.fspath(directory)!r} has the field '{fields[0]}', and only the "
            f"template has fields: write it there, as in '{fields[0]}/name.tif'"
        )
        raise SettingsError(message, setting="directory")


def _absolute(directory: str | os.PathLike[str]) -> Path:
    try:
        problem = foreign_path(os.fspath(directory))
        if problem:
            raise SettingsError(
                f"must be a path of this system: {problem}", setting="directory"
            )
        path = Path(directory).expanduser().absolute()
        if b"\0" not in os.fsencode(path):
            return path
        message = f"must be a path, not {directory!r}"
    except (TypeError, UnicodeEncodeError):  # or half of a surrogate pair
        message = f"must be a path, not {directory!r}"
    except RuntimeError:
        message = f"{os.fspath(directory)!r} is in an unknown user's home"
    except OSError as error:  # the working directory is gone
        message = f"{os.fspath(directory)!r} can't be made absolute: {error}"
    raise SettingsError(message, setting="directory") from None
