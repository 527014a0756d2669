"""The `Template`: parsed once, rendered for each frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.errors import TemplateError
from tiffin.template.checks import check_descriptor, check_start
from tiffin.template.components import (
    check_components,
    fitted,
    is_fit,
    is_plain,
    lead_of,
    mended,
    tidied,
)
from tiffin.template.explain import explain
from tiffin.template.grammar import Field, Part, Segment, fields_of, parse, shifted
from tiffin.template.lookup import nowhere
from tiffin.template.pattern import glob_of
from tiffin.template.style import Style
from tiffin.template.text import pieces_of, segment_of, step_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.template.components import Piece
    from tiffin.template.text import Step

__all__ = ["Template"]


class Template:
    """A pattern for file names, with metadata in curly brackets.

    Parameters
    ----------
    text : str
        Such as ``"{start.sample_name}/{start.scan_id}_{event.seq_num:04d}.tif"``.
        ``{start.key}`` and ``{start[key]}`` mean the same; ``{{`` is a bracket;
        ``{a,b|text}`` takes the first of a and b that has a value, or the text; what
        stands in ``<…>`` vanishes with the value of a field in it.
    timezone : str, optional
        The IANA name of the zone of times, such as ``"Europe/Zurich"``; without it,
        the machine's own.
    policy : {"portable", "strict"}
        What values may bring into a name: anything that Linux, macOS and Windows take,
        or ASCII letters, digits and ``-_.=+`` only.
    replacements : mapping of str to str, optional
        What is replaced by what in each value, such as ``{" ": "-", ".": ","}``.

    Raises
    ------
    TemplateError
        If the text is no template; its ``column`` says where.
    SettingsError
        If an option is none.

    Examples
    --------
    >>> template = Template("{start.sample_name|unnamed}_{event.seq_num:03d}.tif")
    >>> names = {"start": {"sample_name": "a/b"}, "event": {"seq_num": 7}}
    >>> template.render(names)
    'a_b_007.tif'
    """

    __slots__ = ("_literals", "_parts", "_steps", "style", "text")

    def __init__(
        self,
        text: str,
        *,
        timezone: str | None = None,
        policy: str = "portable",
        replacements: Mapping[str, str] | None = None,
    ) -> None:
        given: object = text
        if not isinstance(given, str):
            message = (
                f"a template is a string such as "
                f"'{{start.scan_id}}_{{event.seq_num}}.tif', not {type(text).__name__}"
            )
            raise TemplateError(message)
        self.text = text
        self.style = Style.of(policy, replacements, timezone)
        self._parts = parse(text)
        self._prepare()
        check_components(self._parts, self.text)

    @classmethod
    def parse(cls, text: str, **options: Any) -> Template:
        """Make a template of a text: the same as the class itself."""
        return cls(text, **options)

    @classmethod
    def _of(cls, text: str, parts: tuple[Part, ...], style: Style) -> Template:
        template = cls.__new__(cls)
        template.text, template.style = text, style
        template._parts = parts  # noqa: SLF001 (its own)
        template._prepare()  # noqa: SLF001 (its own)
        return template

    def _prepare(self) -> None:
        self._literals = [p if isinstance(p, str) else "" for p in self._parts]
        self._steps = [
            (n, _step(part, self.style))
            for n, part in enumerate(self._parts)
            if not isinstance(part, str)
        ]

    def __repr__(self) -> str:
        return f"Template({self.text!r})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Template)
            and other.text == self.text
            and other.style == self.style
        )

    def __hash__(self) -> int:
        return hash((self.text, self.style))

    def __reduce__(self) -> tuple[Any, ...]:
        return Template._of, (self.text, self._parts, self.style)

    @property
    def fields(self) -> tuple[Field, ...]:
        """What stands in curly brackets, in order."""
        return fields_of(self._parts)

    @property
    def roots(self) -> frozenset[str]:
        """The roots of all fields, such as ``"start"`` or ``"i"``."""
        return frozenset(r.root for field in self.fields for r in field.references)

    def with_style(self, style: Style) -> Template:
        """Return the same template in another style."""
        return Template._of(self.text, self._parts, style)

    def render(self, names: Mapping[str, Any]) -> str:
        """Make one relative path.

        Parameters
        ----------
        names : mapping
            What each root stands for: documents for ``start``, ``descriptor``,
            ``event`` and ``stop``, a mapping for ``baseline``, plain values for
            ``stream``, ``field``, ``frame``, ``i`` and ``i0``…; the others are made of
            these, unless they are given.

        Returns
        -------
        str
            With forward slashes only where the template has them.

        Raises
        ------
        MissingKeyError
            If a key is not there, or its value is blank, and nothing stands in.
        TemplateError
            If a value can't be formatted as asked.
        """
        texts = self._literals.copy()
        for n, step in self._steps:
            text = step(names)
            if text is None:
                field = self._parts[n]
                assert isinstance(field, Field)  # noqa: S101 (segments give a text)
                raise nowhere(field, names)
            texts[n] = text
        path = "".join(texts)
        if is_plain(path):
            return path
        if not is_fit(path):
            path = fitted(self._pieces(names))
        return mended(path, self._parts, self.text)

    def _pieces(self, names: Mapping[str, Any]) -> list[Piece]:
        """Return a name in pieces, of which values may be changed."""
        return [
            piece
            for part in self._parts
            for piece in pieces_of(part, self.style, names)
        ]

    def check_start(self, start: Mapping[str, Any]) -> None:
        """Raise what every name of a run would fail with, as far as its start tells.

        Raises
        ------
        TemplateError
        """
        check_start(self._parts, start, self.style)

    def check_descriptor(
        self,
        descriptor: Mapping[str, Any],
        start: Mapping[str, Any],
        field: str | None = None,
    ) -> None:
        """Raise what every name of a stream would fail with.

        Every ``event.data`` key must be one of the descriptor's data keys and its
        dtype must fit the format; configuration and units must be there.

        Parameters
        ----------
        descriptor, start : mapping
        field : str, optional
            Whose images are named: of configuration keys that several devices have, its
            own device's is meant.

        Raises
        ------
        TemplateError
        """
        check_descriptor(self._parts, descriptor, start, self.style, field)

    def explain(
        self, names: Mapping[str, Any] | None = None
    ) -> list[tuple[str, str, str]]:
        """Return what each part means.

        Parameters
        ----------
        names : mapping, optional
            As for `render`, for an example of each.

        Returns
        -------
        list of (part, meaning, example)
        """
        return explain(self._parts, self.style, names)

    def split_root(self) -> tuple[str, Template]:
        """Part the literal leading folders from the rest.

        Examples
        --------
        >>> Template("/data/raw/{start.user}/{start.scan_id}.tif").split_root()
        ('/data/raw/', Template('{start.user}/{start.scan_id}.tif'))
        """
        lead = lead_of(self._parts)
        cut = len(_escaped(lead))
        # Columns stay those of the text that its author wrote.
        rest = shifted(parse(self.text[cut:]), cut)
        return lead, Template._of(self.text[cut:], rest, self.style)

    @property
    def is_absolute(self) -> bool:
        """Whether the names begin at the file system's root."""
        first = self._parts[0]
        return isinstance(first, str) and Path(first).is_absolute()

    def glob(self) -> str:
        """Return a pattern that matches all names, for `pathlib.Path.glob`.

        Examples
        --------
        >>> Template("{start.sample}/[a]_{event.seq_num:04d}.tif").glob()
        '*/[[]a]_*.tif'
        """
        return glob_of(tidied(self._parts))


def _step(part: Field | Segment, style: Style) -> Step:
    return (
        segment_of(part, style) if isinstance(part, Segment) else step_of(part, style)
    )


def _escaped(literal: str) -> str:
    return literal.replace("{", "{{").replace("}", "}}")
