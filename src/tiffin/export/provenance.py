"""Make the metadata of a corrected image: the corrections, and what they used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiffin.corrections import Notes


def provenance_of(notes: Notes) -> dict[str, Any]:
    """Return how an image was corrected, for the metadata of its file.

    Parameters
    ----------
    notes : Notes
        The notes of its corrections.

    Returns
    -------
    dict
        Empty if the image was not corrected.

    Examples
    --------
    >>> from tiffin.corrections import Notes
    >>> provenance_of(Notes(steps=["Bin(n=2)"]))
    {'corrections': ['Bin(n=2)']}
    """
    if not notes.steps:
        return {}
    done: dict[str, Any] = {"corrections": notes.steps}
    if notes.used:
        done["used"] = notes.used
    if notes.clipped:
        done["clipped"] = notes.clipped
    return done
