"""Make a file's name from a run's metadata.

A `Template` is parsed once and rendered for each frame. It looks items up and formats
them, nothing else: no attribute is read, no code is run, and no value can add a folder
or leave the root.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import TemplateError
from tiffin.template.grammar import ROOTS, Field, parse
from tiffin.template.lookup import look_up, text_of
from tiffin.template.portable import portable, safe_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["ROOTS", "Template"]


class Template:
    """A pattern for file names, with metadata in curly brackets.

    Parameters
    ----------
    text : str
        Such as ``"{start.sample_name}/{start.scan_id}_{event.seq_num:04d}.tif"``.
        ``{start.key}`` and ``{start[key]}`` mean the same; ``{{`` is a bracket.

    Raises
    ------
    TemplateError
        If the text is no template; its ``column`` says where.

    Examples
    --------
    >>> template = Template("{start.sample_name}_{event.seq_num:03d}.tif")
    >>> template.render({"start": {"sample_name": "a/b"}, "event": {"seq_num": 7}})
    'a_b_007.tif'
    """

    __slots__ = ("_parts", "text")

    def __init__(self, text: str) -> None:
        given: object = text
        if not isinstance(given, str):
            message = (
                f"a template is a string such as "
                f"'{{start.scan_id}}_{{event.seq_num}}.tif', not {type(text).__name__}"
            )
            raise TemplateError(message)
        self.text = text
        self._parts = parse(text)
        self._check_components()

    def __repr__(self) -> str:
        return f"Template({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Template) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    @property
    def fields(self) -> tuple[Field, ...]:
        """What stands in curly brackets, in order."""
        return tuple(part for part in self._parts if isinstance(part, Field))

    def names(self, root: str) -> bool:
        """Tell whether the template speaks of `root`, as in ``names("i")``."""
        return any(field.root == root for field in self.fields)

    def render(self, names: Mapping[str, Any]) -> str:
        """Make one relative path.

        Parameters
        ----------
        names : mapping
            What each root stands for: documents for ``start``, ``descriptor`` and
            ``event``; plain values for ``stream``, ``field`` and ``i``.

        Returns
        -------
        str
            With forward slashes only where the template has them.

        Raises
        ------
        MissingKeyError
            If a key is not there, or its value is blank.
        TemplateError
            If a value can't be formatted as asked.
        """
        return safe_path("".join(self._rendered(names)), self.text)

    def check(self, root: str, document: Mapping[str, Any], names: str) -> None:
        """Raise what rendering would, for the fields of one root.

        Parameters
        ----------
        root : str
            ``"start"`` or ``"descriptor"``.
        document : mapping
        names : str
            What to call the document in the error, such as ``"run 7f3a1c2e"``.
        """
        for field in self.fields:
            if field.root == root:
                text_of(look_up(field, {root: document}, where=names), field)

    def split_root(self) -> tuple[str, Template]:
        """Part the literal leading folders from the rest.

        Examples
        --------
        >>> Template("/data/raw/{start.user}/{start.scan_id}.tif").split_root()
        ('/data/raw/', Template('{start.user}/{start.scan_id}.tif'))
        """
        literal = self._parts[0] if isinstance(self._parts[0], str) else ""
        lead = literal[: literal.rfind("/") + 1]
        cut = len(_escaped(lead))
        rest = Template(self.text[cut:])
        # Columns stay those of the text that its author wrote.
        rest._parts = tuple(
            replace(part, column=part.column + cut) if isinstance(part, Field) else part
            for part in rest._parts
        )
        return lead, rest

    @property
    def is_absolute(self) -> bool:
        """Whether the names begin at the file system's root."""
        first = self._parts[0]
        return isinstance(first, str) and Path(first).is_absolute()

    def _rendered(self, names: Mapping[str, Any]) -> Iterator[str]:
        for part in self._parts:
            if isinstance(part, str):
                yield part
            else:
                yield portable(text_of(look_up(part, names), part))

    def _check_components(self) -> None:
        """Refuse a path that ends without a name, or goes up behind a field."""
        column = max(len(self.text), 1)
        shape = "".join(part if isinstance(part, str) else "\0" for part in self._parts)
        *folders, name = shape.split("/")
        if name in ("", ".", ".."):
            message = f"template {self.text!r} ends without a file name"
            raise TemplateError(message, column=column)
        varies = False
        for folder in folders:
            varies = varies or "\0" in folder
            if varies and folder == "..":
                column = self.text.rfind("..") + 1
                message = f"template {self.text!r} goes up ('..') behind a field"
                raise TemplateError(message, column=column)


def _escaped(literal: str) -> str:
    return literal.replace("{", "{{").replace("}", "}}")
