"""Files of documents: JSON lines, as recorders and suitcase-jsonl write them."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from tiffin.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["documents"]

logger = logging.getLogger("tiffin")


def documents(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Go through a file with one document a line.

    Parameters
    ----------
    path : pathlib.Path
        A line is ``{"name": …, "doc": …}`` or ``["name", {…}]``. A last line that
        breaks off (the recorder died) is left out, and that is said.

    Raises
    ------
    SourceError
        With the line's number.
    """
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    document = _document(line, number, path)
                    if document is None:
                        return
                    yield document
    except (OSError, UnicodeDecodeError) as error:
        message = f"{path} can't be read: {error}"
        raise SourceError(message) from error


def _document(
    line: str, number: int, path: Path
) -> tuple[str, Mapping[str, Any]] | None:
    try:
        found = json.loads(line)
    except ValueError as error:
        if not line.endswith("\n"):
            logger.warning("%s breaks off in line %d, which is left out", path, number)
            return None
        message = f"{path}, line {number}: no JSON ({error})"
        raise SourceError(message) from None
    if isinstance(found, dict) and {"name", "doc"} <= found.keys():
        name, doc = found["name"], found["doc"]
    elif isinstance(found, list) and len(found) == 2:
        name, doc = found
    else:
        name, doc = None, None
    if not isinstance(name, str) or not isinstance(doc, dict):
        message = (
            f"{path}, line {number}: no document; wanted "
            f'{{"name": …, "doc": {{…}}}} or ["name", {{…}}]'
        )
        raise SourceError(message)
    return name, doc
