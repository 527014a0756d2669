"""Say where a bare word such as ``{scan_id}`` is found, and repair ``{a_{b}``."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from tiffin.errors import TemplateError
from tiffin.template.grammar import ROOTS, VALUES
from tiffin.template.messages import shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

START = (
    *("scan_id", "uid", "sample", "sample_name", "plan_name", "plan_type", "user"),
    *("operator", "proposal", "proposal_id", "purpose", "num_points", "project"),
    *("group", "owner", "beamline_id", "data_session", "cycle", "title"),
)
"""Keys that start documents often have."""

USUAL = {
    **{key: f"start.{key}" for key in START},
    **dict.fromkeys(("seq_num", "step", "point", "number", "num"), "event.seq_num"),
    **dict.fromkeys(("scan", "scan_number", "scan_num"), "start.scan_id"),
    **dict.fromkeys(("index", "image", "image_number"), "i"),
    **dict.fromkeys(("frame_number", "frame_num"), "frame"),
    **dict.fromkeys(("detector", "det", "camera"), "field"),
    **dict.fromkeys(("date", "day"), "time:%Y%m%d"),
    **dict.fromkeys(("datetime", "timestamp"), "time:%Y%m%d-%H%M%S"),
    "samplename": "start.sample_name",
    "data": "event.data",
    "plan": "start.plan_name",
    "motor": "motors",
}
"""Words that people write, and what a template has for them."""


def unknown_word(word: str, keys: Sequence[str], column: int) -> TemplateError:
    """Return the error for a field that begins with a word that is no root.

    Examples
    --------
    >>> print(unknown_word("det", (), 1))
    template, column 1: '{det}' does not say where it is: did you mean {field}?
    >>> print(unknown_word("strat", ("uid",), 1))
    template, column 1: there is no document 'strat': did you mean 'start'?
    """
    shown = shortened(word)
    known = USUAL.get(word.lower()) or USUAL.get(word.lower().replace("-", "_"))
    near = [*difflib.get_close_matches(word.lower(), ROOTS, 1, 0.7)]
    if keys and near and known is None:
        message = f"there is no document {shown!r}: did you mean {near[0]!r}?"
    elif known is not None and (not keys or "." in known):
        rest = "".join(f".{key}" for key in keys)
        meant = f"{{{known}{rest}}}"
        message = f"'{{{shown}{rest}}}' does not say where it is: did you mean {meant}?"
    else:
        similar = difflib.get_close_matches(word.lower(), [*USUAL, *ROOTS], 2, 0.8)
        places = [USUAL.get(each, each) for each in similar]
        if not places:
            places = [f"start.{shown}", f"event.data.{shown}"]
        message = (
            f"'{{{shown}}}' does not say where it is: did you mean "
            f"{' or '.join(f'{{{place}}}' for place in dict.fromkeys(places))}? "
            f"There are the documents start, event, config, baseline, descriptor and "
            f"stop, and {', '.join(('motors', *VALUES[:7]))} and i0 to i5; "
            f"'tiffin runs SOURCE --run -1' lists what a run has"
        )
    error = TemplateError(f"template, column {column}: {message}", column=column)
    error.word = word
    return error


def unclosed(inside: str, following: str) -> str:
    """Return what is wrong with a field that another opens in.

    Examples
    --------
    >>> unclosed("start.scan_id_step", "event.seq_num}.tif")
    "the '}' of a field is missing: did you mean {start.scan_id}_step{event.seq_num}?"
    >>> unclosed("start.scan_id:", "start.width}")
    'a field inside a field: write widths and keys out, as in {event.seq_num:04d}'
    """
    if ":" in inside or inside.endswith(("[", ".")):
        return (
            "a field inside a field: write widths and keys out, as in "
            "{event.seq_num:04d}"
        )
    end = len(inside)
    for known in ("event.seq_num", *USUAL.values(), *VALUES):
        if re.match(rf"{re.escape(known)}(?![A-Za-z0-9])", inside):
            end = len(known)
            break
    after = following.partition("}")[0]
    return (
        f"the '}}' of a field is missing: did you mean "
        f"{{{shortened(inside[:end])}}}{shortened(inside[end:])}{{{shortened(after)}}}?"
    )
