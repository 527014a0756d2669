"""Whatever people type into metadata: no name leaves its root or is illegal."""

import random
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tiffin import Template
from tiffin.errors import TemplateError

TEMPLATES = [
    Template(text, timezone="UTC", **options)
    for text in (
        "data/{start.a}/{start.b}_{event.seq_num:03d}.tif",
        "data/<{start.a}/>{start.a,start.b|none}{start.b}.tif",
        "data/{start.a:.8}{start.b:>4}",
        "data/{motors}<_{start.a:.2f}>{start.b:%Y}.tif",
    )
    for options in (
        {},
        {"policy": "strict"},
        {"replacements": {"a": "/", ".": "..", " ": "\0"}},
    )
]

ILLEGAL = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')
RESERVED = re.compile(
    r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\.|$)", re.IGNORECASE
)

NASTY = [
    "", " ", ".", "..", "...", "../..", "/etc/passwd", "\\\\srv\\x", "C:\\x", "a\0b",
    "con", "NUL.txt", "com1", "lpt³.tif", "x" * 300, "é" * 300, "😀" * 80, "\u202eabc",
    "\ufeff", "\u200f", "a\nb", "~", "-rf", "$HOME", "`id`", "%2e%2e%2f", "a.", "a ",
    " a", "\ud800", "\uffff", "\U000e0001", "e\u0301", "NaN", "{start.a}", "<x>", "|",
]  # fmt: skip

SCALARS = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="./\\ :\0\n\u202e\u200f", max_size=12),
    st.sampled_from(NASTY),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
    st.floats(width=32).map(np.float32),
    st.integers(-128, 127).map(np.int8),
    st.text(max_size=5).map(np.str_),
    st.binary(max_size=5),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def check(value, other):
    """Render every template with two values; each name must be a safe one."""
    start = {
        "uid": "u",
        "a": value,
        "b": other,
        "hints": {"dimensions": [[["m"], "p"]]},
    }
    names = {"start": start, "event": {"seq_num": 1, "data": {"m": value}}}
    for template in TEMPLATES:
        try:
            path = template.render(names)
        except TemplateError:
            continue
        components = path.split("/")
        assert components[0] == "data"
        assert len(components) in (2, 3)
        for component in components:
            assert component not in ("", ".", "..")
            assert component[0] not in ". "
            assert component[-1] not in ". "
            assert not ILLEGAL.search(component)
            assert not RESERVED.match(component)
            assert len(component.encode()) <= 255  # and no half characters
            assert unicodedata.is_normalized("NFC", component)


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(value=VALUES, other=VALUES)
def test_no_value_makes_an_unsafe_name(value, other):
    """S07: any text, dots, NUL, emoji, marks of direction, nested things, NaN."""
    check(value, other)


@pytest.mark.slow
@pytest.mark.timeout(900)
@settings(
    max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(values=st.lists(VALUES, min_size=20, max_size=20))
def test_a_hundred_thousand_values_make_no_unsafe_name(values):
    """S07: the same for 100,000 values, each beside another."""
    for value, other in zip(values, reversed(values), strict=True):
        check(value, other)


def test_characters_of_every_plane_make_no_unsafe_name():
    """S07: any character at all, between letters and alone."""
    chosen = random.Random(7)
    for _ in range(3_000):
        character = chr(chosen.randrange(0x110000))
        check(character, f"a{character}b")
