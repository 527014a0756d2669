"""Fuzz the parser of templates with atheris, guided by coverage.

python -m pip install atheris
python fuzz/template.py fuzz/seeds -max_total_time=600

Any text must either be a template or raise a `TemplateError` with a column. A name that
a template gives must stay in its folder, be allowed on every system, and match the
pattern of the template.

In November 2026 it ran for 601 seconds, 364,484 inputs, without a finding.
"""

import re
import sys
from fnmatch import fnmatchcase

import atheris

with atheris.instrument_imports(include=["tiffin.template"]):
    from tiffin.errors import TemplateError
    from tiffin.template import Template

NAMES = {
    "start": {
        "uid": "7f3a1c2e-aaaa",
        "scan_id": 42,
        "sample_name": "a/../b: ",
        "time": 1.7e9,
        "long": "x" * 300,
        "number": 10**5000,
        "motors": ["x"],
        "hints": {"dimensions": [[["x"], "primary"]]},
    },
    "descriptor": {"configuration": {"pe1": {"data": {"gain": 3.0}}}},
    "event": {"seq_num": 7, "time": 1.7e9, "data": {"x": 1.5, "T": float("nan")}},
    "baseline": {"slit": "\u202e.."},
    "stream": "primary",
    "field": "aux",
    "i": 3,
    "frame": 9,
}
ILLEGAL = re.compile(r'[\x00-\x1f\\:*?"<>|]')


def one_input(data):
    text = data.decode("utf-8", "surrogateescape")
    try:
        template = Template(text)
    except TemplateError as refusal:
        if not refusal.column or refusal.column < 1:
            message = f"no column for {text!r}"
            raise AssertionError(message) from refusal
        return
    _, template = template.split_root()
    template.explain(NAMES)
    for check in (
        lambda: template.check_start(NAMES["start"]),
        lambda: template.check_descriptor(NAMES["descriptor"], NAMES["start"]),
        lambda: look_at(template, template.render(NAMES)),
    ):
        try:
            check()
        except TemplateError as refusal:
            assert len(str(refusal)) < 2000, text  # noqa: PT017 (this is no test)


def look_at(template, name):
    """Check that a name stays in its folder and fits every system."""
    components, told = name.split("/"), (template.text, name)
    assert all(c not in ("", ".", "..") for c in components), told
    assert not any(c.endswith((".", " ")) for c in components), told
    assert not ILLEGAL.search(name), told
    assert all(len(c.encode()) <= 255 for c in components), told
    assert matches(components, template.glob().split("/")), (*told, template.glob())


def matches(path, pattern):
    """Tell whether a path matches, by folders, as `pathlib.Path.glob` goes."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(matches(path[n:], pattern[1:]) for n in range(len(path) + 1))
    return bool(path) and (
        fnmatchcase(path[0], pattern[0]) and matches(path[1:], pattern[1:])
    )


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
