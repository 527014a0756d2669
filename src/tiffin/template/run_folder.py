"""Find the folders of a template that are those of a run."""

from __future__ import annotations

import re

from tiffin.template.grammar import Field, Part, Reference, Segment, fields_of

RUN = Field((Reference("run"),))
"""The field ``{run}``."""

UIDS = frozenset({Reference("start", ("uid",)), Reference("run")})
COUNTS = frozenset({"i", "frame", "field", "stream", "kind"})
"""Roots that tell the frames of a run apart, and no runs."""

NUMBERS = UIDS | {Reference("start", ("scan_id",))}
"""What tells one run from another; a scan_id may come again."""


def run_number(parts: tuple[Part, ...]) -> Field | None:
    """Return the field with the run's uid, or else the first one with its number."""
    fields = [f for f in fields_of(parts) if not NUMBERS.isdisjoint(f.references)]
    return next((f for f in fields if not UIDS.isdisjoint(f.references)), None) or next(
        iter(fields), None
    )


def folders_of_run(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Return the leading folders that only values of the start document name."""
    folders: list[Part] = []
    begun: list[Part] = []  # a folder whose slash has not come yet
    for part in parts:
        if not is_of_run(part):
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


def is_of_run(part: Part) -> bool:
    """Return whether the start document decides the text of a part."""
    references = (r for field in fields_of((part,)) for r in field.references)
    return all(reference.root in ("start", "run") for reference in references)


def only_counts(parts: tuple[Part, ...]) -> bool:
    """Return whether all other fields have the same values in every run."""
    others = [f for part in parts if not is_of_run(part) for f in fields_of((part,))]
    return all(
        reference.root in COUNTS
        or re.fullmatch(r"i\d+", reference.root) is not None
        or reference == Reference("event", ("seq_num",))
        for field in others
        for reference in field.references
    )


def _ends_folder(segment: Segment) -> bool:
    last = segment.parts[-1] if segment.parts else ""
    return isinstance(last, str) and last.endswith("/")
