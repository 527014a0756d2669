"""The language of names: alternatives, defaults, segments, times, motors, policies."""

import enum
import re
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tiffin import Template
from tiffin.errors import MissingKeyError, SettingsError, TemplateError
from tiffin.template import field_to_add

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
    """S05: an optional segment appears whole or not at all."""
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
    """Otherwise the message names the devices, and how to choose one."""
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
        ("a<b>", 2, "has no field"),
        ("a<b{i}", 2, "without its '>'"),
        ("a>b{i}", 2, "without its '<'"),
        ("<a<{i}>>", 3, "segment inside a segment"),
        ("<{i|0}>", 2, "has a default"),
        ("{i|a/b}", 5, "part of a name"),
        ("{i|a:b}", 5, "on Windows"),
        ("{start.a,}", 1, "name what goes here"),
        ("{start.a,strat.b}", 1, "did you mean 'start'"),
        ("{start.a,start.__b__}", 15, "looks up items only"),
        ("{start.time:%Y%q}", 15, "%q"),
        ("{i:/>5d}", 4, "can't fill"),
        ("a\\b{i}", 2, "separated by '/'"),
        ("scan:{i}.tif", 5, "on Windows"),
        ("a*{i}", 2, "on Windows"),
        ("a/ <{i}>", 3, "begins with a space"),
        ("{i}/.hidden{i}", 5, "hidden"),
        ("{start.a}./{i}", 1, "ends with a dot"),
        ("a<{i}/></{i}>b", 9, "is empty"),
        ("{start.a}//{i}", 11, "is empty"),
        ("<{start.a}/>/{i}", 13, "is empty"),
        ("{start.a}/./{i}", 11, "only allowed at the beginning"),
    ],
)
def test_what_the_language_refuses_has_its_column(text, column, says):
    """Checked in the constructor, with the column and what is wrong."""
    with pytest.raises(TemplateError) as caught:
        Template(text)

    assert caught.value.column == column
    assert says in str(caught.value)


def test_folders_of_the_root_may_have_what_names_may_not():
    """S07: a Windows share and hidden folders, if the author wrote them."""
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
    """S10: as xpdAn's comma for the point; ASCII only on request."""
    names = {"start": {"v": "Béton 10.5 µm/s"}}

    assert Template("{start.v}", policy="strict").render(names) == "Beton_10.5__m_s"
    table = {" ": "-", ".": ",", "µ": "u"}
    template = Template("{start.v}_{i:.1f}", replacements=table)
    assert template.render({**names, "i": 2.5}) == "Béton-10,5-um_s_2,5"
    with pytest.raises(SettingsError, match="portable"):
        Template("{i}", policy="lax")
    with pytest.raises(SettingsError, match="map text to text"):
        Template("{i}", replacements={"a": 1})


@pytest.mark.parametrize("value", ["", " ", ".", " .. ", "\u00a0", None, "\u3000."])
def test_a_name_is_never_empty_by_accident(value):
    """What is blank counts as missing, also where nothing else is in the name."""
    with pytest.raises(TemplateError):
        Template("{start.a}").render({"start": {"a": value}})


# ---- what a specification can't do


def test_a_number_can_not_become_a_character():
    """Format `c` would make 47 a '/': refused by the constructor."""
    with pytest.raises(TemplateError, match="formatted as 'c'") as caught:
        Template("x{event.data.n:c}.tif")

    assert caught.value.column == 16


@pytest.mark.parametrize("fill", ["<", ">", ":", "*", "\\", "/", "\u202e", "\u0301"])
def test_a_fill_that_no_name_can_hold_is_refused(fill):
    """In the constructor, with the column: Windows' own, marks of direction."""
    with pytest.raises(TemplateError, match="can't fill") as caught:
        Template(f"x{{i:{fill}<5d}}.tif")

    assert caught.value.column == 5


def test_a_fill_stays_within_the_policy():
    """Formatted values are cleaned like any text."""
    assert name("x{i:~>4d}.tif") == "x~~~3.tif"
    assert name("x{i:~>4d}.tif", policy="strict") == "x___3.tif"
    assert name("x{event.data.step:,.1f}.tif", replacements={".": "~"}) == "x12~0.tif"


@pytest.mark.parametrize(
    "specification",
    ["1" * 5000 + "d", ".99999999999999999999f", "\u0664d", ",x", "=5s"],
)
def test_a_specification_that_no_value_fits_is_refused(specification):
    """In the constructor, not at the first frame."""
    with pytest.raises(TemplateError) as caught:
        Template(f"{{i:{specification}}}.tif")

    assert caught.value.column == 4
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("replacements", [5, "ab", ["ab"], [("a", "b")]])
def test_replacements_are_a_mapping(replacements):
    """Anything else is a SettingsError that says what is wanted."""
    with pytest.raises(SettingsError, match="mapping"):
        Template("{i}", replacements=replacements)


# ---- times


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{start.time:%Y%%b}", "2026%b"),
        ("{start.time:%%F%%%Y}", "%F%2026"),
        ("{start.time:%I%p}", "02PM"),
        (
            "{start.time:%j %U %W %u %G-W%V %y %A %B}",
            "328 47 47 2 2026-W48 26 Tuesday November",
        ),
        ("{start.time:%Y/%m/%d}/{i}", "2026/11/24/3"),
        ("{start.time:%Y/raw%m}-{i}", "2026/raw11-3"),
        ("<{start.nothing:%Y/%m}/>{i}", "3"),
        ("<{start.time:%Y/%m}/>{i}", "2026/11/3"),
    ],
)
def test_directives_are_read_from_left_to_right(text, expected):
    """`%%b` is '%' and 'b'; a '/' written by the author makes folders."""
    assert name(text) == expected


def test_years_have_four_digits():
    """So that names of times sort."""
    early = {"start": {"time": -6e10}}

    assert (
        Template("{start.time:%Y-%m-%d}", timezone="UTC").render(early) == "0068-09-03"
    )


@pytest.mark.parametrize(
    ("text", "column", "says"),
    [
        ("{start.time:/%Y}", 13, "no directive"),
        ("{start.time:%Y/}/{i}", 16, "no directive"),
        ("{start.time:raw/%Y}", 13, "no directive"),
        ("{start.time:%Y/%m|never}", 15, "default"),
        ("a{start.time:%Y/../%m}", 17, "no directive"),
    ],
)
def test_folders_of_a_time_are_checked_as_others_are(text, column, says):
    """With the column of what is wrong."""
    with pytest.raises(TemplateError, match=re.escape(says)) as caught:
        Template(text)

    assert caught.value.column == column


# ---- values


class Sample(str, enum.Enum):  # noqa: UP042 (as most have it)
    """As a plan may put it into metadata."""

    NICKEL = "Ni"


class Hutch(enum.IntEnum):
    """Likewise."""

    B = 2


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Sample.NICKEL, "Ni"),
        (Hutch.B, "2"),
        (np.float32(0.1), "0.1"),
        (np.float16(0.1), "0.1"),
        (np.array(np.float32(0.1)), "0.1"),
        (np.longdouble(0.5), "0.5"),
        (np.str_("q"), "q"),
        (np.bool_(True), "True"),
        (np.int8(-3), "-3"),
    ],
)
def test_values_are_written_as_json_has_them(value, expected):
    """An enumeration by its value; a float32 in its shortest form."""
    assert Template("{start.v}").render({"start": {"v": value}}) == expected


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (np.datetime64("2026-11-24T12:00:00", "ns"), "a datetime64 .* ISO 8601"),
        (date(2026, 1, 2), "a date .* ISO 8601"),
        (np.timedelta64(5, "s"), "a timedelta64"),
        (Decimal("1.5"), "a Decimal .* as a number or a text"),
        (Fraction(1, 2), "a Fraction .* as a number or a text"),
        (Path("a/b"), "PosixPath|WindowsPath"),
        (UUID(int=5), "a UUID .* as a number or a text"),
        (b"x", "a bytes .* as a number or a text"),
    ],
)
@pytest.mark.parametrize("text", ["{start.v}", "{start.v:%Y}", "{start.v:.1f}"])
def test_a_value_that_is_no_plain_one_says_what_is_wanted(value, says, text):
    """Its own __str__ or __format__ is never used."""
    with pytest.raises(TemplateError, match=says):
        Template(text).render({"start": {"v": value}})


@pytest.mark.parametrize(
    "value", ["\u00ad", "\u180e", "\u2061\u2064", "\u206a\u206f", "\u200d.", "\u3164"]
)
def test_a_value_of_which_nothing_is_seen_is_blank(value):
    """Invisible characters beside letters are replaced, except joiners."""
    with pytest.raises(MissingKeyError, match="blank"):
        Template("{start.v}").render({"start": {"v": value}})

    seen = Template("a{start.v}").render({"start": {"v": f"b{value}c"}})
    assert seen in ("ab_c", "ab__c", "ab\u200d.c", "ab\u3164c")


def test_a_mark_does_not_join_the_letter_before_a_value():
    """Otherwise the glob would not match the name."""
    template = Template("e{start.v}.tif")

    assert template.render({"start": {"v": "\u0301x"}}) == "e_\u0301x.tif"
    with pytest.raises(TemplateError, match="change the letter") as caught:
        Template("{start.v}\u0301.tif")
    assert caught.value.column == 10


@pytest.mark.parametrize("motor", [None, [1.5], b"x", {"a": 1}])
def test_motors_are_not_made_up(motor):
    """`{motors}` without a value is missing or refused, as `{motors[0]}` is."""
    names = {"start": {"uid": "u", "motors": ["x"]}, "event": {"data": {"x": motor}}}

    for text in ("{motors}", "{motors[0]}"):
        with pytest.raises(TemplateError):
            Template(text).render(names)
    if motor is None:
        assert Template("{motors|none}").render(names) == "none"
        assert Template("a<_{motors}>").render(names) == "a"


def test_a_configuration_key_with_one_value_in_two_devices_is_no_question():
    """A device must be named only where their values differ."""
    devices = {"a": {"data": {"gain": 0.5}}, "b": {"data": {"gain": 1.0 / 2}}}
    names = {"descriptor": {"configuration": devices}, "field": "img"}

    assert Template("{config.gain}").render(names) == "0.5"


def test_the_nearest_key_may_differ_in_case():
    """For `{start.UID}` the message suggests `uid`."""
    for wrong in ("UID", "Sample_Name", "sampleName"):
        with pytest.raises(MissingKeyError, match=r"did you mean '(uid|sample_name)'"):
            Template(f"{{start.{wrong}}}").check_start(NAMES["start"])


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("con/{i}", 1),
        ("a/{start.a}/Nul.tif", 13),
        ("{i}/COM1.{i}", 5),
        ("aux.{i}", 1),
    ],
)
def test_a_name_that_windows_keeps_is_refused(text, column):
    """In the template's literal text, leading folders included."""
    with pytest.raises(TemplateError, match="reserves") as caught:
        Template(text)

    assert caught.value.column == column


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("x" * 255, True),
        ("x" * 256, False),
        ("x" * 246 + "{i}", True),
        ("x" * 247 + "{i}", False),
    ],
)
def test_a_names_own_text_leaves_room_for_its_values(text, fits):
    """At least for a hash."""
    if fits:
        Template(text)
        return

    with pytest.raises(TemplateError, match="255 bytes"):
        Template(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a/<{start.x}>/{i}", "is empty"),
        ("{start.x|}/{i}", "is empty"),
        ("a_<{start.a}/><{start.x}>/e.tif", "is empty"),
        ("a/<{start.x}> b", "begins with a space"),
        ("a/<{start.x}>.tif", "hidden"),
        ("{start.a}.<{start.x}>/x", "ends with a dot"),
        ("x/aux<{start.x}>.tif", "reserves"),
        ("<{start.x}>con.{i}", "reserves"),
        ("{start.x|}prn", "reserves"),
        ("x" * 130 + "<{start.x}/>" + "y" * 126, "255 bytes"),
    ],
)
def test_literal_text_that_is_no_name_without_a_value_is_refused(text, reason):
    """When it is rendered: the author's text is never changed."""
    template = Template(text)

    with pytest.raises(TemplateError, match=reason):
        template.render({"start": {"a": "1"}, "i": 3})
    assert template.render({"start": {"a": "1", "x": "q"}, "i": 3}).count("q") == 1


def test_what_is_too_long_is_cut_where_it_is_long():
    """The values of a name over 255 bytes are cut, the longest first: it keeps its
    number, its ending, and its place in an order.
    """
    template = Template("{start.a}_{start.b}_raw_{i:04d}.tif")

    made = [
        template.render({"start": {"a": "a" * 400 + end, "b": "b"}, "i": i})
        for end in "xy"
        for i in (7, 8)
    ]

    assert len(set(made)) == 4
    assert all(re.fullmatch(r"a+~[0-9a-f]{8}_b_raw_000[78]\.tif", n) for n in made)
    assert all(len(n) == 255 for n in made)


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


# ---- whether names can differ


def missing_from(text, **numbers):
    given = {"num_points": 3, "images": 1, "image_fields": 1, "streams": 1, **numbers}
    return field_to_add(Template(text).fields, **given)


@pytest.mark.parametrize(
    "text",
    ["{start.sample}.tif", "{start.sample}_{i}.tif", "{event.descriptor}.tif"],
)
def test_events_need_a_field_that_differs_between_them(text):
    """S09: for many events, and where nobody says how many; one event needs nothing.

    A plan may write anything into num_points: only the whole number 1 is one.
    """
    for points in (3, None, "3", 3.0, "1", 1.0, True, np.int64(3)):
        assert missing_from(text, num_points=points) == "{event.seq_num}"
    for points in (1, np.int64(1)):
        assert missing_from(text, num_points=points) is None


@pytest.mark.parametrize(
    "text",
    [
        "{event.seq_num}.tif",
        "{frame}.tif",
        "{event.uid}.tif",
        "{event.data.T}.tif",
        "{start.x,event.seq_num}.tif",
        "a<_{event.data.T}>.tif",
        "{time:%H%M}.tif",
        "{motors}.tif",
    ],
)
def test_a_template_whose_names_may_differ_is_accepted(text):
    """S09 refuses only templates that are sure to collide."""
    for points in (1, 3, None):
        assert missing_from(text, num_points=points) is None


def test_several_streams_must_be_told_apart():
    """Events are numbered from 1 in each stream."""
    for text in (
        "{event.seq_num}.tif",
        "{frame}.tif",
        "{start.sample}_{event.seq_num}",
    ):
        assert missing_from(text, streams=2) == "{stream}"
        assert missing_from(text, streams=1) is None
    for text in ("{stream}", "{event.uid}", "{descriptor.name}", "{time:%H%M%S}"):
        assert missing_from(text + "_{event.seq_num}.tif", streams=2) is None


def test_images_and_fields_must_be_told_apart():
    """`{i}` for stacks, `{field}` for several detectors."""
    assert missing_from("{event.seq_num}.tif", images=2) == "{i}"
    assert missing_from("{event.seq_num}_{i0}.tif", images=2) is None
    assert missing_from("{frame}.tif", images=2, image_fields=2) == "{field}"
    assert missing_from("{frame}_{field}.tif", images=2, image_fields=2) is None


def test_a_scanned_field_may_stand_without_a_list():
    """A dimension of the hints is a list of fields, or one field's name."""
    start = {"uid": "u", "hints": {"dimensions": [["theta", "primary"]]}}
    names = {"start": start, "event": {"data": {"theta": 1.5}}}

    assert Template("{motors}").render(names) == "theta_1.5"


def test_configuration_of_several_devices_is_checked_for_an_image():
    """The image's own device is meant; without an image it is ambiguous."""
    template = Template("{config.exposure:.1f}_{i}")
    descriptor, start = NAMES["descriptor"], NAMES["start"]

    template.check_descriptor(descriptor, start)
    template.check_descriptor(descriptor, start, field="pe1_image")
    with pytest.raises(TemplateError, match="pe1 and pe2"):
        template.check_descriptor(descriptor, start, field="sum")
