"""What a corrected file tells of itself: what was done, and with what."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiffin.corrections import Notes

__all__ = ["provenance"]


def provenance(notes: Notes) -> str:
    """Say how an image was corrected, as the JSON that its file carries.

    Parameters
    ----------
    notes : Notes
        Of its corrections.

    Returns
    -------
    str
        ASCII; empty where nothing was done, so that such a file is a plain one.

    Examples
    --------
    >>> from tiffin.corrections import Notes
    >>> provenance(Notes(steps=["Bin(n=2)"]))
    '{"corrections": ["Bin(n=2)"]}'
    """
    if not notes.steps:
        return ""
    told: dict[str, Any] = {"corrections": notes.steps}
    if notes.used:
        told["used"] = notes.used
    if notes.clipped:
        told["clipped"] = notes.clipped
    return json.dumps(told)
