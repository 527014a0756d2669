"""Find a field's value in the documents, and put it into words.

Items only: mappings by key, lists by index. Nothing is called, no attribute is read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tiffin.errors import MissingKeyError, TemplateError, did_you_mean

if TYPE_CHECKING:
    from tiffin.template.grammar import Field

__all__ = ["look_up", "text_of"]


def look_up(
    field: Field, names: Mapping[str, Any], *, where: str | None = None
) -> object:
    """Find the value that `field` speaks of.

    Parameters
    ----------
    field : Field
    names : mapping
        What each root stands for.
    where : str, optional
        What to call the root's document in the error.

    Raises
    ------
    MissingKeyError
        Naming the nearest keys.
    """
    value = names.get(field.root)
    if value is None and not field.keys:
        message = f"template field '{field}' has no value for this frame"
        raise MissingKeyError(message, column=field.column)
    for depth, key in enumerate(field.keys):
        try:
            value = _item(value, key)
        except (LookupError, TypeError, ValueError):
            place = where or _place(field.root, names)
            inside = "".join(f"[{k}]" for k in field.keys[:depth])
            choices = value.keys() if isinstance(value, Mapping) else ()
            message = f"template field '{field}' is not in {place}{inside}"
            message += did_you_mean(key, choices)
            raise MissingKeyError(message, column=field.column) from None
    return value


def text_of(value: object, field: Field) -> str:
    """Format a value as its field asks.

    Raises
    ------
    MissingKeyError
        If the value is None, blank, or nothing but dots.
    TemplateError
        If the specification does not fit the value.
    """
    if isinstance(value, np.generic) or (
        isinstance(value, np.ndarray) and not value.ndim
    ):
        value = value.item()
    if isinstance(value, (Mapping, list, tuple, set, np.ndarray)):
        kind = type(value).__name__
        message = f"template field '{field}' is a {kind}: choose one item of it"
        if isinstance(value, Mapping):
            message += did_you_mean("", value.keys())
        raise TemplateError(message, column=field.column)
    try:
        text = "" if value is None else format(value, field.specification)
    except (ValueError, TypeError, OverflowError) as error:
        message = f"template field '{field}': {value!r} can't be formatted so ({error})"
        raise TemplateError(message, column=field.column) from None
    if not text.strip().strip("."):
        message = f"template field '{field}' is blank here ({value!r})"
        raise MissingKeyError(message, column=field.column)
    return text


def _item(value: Any, key: str) -> Any:
    if isinstance(value, Mapping):
        return value[key] if key in value else value[int(key)]
    if isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, str):
        return value[int(key)]
    raise TypeError(key)


def _place(root: str, names: Mapping[str, Any]) -> str:
    document = names.get(root)
    if root == "start" and isinstance(document, Mapping):
        return f"run {str(document.get('uid', '?'))[:8]}"
    if root == "event" and isinstance(document, Mapping):
        return f"event {document.get('seq_num', '?')}"
    return f"the {root} document"
