"""Throw any text at the template's parser, guided by coverage (atheris).

python -m pip install atheris
python fuzz/template.py fuzz/seeds -max_total_time=600

Whatever the text: it is a template, or a `TemplateError` with a column says why not.
What a template gives is a path that stays in its folder and that every system takes,
and reading it backwards gives values or a `TemplateError`.
"""

import re
import sys

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
    template.glob()
    try:
        name = template.render(NAMES)
        components = name.split("/")
        assert all(c not in ("", ".", "..") for c in components), (text, name)
        assert not any(c.endswith((".", " ")) for c in components), (text, name)
        assert not ILLEGAL.search(name), (text, name)
        assert all(len(c.encode()) <= 255 for c in components), (text, name)
        template.parse_name(name)
    except TemplateError:
        pass


if __name__ == "__main__":
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()
