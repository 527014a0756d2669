"""Slices that a document writes as text: ``":, 0, 10:20"``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tiffin.errors import ReadError

if TYPE_CHECKING:
    from types import EllipsisType

    Item = int | slice | EllipsisType

__all__ = ["parsed_slice"]


def parsed_slice(said: Any) -> tuple[Item, ...]:
    """Read the parameter ``slice``: text as numpy writes it, or a list of such.

    Raises
    ------
    ReadError
        If it is no slice, or leaves rows no axis of their own.

    Examples
    --------
    >>> parsed_slice("2:, 0, ...")
    (slice(2, None, None), 0, Ellipsis)
    >>> parsed_slice(None), parsed_slice(("5:20", ":"))
    ((), (slice(5, 20, None), slice(None, None, None)))
    """
    if not said:
        return ()
    text = said if isinstance(said, str) else ",".join(map(str, said))
    try:
        items = tuple(map(_item, text.strip().strip("[]()").rstrip(",").split(",")))
    except ValueError as error:
        message = f"the slice {said!r} is not understood: {error}"
        raise ReadError(message) from error
    rows = items[0]
    forwards = isinstance(rows, slice) and (rows.step or 1) > 0
    if not forwards and rows is not Ellipsis:
        message = (
            f"the slice {said!r} is not understood: its first axis must go forward"
        )
        raise ReadError(message)
    return items


def _item(text: str) -> Item:
    text = text.strip()
    if text == "...":
        return Ellipsis
    if ":" not in text:
        return int(text)
    return slice(*(int(part) if part.strip() else None for part in text.split(":")))
