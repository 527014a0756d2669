"""The template of a command: checked early, and explained with a run at hand."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from tiffin.errors import TemplateError, TiffinError
from tiffin.sources import first_image
from tiffin.template import Template, fields_with_values, parse_reference, places_of

if TYPE_CHECKING:
    from tiffin.options import RunOptions

__all__ = ["check_template"]


def check_template(text: str, runs: RunOptions, source: str | None) -> None:
    """Raise what is wrong with a template, before any server is asked.

    The source is only opened to say where it has a word such as ``{temperature}``.
    """
    try:
        Template(text)
    except TemplateError as error:
        places = _places(error.word, runs, source) if error.word and source else []
        if not places:
            raise
        choices = " or ".join(f"{{{place}}}" for place in places)
        message = (
            f"template {text!r}, column {error.column}: '{{{error.word}}}' does not "
            f"say where it is: did you mean {choices}?"
        )
        raise TemplateError(message, column=error.column) from None


def _places(word: str, runs: RunOptions, source: str) -> list[str]:
    """Return where a run has this key, or one that is spelt much like it."""
    try:
        names = first_image(runs.open(source))
    except TiffinError:
        return []
    if word == names.get("field"):
        return ["field"]
    found = places_of(word, names)
    if found:
        return found
    keys: dict[str, str] = {}
    for field, _ in fields_with_values(names):
        reference = field.strip("{}").partition(":")[0]
        *_, key = (reference, *parse_reference(reference).keys)
        keys.setdefault(key, reference)
    similar = difflib.get_close_matches(word, keys, 2, 0.75)
    return [keys[each] for each in similar]
