"""Names: what the template language gives, and what it refuses."""

import re
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
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
        ("{start.scan_id:nonsense}", 16, "a format must be like"),
        ("{start.}", 7, "empty"),
        ("{start.a[}", 9, "not expected"),
        ("out/", None, "without a file name"),
        ("", None, "without a file name"),
        ("a\0b.tif", 2, "NUL"),
        ("{i}" + "x" * 10_000, 10_001, "10000 are allowed"),
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


@pytest.mark.parametrize("text", ["{start.x:~>6}.tif", "{start.x:_<9}.tif"])
def test_a_blank_value_is_missing_also_where_it_would_be_filled(text):
    """What fills a field is no value."""
    with pytest.raises(MissingKeyError, match="blank"):
        Template(text).render({"start": {"x": " "}})


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


@pytest.mark.parametrize(
    ("text", "value", "name"),
    [
        ("{start.a}n.tif", "co", "co_n.tif"),
        ("{start.a}1.tif", "COM", "COM_1.tif"),
        ("au{start.a}.tif", "x", "aux_.tif"),
        ("{start.a}/x.tif", "con.2", "con_.2/x.tif"),
    ],
)
def test_a_name_that_windows_keeps_is_marked_in_a_value(text, value, name):
    """What the author wrote stays, so that the pattern finds it."""
    template = Template(text)
    values = {"start": {"a": value}}

    assert template.render(values) == name
    assert matches(name.split("/"), template.glob().split("/"))


def test_letters_may_be_composed_or_not():
    """A disk, or a template's author, may have another idea: names are NFC."""
    for accent in ("\u00e9", "e\u0301"):
        template = Template(f"b{accent}ton_{{start.a}}.tif")
        assert template.glob() == "b\u00e9ton_*.tif"


# ---- the pattern of the names

NUMBERS = ["04d", "d", ".2f", ".3e", "g", "x", "#x", "+d", ">8d", "<7.1f", "_>6d",
           "0>6d", "=6d", "9>4d", "^7d", ",d", "08.2f", "#.0f", ".1%",
           "a>5x"]  # fmt: skip
FIELDS = [
    "{start.a}",
    "{start.b:>8}",
    "{start.b:s}",
    *(f"{{start.n:{specification}}}" for specification in NUMBERS),
    *(f"{{start.f:{s}}}" for s in NUMBERS if s[-1] in "feg%"),
    "{start.n:d|0}",
    "{start.t:%Y%m%d-%H%M%S}",
    "{start.t:%F}",
    "{start.t:%d%b%y %I%p}",
    "{start.t:%Y/%m}",
    "{start.none:d|-}",
    "{start.none|-}",
    "{i:03d}",
    "<q{start.none}>",
    "<T{start.f:.1f}K>",
    "<{start.a}/>",
    "<{start.none}/>",
    "</{start.b}>",
    "<_{start.a}/{start.b}>",
]
PIECES = st.lists(
    st.sampled_from(FIELDS),
    min_size=1,
    max_size=5,
    unique_by=lambda piece: re.search(r"\w+(?:\.\w+)?(?=[}:|])", piece)[0],
)
SEPARATORS = st.sampled_from(["_", "-", "/", ".", "_s", "~", " x", "=", "__", ""])
TEXTS = st.text(min_size=1, max_size=12) | st.from_regex(
    r"[a-c_]{1,4}_[0-9]{1,4}", fullmatch=True
)
TABLES = st.sampled_from(
    [None, None, {" ": "-", ".": ","}, {".": "-"}, {"-": "m"}, {"_": ""}, {"1": "0"},
     {"a": "b", "b": "c"}, {"00": "O"}, {",": "."}]
)  # fmt: skip


def a_template(pieces, separators, **options):
    glued = [x for pair in zip(pieces, separators, strict=False) for x in pair]
    return Template("n" + "".join(glued) + "e.tif", **options)


def matches(path, pattern):
    """Tell whether a path matches, by folders, as `pathlib.Path.glob` goes."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(matches(path[n:], pattern[1:]) for n in range(len(path) + 1))
    return (
        bool(path)
        and fnmatchcase(path[0], pattern[0])
        and matches(path[1:], pattern[1:])
    )


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    pieces=PIECES,
    separators=st.lists(SEPARATORS, min_size=6, max_size=6),
    a=TEXTS | st.just("x" * 300) | st.sampled_from(["aux", "\u0301", "CON."]),
    policy=st.sampled_from(["portable", "strict"]),
)
def test_the_glob_matches_every_name(pieces, separators, a, policy):
    """`Template.glob` gives the pattern of its names, optional folders and all."""
    start = {"a": a, "b": a, "n": 12, "f": 1.5, "t": 0}
    try:
        template = a_template(
            ["{start.a}", *pieces][-5:], separators, timezone="UTC", policy=policy
        )
        made = template.render({"start": start, "i": 3})
    except TemplateError:
        return

    assert matches(made.split("/"), template.glob().split("/"))


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("<{start.project}/>{run}.tif", "**/*.tif"),
        ("{run}</{start.project}>/x.tif", "**/*/x.tif"),
        ("<{start.a}/>sub/{i}.tif", "**/*sub/*.tif"),
        ("raw/<{start.a}/{start.b}/>x{i}.tif", "raw/**/*x*.tif"),
        ("raw<_{start.a}/{start.b}>_x{i}.tif", "**/*_x*.tif"),
        ("{start.time:%Y/%m}/{i}.tif", "*/*/*.tif"),
        ("{start.a}/[a]_{i}<_{start.b}>.tif", "*/[[]a]_**.tif".replace("**", "*")),
    ],
)
def test_optional_folders_in_a_pattern(tmp_path, text, pattern):
    """The files are found, whether the folder is there or not."""
    template = Template(text, timezone="UTC")
    made = [
        template.render({"start": {"uid": "u", "time": 0, "a": "0", **more}, "i": 3})
        for more in ({}, {"project": "p", "a": "1", "b": "2"})
    ]
    for name in made:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    assert template.glob() == pattern
    assert {tmp_path / name for name in made} <= set(tmp_path.glob(pattern))


@pytest.mark.parametrize(
    "lead", ["raw//x/", "./", "raw/./", "../", "/data//raw/", "//srv/"]
)
def test_leading_folders_may_be_written_as_paths_are(lead):
    """With double slashes and dots: a name is read, and the pattern is its own."""
    template = Template(lead + "{start.a}_{i}.tif")
    name = template.render({"start": {"a": "Ni"}, "i": 3})

    assert fnmatchcase(name, template.glob())
