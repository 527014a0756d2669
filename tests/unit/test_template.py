"""Names: what the template language gives, and what it refuses."""

from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiffin import Template
from tiffin.errors import MissingKeyError, TemplateError

NAMES = {
    "start": {
        "scan_id": 42,
        "uid": "7f3a1c2e-aaaa",
        "sample_name": "UO2",
        "motors": ["x", "y"],
        "nested": {"value": 300.5},
    },
    "descriptor": {"configuration": {"pe1": {"data": {"gain": 3}}}},
    "event": {
        "seq_num": 7,
        "data": {"Beamline Energy_energy": 8.97912, "T": np.float32(300.25)},
    },
    "stream": "primary",
    "field": "pe1_image",
    "i": 3,
}


@pytest.mark.parametrize(
    ("dotted", "bracketed"),
    [
        (
            "{start.scan_id}_step{event.seq_num}.tif",
            "{start[scan_id]}_step{event[seq_num]}.tif",
        ),
        ("{start.nested.value}", "{start[nested][value]}"),
        ("{start.motors.0}", "{start[motors][0]}"),
    ],
)
def test_dots_and_brackets_mean_the_same(dotted, bracketed):
    """S01: the seed's two ways of writing a template give the same names."""
    assert Template(dotted).render(NAMES) == Template(bracketed).render(NAMES)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{event.seq_num:04d}.tif", "0007.tif"),
        ("{start[uid]:.6}.tif", "7f3a1c.tif"),
        ("{event[data][Beamline Energy_energy]:.2f}", "8.98"),
        ("{start[motors][0]}", "x"),
        ("{event.data.T:.1f}", "300.2"),
        ("{descriptor.configuration.pe1.data.gain}", "3"),
        ("{stream}/{field}_{i:03d}.tif", "primary/pe1_image_003.tif"),
        ("{{{start.scan_id}}}", "{42}"),
    ],
)
def test_values_are_formatted_as_asked(text, name):
    """S02: format specifications, keys with spaces, list items, numpy scalars."""
    assert Template(text).render(NAMES) == name


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("{strat.scan_id}.tif", 1, "did you mean 'start'"),
        ("a{start.scan_id", 2, "without its '}'"),
        ("a}b", 2, "without its '{'"),
        ("{start.__class__}", 7, "looks up items only"),
        ("{start[__class__]}", 7, "looks up items only"),
        ("{start.scan_id.__init__.__globals__}", 15, "looks up items only"),
        ("{}", 1, "name what goes here"),
        ("{0}", 1, "name what goes here"),
        ("{start}", 1, "name a key"),
        ("{i.x}", 1, "plain value"),
        ("{start.scan_id!r}", 15, "conversion"),
        ("{i!r}", 3, "conversion"),
        ("{start.scan_id:{start.width}}", 16, "field inside a field"),
        ("{start.scan_id:9999d}", 16, "over 64"),
        ("{start.scan_id:.99f}", 16, "over 64"),
        ("{start.scan_id:nonsense}", 16, "no format specification"),
        ("{start.}", 7, "empty"),
        ("{start.a[}", 9, "not expected"),
        ("out/", None, "without a file name"),
        ("", None, "without a file name"),
        ("a\0b.tif", 2, "NUL"),
    ],
)
def test_a_template_that_cannot_work_is_refused_with_its_column(text, column, says):
    """Bad input: TemplateError from the constructor, with the column."""
    with pytest.raises(TemplateError) as caught:
        Template(text)

    if column is not None:
        assert caught.value.column == column
    assert caught.value.column >= 1
    assert says in str(caught.value)


def test_a_template_that_is_no_string_is_refused():
    """Bad input: a wrong type is named."""
    with pytest.raises(TemplateError, match="not int"):
        Template(3)


def test_a_missing_key_is_named_with_the_nearest():
    """S05: the message names the key and lists near keys."""
    with pytest.raises(MissingKeyError) as caught:
        Template("{start.sampel_name}.tif").render(NAMES)

    expected = (
        "template field '{start.sampel_name}' is not in run 7f3a1c2e: "
        "did you mean 'sample_name'?"
    )
    assert str(caught.value) == expected


@pytest.mark.parametrize("value", ["", "  ", ".", "..", "...", None])
def test_a_blank_value_counts_as_missing(value):
    """A name never has a hole in it by accident."""
    with pytest.raises(MissingKeyError, match="blank"):
        Template("{start.x}.tif").render({"start": {"x": value}})


@pytest.mark.parametrize("value", [["a"], {"a": 1}, np.zeros(3)])
def test_a_value_of_several_items_is_refused(value):
    """A list or mapping in a name is an error that asks for one item."""
    with pytest.raises(TemplateError, match="choose one"):
        Template("{start.x}.tif").render({"start": {"x": value}})


def test_a_format_that_does_not_fit_its_value_says_so():
    """The error shows the value."""
    with pytest.raises(TemplateError, match="'UO2' can't be formatted"):
        Template("{start.sample_name:04d}").render(NAMES)


def test_a_value_cannot_add_a_folder():
    """S07: what people type stays inside its component."""
    names = {"start": {"sample_name": "a/b:c*? ../../x"}}

    name = Template("raw/{start.sample_name}.tif").render(names)

    assert name == "raw/a_b_c__ .._.._x.tif"


def test_the_author_may_write_folders():
    """S07: separators written by the template's author still make folders."""
    assert Template("{field}/{stream}/x.tif").render(NAMES) == "pe1_image/primary/x.tif"


def test_a_name_too_long_for_a_file_system_is_cut_and_told_apart():
    """S10: cut with a hash of all of it, never to the same name."""
    template = Template("{start.x}.tif")

    names = {template.render({"start": {"x": "ü" * 200 + end}}) for end in "ab"}

    assert len(names) == 2
    assert all(len(name.encode()) <= 255 for name in names)
    assert all(name.endswith(".tif") for name in names)
    with pytest.raises(TemplateError, match="has been cut"):
        template.parse_name(names.pop())


def test_what_is_over_the_systems_limits_is_refused():
    """Names over the file system's limits: a literal at once, a path when made."""
    with pytest.raises(TemplateError, match="255 bytes"):
        Template("x" * 256 + "{i}")
    with pytest.raises(TemplateError, match="4000"):
        Template("/".join(["{start.x}"] * 40)).render({"start": {"x": "x" * 200}})


VALUES = st.one_of(
    st.text(),
    st.text(alphabet="./\\ \0\n:", max_size=30),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.sampled_from(["..", "../..", "/etc/passwd", "~", "C:\\x", "\u202etxt.exe"]),
)


@given(value=VALUES, other=VALUES)
def test_no_value_leaves_the_root(value, other):
    """S07: whatever the metadata, the name stays where the template put it."""
    names = {"start": {"a": value, "b": other}}
    try:
        name = Template("one/{start.a}/{start.a}{start.b}.tif").render(names)
    except TemplateError:
        return

    path = PurePosixPath(name)
    assert path.parts[0] == "one"
    assert len(path.parts) == 3
    assert ".." not in path.parts
    assert not set(name) & set('\0\n\\:*?"<>|')
    assert not any(part.startswith(".") for part in path.parts)


@given(st.text(max_size=40))
def test_any_text_parses_or_is_refused(text):
    """No text raises anything but a TemplateError."""
    try:
        template = Template(text)
    except TemplateError as error:
        column = error.column
    else:
        column = 1
        assert template.text == text

    assert 1 <= column <= len(text) + 1
