"""The language of names: alternatives, defaults, segments, times, motors, policies."""

import re
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffin import Template
from tiffin.errors import MissingKeyError, SettingsError, TemplateError

TIME = 1795529389.5  # 2026-11-24 14:09:49.5 UTC

NAMES = {
    "start": {
        "uid": "7f3a1c2e-5d1f-4f0b-9d2c-0e8a1b2c3d4e",
        "scan_id": 42,
        "time": TIME,
        "sample_name": "Ni foil",
        "blank": "  ",
        "dots": "..",
        "hints": {"dimensions": [[["x"], "primary"], [["T"], "primary"]]},
    },
    "descriptor": {
        "name": "primary",
        "data_keys": {"T": {"units": "K"}, "x": {"units": "mm"}},
        "configuration": {
            "pe1": {"data": {"distance": 235.5, "exposure": 0.1}},
            "pe2": {"data": {"exposure": 0.2}},
        },
        "object_keys": {"pe1": ["pe1_image"], "pe2": ["pe2_image"]},
    },
    "event": {
        "seq_num": 7,
        "time": TIME + 60,
        "data": {"T": np.float64(300.25), "x": -1.5, "step": 12.0, "part": 12.5},
    },
    "baseline": {"slit": 0.05},
    "stop": {"exit_status": "success"},
    "stream": "primary",
    "field": "pe1_image",
    "i": 3,
    "i0": 1,
    "i1": 0,
    "frame": 19,
}


def name(text, **options):
    return Template(text, timezone="UTC", **options).render(NAMES)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{start.sample|unnamed}", "unnamed"),
        ("{start.sample_name|unnamed}", "Ni foil"),
        ("{start.sa_name,start.sample_name}", "Ni foil"),
        ("{start.sa_name,start.sample,run|x}", "7f3a1c2e"),
        ("{start.blank|unnamed}", "unnamed"),
        ("{start.dots,start.scan_id:05d|x}", "00042"),
        ("{start.nothing:05d|none}", "none"),
        ("a{start.nothing|}b", "ab"),
    ],
)
def test_alternatives_and_defaults(text, expected):
    """The first alternative with a value; blank or dots only count as none."""
    assert name(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("s<_T{event.data.T:.1f}{descriptor.data_keys.T.units}>.tif", "s_T300.2K.tif"),
        ("s<_Q{event.data.Q:.1f}A>.tif", "s.tif"),
        ("s<_Q{event.data.Q}><_x{event.data.x}>.tif", "s_x-1.5.tif"),
        ("<{start.project}/>{run}.tif", "7f3a1c2e.tif"),
        ("{run}</{start.project}>/x.tif", "7f3a1c2e/x.tif"),
        ("<{start.sample_name}/>{run}.tif", "Ni foil/7f3a1c2e.tif"),
    ],
)
def test_segments_vanish_with_their_value(text, expected):
    """S05: an optional segment stands or goes as a whole."""
    assert name(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{start.time:%Y%m%d-%H%M%S}", "20261124-140949"),
        ("{start[time]:%Y-%m-%d}/{time:%H%M%S}", "2026-11-24/141049"),
        ("{event.time:%d%b%y}", "24Nov26"),
        ("{start.time:%F_%T}", "2026-11-24_14_09_49"),
        ("{start.time:.1f}", "1795529389.5"),
        ("{start.time}", "1795529389.5"),
    ],
)
def test_times_are_written_as_strftime_does(text, expected):
    """S03: strftime for times, and plain numbers still."""
    assert name(text) == expected


def test_times_are_those_of_the_zone_that_is_asked_for():
    """S03: with a chosen zone; text in ISO 8601 is a time as well."""
    template = Template("{start.time:%H%M%z}", timezone="Europe/Zurich")

    assert template.render(NAMES) == "1509+0100"
    iso = {"start": {"time": "2026-07-01T12:00:00+00:00"}}
    assert template.render(iso) == "1400+0200"
    local = {"start": {"time": datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("UTC"))}}
    assert template.render(local) == "1400+0200"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{run}_{frame:05d}_{i0}{i1}", "7f3a1c2e_00019_10"),
        ("{config.distance:.0f}mm", "236mm"),
        ("{config.exposure}s", "0.1s"),
        ("{baseline.slit:.3f}", "0.050"),
        ("{stop.exit_status}", "success"),
        ("{motors}", "x_-1.5mm_T_300.25K"),
        ("{motors:.2f}", "x_-1.50mm_T_300.25K"),
        ("{motors[1]:.0f}-{motors.x:.1f}", "300--1.5"),
        ("{descriptor[configuration][pe1][data][distance]}", "235.5"),
    ],
)
def test_every_root(text, expected):
    """S04 and the rest: configuration, baseline, stop, motors with value and unit."""
    assert name(text) == expected


def test_a_configuration_key_of_two_devices_is_the_images_own():
    """Else the message names the devices, and how one is chosen."""
    other = {**NAMES, "field": "pe2_image"}
    neither = {**NAMES, "field": "sum"}

    assert Template("{config.exposure}").render(other) == "0.2"
    with pytest.raises(TemplateError, match=r"pe1 and pe2.*configuration\]\[pe1\]"):
        Template("{config.exposure}").render(neither)


def test_whole_numbers_stored_as_floats_format_when_exact():
    """`{event.data.step:04d}`: 12.0 is 0012, and 12.5 says so."""
    assert name("{event.data.step:04d}") == "0012"
    with pytest.raises(TemplateError, match=r"12\.5.*not whole"):
        name("{event.data.part:04d}")


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("a<b>", 2, "never vanish"),
        ("a<b{i}", 2, "without its '>'"),
        ("a>b{i}", 2, "without its '<'"),
        ("<a<{i}>>", 3, "segment inside a segment"),
        ("<{i|0}>", 2, "has a default"),
        ("{i|a/b}", 5, "part of a name"),
        ("{i|a:b}", 5, "can't stand in a name"),
        ("{start.a,}", 1, "name what goes here"),
        ("{start.a,strat.b}", 1, "did you mean 'start'"),
        ("{start.a,start.__b__}", 15, "looks up items only"),
        ("{start.time:%Y%q}", 15, "%q"),
        ("{i:/>5d}", 4, "can't fill"),
        ("a\\b{i}", 2, "parted by '/'"),
        ("scan:{i}.tif", 5, "on Windows"),
        ("a*{i}", 2, "on Windows"),
        ("a/<{i}>/{i}", 3, "vanishes"),
        ("a/ <{i}>", 3, "begins with a space"),
        ("a/<{i}> b", 3, "vanishes"),
        ("{start.a}.<{i}>/x", 10, "vanishes"),
        ("a/<{start.a}>.tif", 3, "vanishes"),
        ("{start.a|}/{i}", 1, "vanishes"),
        ("{i}/.hidden{i}", 5, "hidden"),
        ("{start.a}./{i}", 1, "ends with a dot"),
    ],
)
def test_what_the_language_refuses_has_its_column(text, column, says):
    """Checked in the constructor, with the column and what is wrong."""
    with pytest.raises(TemplateError) as caught:
        Template(text)

    assert caught.value.column == column
    assert says in str(caught.value)


def test_folders_of_the_root_may_have_what_names_may_not():
    """S07: a Windows share, hidden folders: the author's own."""
    lead, rest = Template("Z:/.raw/{start.sample_name}/{i}.tif").split_root()

    assert lead == "Z:/.raw/"
    assert rest.render(NAMES) == "Ni foil/3.tif"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a/b:c*? ../../x", "a_b_c__ .._.._x"),
        ("../../etc/passwd", "__.._etc_passwd"),
        ("e\u0301", "\u00e9"),
        ("a\u202etxt.exe", "a_txt.exe"),
        ("a\u200bb\ufeff", "a_b_"),
        ("x. ", "x"),
        ("CON", "CON_"),
        ("com1.dat", "com1_.dat"),
        ("lpt\u00b9", "lpt\u00b9_"),
        ("tab\tnewline\n", "tab_newline_"),
        ("😀", "😀"),
    ],
)
def test_values_are_portable(value, expected):
    """S07: no escape from the folder, and a name that every system takes."""
    assert Template("{start.v}").render({"start": {"v": value}}) == expected


def test_a_site_may_be_strict_and_replace():
    """S10: xpdAn's comma for the point; ASCII only where a site wants that."""
    names = {"start": {"v": "Béton 10.5 µm/s"}}

    assert Template("{start.v}", policy="strict").render(names) == "Beton_10.5__m_s"
    table = {" ": "-", ".": ",", "µ": "u"}
    template = Template("{start.v}_{i:.1f}", replacements=table)
    assert template.render({**names, "i": 2.5}) == "Béton-10,5-um_s_2,5"
    with pytest.raises(SettingsError, match="portable"):
        Template("{i}", policy="lax")
    with pytest.raises(SettingsError, match="text for a text"):
        Template("{i}", replacements={"a": 1})


@pytest.mark.parametrize("value", ["", " ", ".", " .. ", "\u00a0", None, "\u3000."])
def test_a_name_is_never_empty_by_accident(value):
    """What is blank counts as missing, also where nothing else is in the name."""
    with pytest.raises(TemplateError):
        Template("{start.a}").render({"start": {"a": value}})


class Evil(dict):
    """What runs code when it is formatted or asked."""

    def __format__(self, specification):
        raise AssertionError


def test_no_users_code_is_run():
    """Items of plain types only: an object's own formatting is never called."""

    class EvilFloat(float):
        def __format__(self, specification):
            raise AssertionError

    assert Template("{start.v:.1f}").render({"start": {"v": EvilFloat(2)}}) == "2.0"
    for value in (Evil(), object(), {1, 2}, b"bytes", print):
        with pytest.raises(TemplateError):
            Template("{start.v}").render({"start": {"v": value}})


# ---- backwards


def test_a_name_gives_its_values_back():
    """Typed where the specification tells, as text elsewhere."""
    template = Template(
        "{start.sample_name}/{start.scan_id:05d}_{start.time:%Y%m%d-%H%M%S}"
        "<_T{event.data.T:.1f}K>_{event.data.Q:.2e|none}_{event.seq_num}_{i:03d}.tif",
        timezone="UTC",
    )

    values = template.parse_name(template.render(NAMES))

    assert values == {
        "start.sample_name": "Ni foil",
        "start.scan_id": 42,
        "start.time": datetime(2026, 11, 24, 14, 9, 49, tzinfo=ZoneInfo("UTC")),
        "event.data.T": 300.2,
        "event.data.Q": None,
        "event.seq_num": 7,
        "i": 3,
    }


@pytest.mark.parametrize(
    "text", ["{start.a}{start.b}", "{start.a}<{start.b}>", "{start.a}<_{start.b}>{i}"]
)
def test_fields_without_a_separator_can_not_be_told_apart(text):
    """A template that can't be inverted says so."""
    with pytest.raises(TemplateError, match="without a separator"):
        Template(text).parse_name("ab")


def test_a_name_that_can_be_read_in_two_ways_is_not_guessed():
    """No wrong value, ever: the two readings are shown."""
    template = Template("{start.sample}_{start.run}.tif")

    assert template.parse_name("Ni_7.tif") == {"start.sample": "Ni", "start.run": "7"}
    with pytest.raises(TemplateError, match="no way to tell"):
        template.parse_name("Ni_foil_7.tif")


def test_a_foreign_name_is_refused():
    """And an absolute path that ends in a name of its is read."""
    template = Template("{start.sample}/{i:03d}.tif")

    assert template.parse_name("/data/raw/Ni/007.tif")["i"] == 7
    with pytest.raises(TemplateError, match="no name of template"):
        template.parse_name("Ni/x.tif")


def test_the_same_field_twice_has_one_value():
    """A name in which they differ is none of the template's."""
    template = Template("{start.a}/{start.a}_{i}.tif")

    assert template.parse_name("x/x_1.tif") == {"start.a": "x", "i": 1}
    with pytest.raises(TemplateError, match="no name of template"):
        template.parse_name("x/y_1.tif")


PIECES = st.lists(
    st.sampled_from(
        [
            "{start.a}",
            "{start.b:>8}",
            "{start.n:04d}",
            "{start.n}",
            "{start.f:.2f}",
            "{start.f:.3e}",
            "{start.f:g}",
            "{start.n:x}",
            "{start.p:.1%}",
            "{start.t:%Y%m%d-%H%M%S}",
            "{start.t:%F}",
            "{start.none:d|-}",
            "{i:03d}",
            "<q{start.none}>",
            "<T{start.f:.1f}K>",
        ]
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda piece: re.search(r"\w+(?:\.\w+)?(?=[}:|])", piece)[0],
)
SEPARATORS = st.sampled_from(["_", "-", "/", ".", "_s", "~", " x", "=", "__"])
TEXTS = st.text(min_size=1, max_size=12)


@settings(max_examples=400)
@given(
    pieces=PIECES,
    separators=st.lists(SEPARATORS, min_size=6, max_size=6),
    a=TEXTS,
    b=TEXTS,
    n=st.integers(-(10**6), 10**6),
    f=st.floats(-1e9, 1e9),
    t=st.integers(0, 4 * 10**9),
)
def test_names_go_round(pieces, separators, a, b, n, f, t):
    """Read back and rendered again, a name is the same: no value was read wrongly."""
    glued = [x for pair in zip(pieces, separators, strict=False) for x in pair]
    start = {"a": a, "b": b, "n": n, "f": f, "p": f / 1e9, "t": t}
    try:
        template = Template("n" + "".join(glued) + "e.tif", timezone="UTC")
        made = template.render({"start": start, "i": abs(n)})
        values = template.parse_name(made)
    except TemplateError as refusal:
        # Blank values, ambiguous or cut names: refused, not guessed.
        told = "blank|no way to tell|has been cut|is not in|vanishes"
        if not re.search(told, str(refusal)):
            raise
        return

    again = {k.removeprefix("start."): v for k, v in values.items() if v is not None}
    assert template.render({"start": again, "i": values.get("i")}) == made


@settings(max_examples=200)
@given(pieces=PIECES, separators=st.lists(SEPARATORS, min_size=6, max_size=6), a=TEXTS)
def test_the_glob_matches_every_name(pieces, separators, a, tmp_path_factory):
    """`Template.glob` gives the pattern of its names."""
    from pathlib import PurePosixPath

    glued = [x for pair in zip(pieces, separators, strict=False) for x in pair]
    start = {"a": a, "b": a, "n": 12, "f": 1.5, "p": 0.5, "t": 0}
    try:
        template = Template("[n]" + "".join(glued) + "e.tif", timezone="UTC")
        made = template.render({"start": start, "i": 3})
    except TemplateError:
        return

    assert PurePosixPath(made).match(template.glob())


# ---- before there is a frame


def test_a_start_document_is_checked():
    """S05: a key that is missing, a format that does not fit, motors without hints."""
    start = {"uid": "7f3a1c2e-1", "sample_name": "Ni"}

    with pytest.raises(
        MissingKeyError, match="run 7f3a1c2e: did you mean 'sample_name"
    ):
        Template("{start.sampel_name}_{i}").check_start(start)
    with pytest.raises(TemplateError, match="can't be formatted"):
        Template("<{start.sample_name:04d}>_{i}").check_start(start)
    with pytest.raises(MissingKeyError, match="no scanned motor"):
        Template("{motors}_{i}").check_start(start)
    for fits in ("{start.x|y}_{i}", "<{start.x}>_{i}", "{start.x,event.uid}", "{run}"):
        Template(fits).check_start(start)


def test_a_descriptor_is_checked():
    """Every event.data key, configuration and units; whether format and dtype agree."""
    data_keys = {
        "T": {"dtype": "number", "shape": []},
        "comment": {"dtype": "string", "shape": []},
        "img": {"dtype": "array", "shape": [6, 9]},
    }
    descriptor = {"name": "primary", "data_keys": data_keys, "configuration": {}}
    wrong = {
        "{event.data.temp}": "not in the events of stream 'primary'",
        "{event.dat.T}": "did you mean 'data'",
        "{event.data.comment:.2f}": "'comment' is a string",
        "{event.data.T:s}": "'T' is a number",
        "{event.data.img}": "array of shape",
        "{config.gain}": "configuration",
        "{descriptor.data_keys.T.units}": "units",
    }

    for text, says in wrong.items():
        with pytest.raises(TemplateError, match=says):
            Template(text + "_{i}").check_descriptor(descriptor, {})
    for fits in (
        "{event.data.T:.1f}_{event.data.img[0][0]}_{event.uid}",
        "{event.data.temp|none}",
        "<{event.data.temp}>_{i}",
        "{event.data.temp,event.data.T:.1f}",
        "{event.data.comment:.10}",
    ):
        Template(fits).check_descriptor(descriptor, {})
