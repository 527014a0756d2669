"""Find the folders of a template that are those of a run."""

from __future__ import annotations

from tiffin.template.grammar import Field, Part, Reference, Segment, fields_of

__all__ = ["RUN", "folders_of_run", "run_number"]

RUN = Field((Reference("run"),))
"""The field ``{run}``."""

NUMBERS = (
    Reference("start", ("scan_id",)),
    Reference("start", ("uid",)),
    Reference("run"),
)
"""What tells one run from another."""


def run_number(parts: tuple[Part, ...]) -> Field | None:
    """Return the first field with the run's number or uid."""
    fields = fields_of(parts)
    return next((f for f in fields if not set(f.references).isdisjoint(NUMBERS)), None)


def folders_of_run(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return the leading folders that only values of the start document name."""
    folders: list[Part] = []
    begun: list[Part] = []  # a folder whose slash has not come yet
    for part in parts:
        if not _is_of_run(part):
            break
        if isinstance(part, str) and "/" in part:
            above, slash, rest = part.rpartition("/")
            folders += [*begun, above + slash]
            begun = [rest] if rest else []
        elif isinstance(part, Segment) and _ends_folder(part):
            folders += [*begun, part]
            begun = []
        else:
            begun.append(part)
    return tuple(folders)


def _is_of_run(part: Part) -> bool:
    references = (r for field in fields_of((part,)) for r in field.references)
    return all(reference.root in ("start", "run") for reference in references)


def _ends_folder(segment: Segment) -> bool:
    last = segment.parts[-1] if segment.parts else ""
    return isinstance(last, str) and last.endswith("/")
