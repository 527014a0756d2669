"""Turn the values of fields into text, with functions that are prepared once.

Only text, numbers and times are formatted, as Python's own types: no code of a value's
own class is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np

from tiffin.errors import TemplateError
from tiffin.template.grammar import Field, Segment
from tiffin.template.items import MISSING, item, plain, texts_in
from tiffin.template.lookup import AmbiguousKey, find, is_missing, units_of
from tiffin.template.messages import kind_of, nearest, shortened, shown
from tiffin.template.portable import is_blank
from tiffin.template.specification import fill_and_type
from tiffin.template.times import strftime

if TYPE_CHECKING:
    from tiffin.template.grammar import Part, Reference
    from tiffin.template.paths import Piece
    from tiffin.template.style import Style

Renderer = Callable[[Any], str | None]
"""Takes the values of all roots, and returns text, or None if there is no value."""

WHOLE_NUMBER_TYPES = frozenset("bdoxX")

MOTOR_SPECIFICATION = ".6g"
"""Of the numbers in ``{motors}``, unless the field has a specification."""

CACHED_TIMES = 1024
"""How many formatted times a field caches."""

_get: Any = dict.get
"""Called instead of a document's own ``get``, which a subclass may override."""


def renderer_of(part: Field | Segment, style: Style) -> Renderer:
    """Return the function that makes the text of a part.

    A field gives None if it has no value and no default, a segment then gives ``""``.
    """
    if isinstance(part, Segment):
        return _segment_renderer(part, style)
    renderers = [_reference_renderer(part, each, style) for each in part.references]
    if len(renderers) == 1 and part.default is None:
        return renderers[0]

    def render(names: Any) -> str | None:
        for renderer in renderers:
            text = renderer(names)
            if text is not None:
                return text
        return part.default

    return render


def pieces_of(part: Part, style: Style, names: Any) -> list[Piece]:
    """Return the texts of a part, each with whether it is a value."""
    if isinstance(part, str):
        return [(part, False)]
    text = renderer_of(part, style)(names) or ""
    if isinstance(part, Field) or not text:
        return [(text, True)]
    return [piece for inner in part.parts for piece in pieces_of(inner, style, names)]


def _segment_renderer(segment: Segment, style: Style) -> Renderer:
    parts = [p if isinstance(p, str) else renderer_of(p, style) for p in segment.parts]

    def render(names: Any) -> str:
        texts = []
        for part in parts:
            text = part if isinstance(part, str) else part(names)
            if text is None:
                return ""
            texts.append(text)
        return "".join(texts)

    return render


def _reference_renderer(field: Field, reference: Reference, style: Style) -> Renderer:
    if reference.root == "motors" and not reference.keys:
        return _motors_renderer(field, reference, style)
    root, keys = reference.root, reference.keys
    to_text = _formatter(field, style)

    def render(names: Any) -> str | None:
        # Nearly always all values are in plain dicts, and `find` is not needed.
        try:
            value = _get(names, root)
            for key in keys:
                value = _get(value, key)
        except TypeError:
            value = None
        if value is None:
            value = find(reference, names)
            if value is MISSING:
                return None
        return to_text(value)

    return render


def _formatter(field: Field, style: Style) -> Callable[[Any], str | None]:
    """Return the function that formats a value; None stands for a blank one."""
    specification, is_time, clean = field.specification, field.is_time, style.clean
    fill, kind_of_number = fill_and_type(specification)
    # A locale decides what "n" gives, and a name must not begin with a dot.
    keeps = (
        style.keeps_numbers and not is_time and kind_of_number != "n" and fill != "."
    )

    @lru_cache(CACHED_TIMES)
    def of_seconds(seconds: float) -> str | None:
        return clean(strftime(style.time(seconds), specification)) or None

    def format_value(value: Any) -> str | None:
        # The common cases first; errors are explained by `_formatted`.
        kind = type(value)
        try:
            if kind is str and not is_time:
                if not specification:
                    return clean(value) or None
                if not is_blank(value):
                    return clean(format(value, specification)) or None
            elif kind is float or kind is int:
                if keeps:
                    return format(value, specification)
                if is_time:
                    return of_seconds(value)
        except (ValueError, OverflowError, OSError):
            pass
        text = _formatted(value, field, style)
        return None if text is None else clean(text) or None

    return format_value


def _motors_renderer(field: Field, reference: Reference, style: Style) -> Renderer:
    """Return the function for all scanned motors, such as ``x_1.5mm_T_300K``."""
    of_numbers = replace(
        field, specification=field.specification or MOTOR_SPECIFICATION
    )
    of_others = replace(field, specification="")

    def render(names: Any) -> str | None:
        motors = find(reference, names)
        if motors is MISSING:
            return None
        texts = []
        for name in texts_in(motors):
            value = plain(item(motors, name))
            of = of_numbers if type(value) in (int, float) else of_others
            text = _formatted(value, of, style, name)
            if text is None:
                return None
            texts.append(f"{name}_{text}{units_of(name, names)}")
        return style.clean("_".join(texts)) or None

    return render


def _formatted(
    value: Any, field: Field, style: Style, motor: str | None = None
) -> str | None:
    """Format a value as its field asks, or raise; return None if it is blank."""
    value = _plain(value, field)
    if is_missing(value):
        return None
    if type(value) is AmbiguousKey:
        raise value.error(field)
    try:
        if field.is_time or type(value) is datetime:
            return strftime(_time(value, style), field.specification or "%Y%m%d-%H%M%S")
        return _number_or_text(value, field)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        message = f"template field '{shortened(str(field))}'"
        if motor is not None:
            message = f"template field '{{motors}}': {shortened(motor, quoted=True)}"
        kind = type(value)
        if issubclass(kind, (Mapping, list, tuple, set, frozenset, np.ndarray)):
            message += f" is {kind_of(value)}: choose one item of it"
            message += nearest("", value) if issubclass(kind, Mapping) else ""
        else:
            reason = shortened(str(error)) if kind is str else str(error)
            message += f": {shown(value)} can't be formatted ({reason})"
        raise TemplateError(message, column=field.column) from None


def _plain(value: Any, field: Field) -> Any:
    kind: Any = type(value)
    if kind is float or kind is str:
        return value
    if issubclass(kind, np.ndarray) and not np.ndarray.ndim.__get__(value):
        value = np.ndarray.view(value, np.ndarray)[()]
        kind = type(value)
    for base in (np.float32, np.float16):
        if issubclass(kind, base) and not field.type:
            # The shortest text of a float32, not that of the same float64.
            return float(base.__str__(value))
    return plain(value)


def _time(value: Any, style: Style) -> datetime:
    kind = type(value)
    if kind is datetime and type(value.tzinfo) not in (type(None), timezone, ZoneInfo):
        raise TypeError(_unsupported(value))  # its code is not ours
    if kind not in (datetime, str, int, float):
        is_number = kind in (bool, complex)
        raise TypeError(
            f"{kind_of(value)} is not a time" if is_number else _unsupported(value)
        )
    return style.time(value)


def _number_or_text(value: Any, field: Field) -> str:
    kind = type(value)
    if kind not in (str, int, float, bool, complex):
        raise TypeError(_unsupported(value))
    if kind is bool:
        value = str(value)
    if kind is float and field.type in WHOLE_NUMBER_TYPES:
        if not float.is_integer(value):
            message = f"it is not whole, and '{field.type}' is for whole numbers"
            raise ValueError(message)
        value = int(value)
    return format(value, field.specification)


def _unsupported(value: Any) -> str:
    wanted = "as a number or a text"
    if any(word in type(value).__name__.lower() for word in ("date", "time")):
        wanted = "as seconds since 1970 or a text in ISO 8601"
    return f"{kind_of(value)} is neither text nor number: store it {wanted}"
