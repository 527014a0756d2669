"""Whatever people type into metadata: no name leaves its root or is illegal."""

import collections
import contextlib
import random
import re
import unicodedata
from datetime import date
from functools import partial
from types import MappingProxyType

import doct
import numpy as np
import pytest
from bluesky_tiled_plugins.clients.document import Start
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiled.utils import DictView

from tiffin import Template
from tiffin.errors import MissingKeyError, TemplateError

TEMPLATES = [
    Template(text, timezone="UTC", **options)
    for text in (
        "data/{start.a}/{start.b}_{event.seq_num:03d}.tif",
        "data/<{start.a}/>{start.a,start.b|none}{start.b}.tif",
        "data/{start.a:.8}{start.b:>4}",
        "data/{motors}<_{start.a:.2f}>{start.b:%Y}.tif",
        "data/{start.a:~>5d}{start.b:_<9}.tif",
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


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow])
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


# ---- no user's code


class Called(AssertionError):
    """Somebody's own code was run."""


def refuse(*_):
    raise Called


def of_a_user(base, *methods):
    """Make a subclass whose methods must not be called."""
    return type("Own", (base,), dict.fromkeys(methods, refuse))


TEXT = ("__str__", "__repr__", "__format__", "strip", "__len__", "isascii")
NUMBER = ("__str__", "__repr__", "__format__", "__index__", "__int__", "__float__")
LOOK_UP = ("__getitem__", "__missing__", "__contains__", "get", "keys", "__iter__")


@pytest.mark.parametrize(
    ("base", "methods", "content", "expected"),
    [
        (str, TEXT, "x", "x"),
        (int, NUMBER, 3, "3"),
        (float, (*NUMBER, "is_integer"), 3.0, "3.0"),
        (np.float64, (*NUMBER, "item"), 3.0, "3.0"),
        (np.float32, (*NUMBER, "item"), 3.0, "3.0"),
        (dict, LOOK_UP, {"k": "v"}, "v"),
        (list, LOOK_UP, "v", "v"),
        (tuple, LOOK_UP, "v", "v"),
    ],
)
def test_subclasses_are_taken_for_what_they_are(base, methods, content, expected):
    """Their own methods are never called."""
    names = {"start": {"v": of_a_user(base, *methods)(content)}}
    made = set()
    for text in ("{start.v}", "{start.v.k}", "{start.v[0]}", "{start.v:d}"):
        with contextlib.suppress(TemplateError):
            made.add(Template(text, timezone="UTC").render(names))

    assert expected in made
    assert made <= {expected, "3"}


def test_a_document_is_not_changed_by_looking():
    """A defaultdict does not get a key that it had not."""
    metadata = collections.defaultdict(list)
    views = (metadata, MappingProxyType(metadata), DictView(metadata))

    for view in views:
        names = {"start": {"a": view}}
        assert Template("{start.a.b|none}").render(names) == "none"
        with pytest.raises(MissingKeyError):
            Template("{start.a.b}").render(names)

    assert not metadata


@pytest.mark.parametrize(
    "wrap",
    [MappingProxyType, DictView, collections.UserDict, collections.ChainMap, Start,
     partial(doct.Document, "start")],
)  # fmt: skip
def test_documents_of_libraries_are_looked_up(wrap):
    """As databroker and Tiled hand them out, and the standard library's own."""
    document = wrap({"a": wrap({"b": [1, 2]}), "uid": "u"})

    assert Template("{start.a.b[1]}_{run}").render({"start": document}) == "2_u"


def test_a_mapping_of_somebodys_own_is_not_asked():
    """Its look-up would be code of a user's; the message says what is looked into."""

    class Own(collections.abc.Mapping):
        __getitem__ = __iter__ = __len__ = __contains__ = refuse

    with pytest.raises(TemplateError, match=r"'a' is an Own.*dicts, lists and arrays"):
        Template("{start.a.b}").render({"start": {"a": Own()}})


def test_an_objects_own_formatting_is_never_called():
    """Items of plain types only."""
    own = of_a_user(object, "__str__", "__repr__", "__format__", "__bool__", "__len__")
    for value in (own(), own, {1, 2}, b"bytes", print, of_a_user(date, "__format__")):
        for text in ("{start.v}", "{start.v:.1f}", "{start.v:%Y}", "{start.v.a[0]}"):
            with pytest.raises(TemplateError):
                Template(text).render({"start": {"v": value}})


# ---- documents that are none


HOSTILE = st.one_of(
    VALUES,
    st.sampled_from([10**5000, -(10**5000), 10**400, 1e308, True, 5, "x" * 100_000]),
    st.sampled_from([{"data": [1]}, {"data": None}, [5], [[5]], [[["x"]]], [None]]),
    st.sampled_from(
        [np.zeros(3), np.array("x"), np.datetime64("NaT", "s"), np.void(b"ab")]
    ),
    st.sampled_from([object(), print, Exception, {10**5000: 1}, {"x": 10**5000}]),
    st.sampled_from([collections.defaultdict(list), range(3), iter([1]), 1j]),
)
PLACES = [
    (),
    ("start",),
    ("start", "uid"),
    ("start", "hints"),
    ("start", "hints", "dimensions"),
    ("start", "motors"),
    ("start", "a"),
    ("start", "time"),
    ("descriptor",),
    ("descriptor", "name"),
    ("descriptor", "configuration"),
    ("descriptor", "configuration", "img"),
    ("descriptor", "configuration", "img", "data"),
    ("descriptor", "configuration", "img", "data", "gain"),
    ("descriptor", "object_keys"),
    ("descriptor", "object_keys", "img"),
    ("descriptor", "data_keys"),
    ("descriptor", "data_keys", "x"),
    ("descriptor", "data_keys", "x", "units"),
    ("descriptor", "data_keys", "x", "dtype"),
    ("descriptor", "data_keys", "x", "shape"),
    ("event",),
    ("event", "data"),
    ("event", "data", "x"),
    ("event", "time"),
    ("event", "seq_num"),
    ("baseline",),
    ("stream",),
    ("field",),
    ("i",),
    ("i0",),
    ("frame",),
]
ALL_ROOTS = [
    Template(text, timezone=zone)
    for zone in ("UTC", None)
    for text in (
        "{start.a}_{start.uid}_{run}_{start.time:%Y%m%d-%H%M%S}.tif",
        "{start.a.b,start.a[0],start.a[-1]|none}<_{start.a:.1f}><_{start.a:04d}>.tif",
        "{motors}_{motors[0]:.1f}<_{motors.x:x}>{motors:.2f}.tif",
        "{config.gain|none}<_{config.gain:.3f}>.tif",
        "{config.gain}_{descriptor.data_keys.x.units}_{descriptor.name:>9}.tif",
        "{event.data.x}_{event.seq_num:03d}_{time:%F}<_{event.data.x:.2e}>.tif",
        "{stream}_{field}_{i:03d}_{i0}_{frame:g}<_{baseline.slit:+.2f}>.tif",
    )
]


def documents():
    return {
        "start": {
            "uid": "7f3a1c2e-1",
            "time": 1.7e9,
            "hints": {"dimensions": [[["x"], "primary"]]},
            "motors": ["x"],
            "a": "a",
        },
        "descriptor": {
            "name": "primary",
            "data_keys": {"x": {"dtype": "number", "shape": [], "units": "mm"}},
            "configuration": {
                "img": {"data": {"gain": 3.0}},
                "det": {"data": {"gain": 2.0}},
            },
            "object_keys": {"img": ["img"]},
        },
        "event": {"seq_num": 7, "time": 1.7e9, "data": {"x": 1.5}},
        "baseline": {"slit": 0.5},
        "stream": "primary",
        "field": "img",
        "i": 3,
        "i0": 3,
        "frame": 9,
    }


def put(documents, place, value):
    """Put a value at any place of the documents."""
    if not place:
        return value
    inner = documents
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    return documents


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(place=st.sampled_from(PLACES), value=HOSTILE)
def test_whatever_a_document_holds_only_template_errors_are_raised(place, value):
    """Any value at any place: a name, or a TemplateError of bearable length."""
    names = put(documents(), place, value)
    given = names if isinstance(names, dict) else {}
    for template in ALL_ROOTS:
        for ask in (
            lambda t: t.render(names),
            lambda t: t.explain(names),
            lambda t: t.check_start(given.get("start")),
            lambda t: t.check_descriptor(given.get("descriptor"), given.get("start")),
        ):
            try:
                ask(template)
            except TemplateError as error:
                assert len(str(error)) < 1200  # noqa: PT017 (of those that are raised)


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "value",
    ["\u0301\u0316" * 50_000, "x" * 10**6, "." * 10**6 + "x", "a\u0327" * 10**5],
)
def test_a_long_value_is_rendered_quickly(value):
    """Long values and many combining marks end within seconds, in names that differ."""
    for policy in ("portable", "strict"):
        template = Template("{start.v}.tif", policy=policy)
        names = {template.render({"start": {"v": value + end}}) for end in "ab"}
        assert len(names) == 2
