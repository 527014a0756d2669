"""The `Template`: parsed once, rendered for each frame."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unicodedata import normalize

from tiffin.errors import TemplateError
from tiffin.template.document_checks import check_descriptor, check_start
from tiffin.template.explain import explain
from tiffin.template.grammar import Field, Part, fields_of
from tiffin.template.lookup import missing_key_error
from tiffin.template.parser import parse
from tiffin.template.paths import check_outline, check_path_length, is_safe, safe_path
from tiffin.template.preview import NameCheck, preview
from tiffin.template.run_folder import (
    RUN,
    folders_of_run,
    is_of_run,
    only_counts,
    run_number,
)
from tiffin.template.style import Style
from tiffin.template.text import pieces_of, renderer_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.template.grammar import Reference

_OPTIONAL_FOLDERS = "\0"
"""Stands in a pattern for a segment with folders in it."""


class Template:
    """A pattern for file names, with metadata in curly brackets.

    Parameters
    ----------
    text : str
        Such as ``"{start.sample_name}/{start.scan_id}_{event.seq_num:04d}.tif"``.
        ``{start.key}`` and ``{start[key]}`` mean the same; ``{{`` is a bracket;
        ``{a,b|text}`` is the first of a and b that has a value, or the text; what is
        in ``<…>`` is left out if a field in it has no value.
    timezone : str, optional
        The IANA name of the time zone, such as ``"Europe/Zurich"``. The default is the
        zone of this machine.
    policy : {"portable", "strict"}
        The characters that values may bring into a name: all that Linux, macOS and
        Windows take, or ASCII letters, digits and ``-_.=+`` only.
    replacements : mapping of str to str, optional
        Texts to replace in each value, such as ``{" ": "-", ".": ","}``.

    Raises
    ------
    TemplateError
        If the text is no template. Its ``column`` is the place of the mistake.
    SettingsError
        If another argument is wrong.

    Examples
    --------
    >>> template = Template("{start.sample_name|unnamed}_{event.seq_num:03d}.tif")
    >>> names = {"start": {"sample_name": "a/b"}, "event": {"seq_num": 7}}
    >>> template.render(names)
    'a_b_007.tif'
    """

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
                f"a template must be a string such as "
                f"'{{start.scan_id}}_{{event.seq_num}}.tif', not {type(text).__name__}"
            )
            raise TemplateError(message)
        style = Style.of(policy, replacements, timezone)
        parsed = parse(text)
        check_outline(parsed, text)
        self._set(text, parsed.lead, parsed.parts, style)

    def _set(self, text: str, lead: str, parts: tuple[Part, ...], style: Style) -> None:
        self.text, self.style = text, style
        self._lead, self._parts = lead, parts
        # Without empty folders and dots, as in "raw//./a".
        first, *folders = lead.split("/")
        folders = [folder for folder in folders if folder not in ("", ".")]
        self._folders = "/".join([first, *folders, ""]) if lead else ""
        self._literals = [part if isinstance(part, str) else "" for part in parts]
        self._renderers = [
            (n, renderer_of(part, style))
            for n, part in enumerate(parts)
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
        return _template_of, (self.text, self._lead, self._parts, self.style)

    @property
    def fields(self) -> tuple[Field, ...]:
        """All fields in curly brackets, in order."""
        return fields_of(self._parts)

    @property
    def references(self) -> tuple[Reference, ...]:
        """What all fields look up, in order."""
        return tuple(each for field in self.fields for each in field.references)

    @property
    def roots(self) -> frozenset[str]:
        """The roots of all fields, such as ``"start"`` or ``"i"``."""
        return frozenset(reference.root for reference in self.references)

    def with_style(self, style: Style) -> Template:
        """Return the same template with another style."""
        return _template_of(self.text, self._lead, self._parts, style)

    def render(self, names: Mapping[str, Any]) -> str:
        """Return the path of one image, relative to the root.

        Parameters
        ----------
        names : mapping
            The value of each root: documents for ``start``, ``descriptor``, ``event``
            and ``stop``, a mapping for ``baseline``, and plain values for ``stream``,
            ``field``, ``frame``, ``i`` and ``i0``…. The other roots are made from
            these, unless they are given.

        Returns
        -------
        str
            With a forward slash only where the template has one.

        Raises
        ------
        MissingKeyError
            If a key is missing or its value is blank, and there is no default.
        TemplateError
            If a value does not fit its format, or the name is not allowed.
        """
        texts = self._literals.copy()
        for n, renderer in self._renderers:
            text = renderer(names)
            if text is None:
                field = self._parts[n]
                assert isinstance(field, Field)  # noqa: S101 (segments give a text)
                raise missing_key_error(field, names)
            texts[n] = text
        path = "".join(texts)
        if is_safe(path):
            return self._folders + path
        pieces = [pieces_of(part, self.style, names) for part in self._parts]
        path = self._folders + safe_path([p for part in pieces for p in part])
        check_path_length(path)
        return path

    def of_sidecar(self, name: str) -> Template:
        """Return the template of a file that a run has beside its images.

        It lies in the folders that the start document names, as far as they go. If
        neither the run's number nor its uid is in these, the file name begins with it.
        `name` is that of the file, as a template.

        Examples
        --------
        >>> for t in ("{start.scan_id}/{i}.tif", "Ni/{start.scan_id}_{i}.tif", "{i}"):
        ...     print(Template(t).of_sidecar("run.json").text)
        {start.scan_id}/run.json
        Ni/{start.scan_id}_run.json
        {run}_run.json
        """
        folders = folders_of_run(self._parts)
        number: tuple[Part, ...] = ()
        best = run_number(self._parts)
        if run_number(folders) != best or best is None:  # a uid before a scan_id
            number = (best or RUN, "_")
        parts = (*folders, *number, *parse(name).parts)
        text = self._lead + "".join(map(str, parts))
        return _template_of(text, self._lead, parts, self.style)

    def of_start(self, start: Mapping[str, Any]) -> tuple[str, bool]:
        """Return the names of a run as far as its start document tells.

        Returns
        -------
        name : str
            Other fields stay as they are written.
        is_certain : bool
            Whether another run with the same text has the same names: the other fields
            only tell the frames of a run apart.

        Raises
        ------
        TemplateError
            If the start document has no value for a field.

        Examples
        --------
        >>> Template("{start.sample}_{event.seq_num}.tif").of_start({"sample": "Ni"})
        ('Ni_{event.seq_num}.tif', True)
        """
        names = {"start": start}
        texts = []
        for part in self._parts:
            if is_of_run(part):
                texts += [text for text, _ in pieces_of(part, self.style, names)]
            else:
                texts.append(str(part))
        return self._folders + "".join(texts), only_counts(self._parts)

    def check_start(self, start: Mapping[str, Any]) -> None:
        """Raise the error that all names of a run would raise, by its start document.

        Raises
        ------
        TemplateError
        """
        check_start(self._parts, start, self.style)

    def preview(self, metadata: Mapping[str, Any]) -> NameCheck:
        """Return the names of a run, as far as the metadata of its plan give them.

        Parameters
        ----------
        metadata : mapping
            What the user adds to the start document.

        Returns
        -------
        NameCheck
            With the names and what is wrong with them.

        Examples
        --------
        >>> Template("{start.sample}/{start.scan_id}_{i}.tif").preview({"sample": "Ni"})
        <names: Ni/{start.scan_id}_{i}.tif>
        """
        check = preview(self._parts, metadata, self.style)
        return check._replace(names=self._folders + check.names)

    def check_descriptor(
        self,
        descriptor: Mapping[str, Any],
        start: Mapping[str, Any],
        field: str | None = None,
    ) -> None:
        """Raise the error that all names of a stream would raise.

        Every ``event.data`` key must be one of the descriptor's data keys and its
        dtype must fit the format; configuration and units must be there.

        Parameters
        ----------
        descriptor, start : mapping
        field : str, optional
            The field whose images are named. If several devices have a configuration
            key, the one of this field's device is used.

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
            As for `render`, to show an example of each part.

        Returns
        -------
        list of (part, meaning, example)
        """
        first = [self._lead] if self._lead else []
        return explain((*first, *self._parts), self.style, names)

    def split_root(self) -> tuple[str, Template]:
        """Return the literal leading folders, and a template of the rest.

        Examples
        --------
        >>> Template("/data/raw/{start.user}/{start.scan_id}.tif").split_root()
        ('/data/raw/', Template('{start.user}/{start.scan_id}.tif'))
        """
        escaped = self._lead.replace("{", "{{").replace("}", "}}")
        # The columns of fields remain those of the text that its author wrote.
        rest = self.text[len(escaped) :]
        return self._lead, _template_of(rest, "", self._parts, self.style)

    @property
    def is_absolute(self) -> bool:
        """Whether the names begin at the root of the file system."""
        return Path(self._lead).is_absolute()

    def glob(self) -> str:
        """Return a pattern that matches all names, for `pathlib.Path.glob`.

        An optional folder becomes ``**``.

        Examples
        --------
        >>> Template("{start.sample}/[a]_{event.seq_num:04d}.tif").glob()
        '*/[[]a]_*.tif'
        """
        pattern = self._folders.replace("[", "[[]") + "".join(
            map(_glob_of, self._parts)
        )
        components = []
        for component in pattern.split("/"):
            _, optional, after = component.rpartition(_OPTIONAL_FOLDERS)
            if optional:
                components.append("**")
                component = "*" + after
            components.append(re.sub(r"\*+", "*", component))
        return "/".join(components)


def _glob_of(part: Part) -> str:
    if isinstance(part, str):
        return normalize("NFC", part).replace("[", "[[]")
    if isinstance(part, Field):
        return "*"
    has_folder = any(isinstance(text, str) and "/" in text for text in part.parts)
    return _OPTIONAL_FOLDERS if has_folder else "*"


def _template_of(
    text: str, lead: str, parts: tuple[Part, ...], style: Style
) -> Template:
    template = Template.__new__(Template)
    template._set(text, lead, parts, style)  # noqa: SLF001 (its own)
    return template
