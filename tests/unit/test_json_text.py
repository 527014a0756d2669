"""Values as JSON."""

import json

import pytest

from tiffin.json_text import json_text

VALUES = [
    {"unit": "µm", "sample": "\N{SNOWFLAKE} Å"},
    {"run": "a\udc80b"},  # a file name that is not UTF-8
    {"count": 2**70, "nested": [1.5, None, True]},
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_every_value_is_read_back(value, ascii_only):
    """Lone surrogates and large integers are written too, on one line."""
    text = json_text(value, ascii_only=ascii_only)
    assert json.loads(text) == value
    assert b"\n" not in text
    assert text.isascii() or not ascii_only
