"""Show the names of a run before its start document exists."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.display import shortened
from tiffin.errors import TemplateError
from tiffin.template.document_checks import check_start
from tiffin.template.grammar import Field, Part, fields_of
from tiffin.template.paths import safe_path
from tiffin.template.text import pieces_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.template.paths import Piece
    from tiffin.template.style import Style

OF_ENGINE = ("scan_id", "uid", "time", "plan_type", "plan_name", "versions")
OF_PLANS = (
    *("detectors", "motors", "hints", "num_points", "num_intervals", "shape"),
    *("plan_args", "plan_pattern", "plan_pattern_args", "plan_pattern_module"),
    *("extents", "snaking"),
)
"""Keys of start documents that a RunEngine and the plans of bluesky add to a user's."""


class NameCheck(NamedTuple):
    """How the files of a run would be named.

    Attributes
    ----------
    names : str
        The path of the files, with fields that only the run knows in brackets.
    problems : tuple of TemplateError
        What is missing or wrong.
    """

    names: str
    problems: tuple[TemplateError, ...]

    @property
    def ok(self) -> bool:
        """Whether the files get names."""
        return not self.problems

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        if self.ok:
            return f"<names: {shortened(self.names)}>"
        return f"<no names: {shortened('; '.join(map(str, self.problems)))}>"


def preview(
    parts: tuple[Part, ...], metadata: Mapping[str, Any], style: Style
) -> NameCheck:
    """Return the names, as far as metadata give them, and what is wrong with them."""
    known = {"start": metadata}
    pieces: list[Piece] = []
    problems: list[TemplateError] = []
    for part in parts:
        if isinstance(part, str):
            pieces.append((part, False))
            continue
        shown: list[Piece] = [(str(part), True)]
        if not _is_later(part, metadata):
            try:
                check_start((part,), metadata, style, "this metadata")
                if _roots(part) == {"start"}:
                    shown = pieces_of(part, style, known)
            except TemplateError as error:
                problems.append(error)
        pieces += shown
    names = "".join(text for text, _ in pieces)
    try:
        names = safe_path(pieces)
    except TemplateError as error:
        problems.append(error)
    return NameCheck(names, tuple(problems))


def _is_later(part: Part, metadata: Mapping[str, Any]) -> bool:
    """Return whether a part needs a key that the engine or the plan adds."""
    return any(
        reference.root in ("run", "motors")
        or (
            reference.root == "start"
            and reference.keys[0] in (*OF_ENGINE, *OF_PLANS)
            and reference.keys[0] not in metadata
        )
        for field in _fields(part)
        for reference in field.references
    )


def _roots(part: Part) -> set[str]:
    return {reference.root for f in _fields(part) for reference in f.references}


def _fields(part: Part) -> tuple[Field, ...]:
    return fields_of((part,))
