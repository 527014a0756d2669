"""What the file of a corrected image says: what was done, and with what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiffin.corrections import Notes

__all__ = ["provenance_of"]


def provenance_of(notes: Notes) -> dict[str, Any]:
    """Return how an image was corrected, for the metadata of its file.

    Parameters
    ----------
    notes : Notes
        Of its corrections.

    Returns
    -------
    dict
        Empty where nothing was done.

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
