"""The template of a command: checked early, explained with a run, or made for it."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from tiffin.cli.printing import print_line
from tiffin.errors import TemplateError, TiffinError
from tiffin.sources import first_image, summaries
from tiffin.template import Template, fields_with_values, parse_reference, places_of
from tiffin.writers import WriterOptions, make_writer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.options import RunOptions
    from tiffin.sources import ImageField, RunSummary


def with_template(settings: dict[str, Any], runs: RunOptions, source: str) -> None:
    """Check the template of an export; without one, make and print it."""
    if "template" in settings:
        check_template(settings["template"], runs, source)
        return
    found = summaries(runs.open(source), timeout=runs.timeout)
    settings["template"] = default_template(found, settings)
    print_line(f"names: {settings['template']} (--template gives others)", "dim")


def default_template(found: list[RunSummary], settings: Mapping[str, Any]) -> str:
    """Return a template that tells the images of these runs apart."""
    fields, streams = settings.get("fields"), settings.get("streams", ("primary",))
    images = [
        each
        for run in found
        for each in run.images.values()
        if (streams is None or each.stream in streams)
        and (fields is None or each.name in fields)
    ]
    scans = {run.start.get("scan_id") for run in found}
    parts = ["{run}"] if None in scans else ["{start.scan_id}"]
    if None not in scans and len(scans) < len(found):
        parts.append("{run}")
    if len({each.stream for each in images}) > 1:
        parts.append("{stream}")
    parts.append("{field}")
    if len(settings.get("save", ())) > 1:
        parts.append("{kind}")
    parts += _numbers(images, settings)
    form = make_writer(settings.get("format", "tiff"), WriterOptions())
    return "_".join(parts) + form.suffixes[0]


def _numbers(images: list[ImageField], settings: Mapping[str, Any]) -> list[str]:
    """Return the fields that number the files of a run, stream and field."""
    stack = settings.get("stack")
    if stack == "run":
        return []
    if stack not in (None, "event") or settings.get("repeats") == "all":
        return ["{frame:05d}"]
    if stack is None and any(each.per_event > 1 for each in images):
        return ["{event.seq_num:04d}", "{i:03d}"]
    return ["{event.seq_num:04d}"]


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
