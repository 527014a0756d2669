"""A dark found by query: what its start document holds, when, and how it was taken."""

import json
import pickle
import uuid

import numpy as np
import pytest
from bluesky.plans import count

import tiffin
from tests.documents import uid_of
from tests.helpers import export_live, feed
from tests.stores import LIBRARIES_WARN, insert, store_in_tiled, tiled_writer
from tiffin import ImageExporter
from tiffin.corrections import DarkSubtract, Nearest
from tiffin.errors import MissingDarkError, SettingsError, SourceError
from tiffin.testing import run_of

pytestmark = LIBRARIES_WARN

NAME = "{start.scan_id}_{kind}_{event.seq_num}.tif"
NOON = 1_700_000_000.0  # long ago: other tests look for the last run of a store


def run_at(seconds, value, *, exposure=0.1, gain=1, events=1, **metadata):
    """Compose a run of a detector with a configuration, begun so long after noon."""
    run = run_of({"img": np.full((events, 6, 9), value, "u2")}, **metadata)
    run[0][1]["time"] = NOON + seconds
    values = {"pe1_exposure": exposure, "pe1_gain": gain}
    run[1][1]["configuration"] = {
        "pe1": {
            "data": values,
            "timestamps": dict.fromkeys(values, NOON),
            "data_keys": {
                key: {"source": "SIM", "dtype": "number", "shape": []} for key in values
            },
        }
    }
    run[1][1]["object_keys"] = {"pe1": ["img"]}
    return run


@pytest.fixture
def mark():
    """What tells these runs from those of other tests, in a store that is shared."""
    return str(uuid.uuid4())


@pytest.fixture
def night(mark):
    """Return a light, and darks about it: (seconds from it, value, exposure)."""

    def night(*darks, **light):
        told = [
            run_at(
                seconds,
                value,
                exposure=exposure,
                plan_name="dark",
                mark=mark,
                scan_id=10 + n,
            )
            for n, (seconds, value, exposure) in enumerate(darks)
        ]
        return run_at(0, 100, scan_id=2, mark=mark, events=2, **light), told

    return night


KINDS = ["list", "jsonl", "mapping", "databroker v1", "databroker v2", "Tiled"]
RULES = [*KINDS[:-1], pytest.param("Tiled", marks=pytest.mark.slow)]
"""The rules are the same for every store; Tiled takes seconds for each."""


@pytest.fixture
def kept(request, tmp_path):
    """Keep runs somewhere, and return the catalogue that holds them."""

    def kept(kind, runs):
        if kind == "list":
            return [pair for run in runs for pair in run]
        if kind == "mapping":
            return {uid_of(run): run for run in runs}
        if kind == "jsonl":
            path = tmp_path / "night.jsonl"
            path.write_text(
                "".join(
                    json.dumps({"name": name, "doc": doc}, default=np.ndarray.tolist)
                    + "\n"
                    for run in runs
                    for name, doc in run
                )
            )
            return path
        return stored(kind, runs)

    def stored(kind, runs):
        if kind == "Tiled":
            client = request.getfixturevalue("tiled")
            for run in runs:
                store_in_tiled(client, run)
            return client
        broker = request.getfixturevalue("broker")
        for run in runs:
            insert(broker, run)
        return broker if kind == "databroker v1" else broker.v2

    return kept


def subtracted(report, read):
    """Return what was subtracted from each light of 100."""
    return [100 - float(read(record.path)[0, 0]) for record in report.written]


def export(light, folder, step, **options):
    return tiffin.export(light, NAME, directory=folder, corrections=[step], **options)


@pytest.mark.parametrize("kind", KINDS)
def test_the_nearest_dark_that_was_taken_alike_is_found(
    night, mark, kept, tmp_path, read, kind
):
    """S24, S29: nearest in time, with the light's exposure, in any store."""
    light, darks = night((-900, 9, 0.1), (-600, 6, 0.1), (-300, 3, 0.5), (60, 1, 0.1))
    other = run_at(-10, 77, plan_name="count", mark=mark)
    catalog = kept(kind, [*darks, other, light])
    step = DarkSubtract(run=Nearest(plan_name="dark", mark=mark))

    report = export(light, tmp_path / "out", step, catalog=catalog)

    assert subtracted(report, read) == [6, 6]


@pytest.mark.parametrize("kind", RULES)
def test_none_within_reach_says_what_was_looked_at(night, mark, kept, tmp_path, kind):
    """S27, S29: the error has the number of runs and both values; missing= decides."""
    light, darks = night((-900, 9, 0.1), (-300, 3, 0.5), (-200, 2, 0.25), (60, 1, 0.1))
    catalog = kept(kind, [*darks, light])
    query = Nearest(plan_name="dark", mark=mark, within=600)

    with pytest.raises(MissingDarkError, match=r"2 runs looked at") as caught:
        export(light, tmp_path, DarkSubtract(run=query), catalog=catalog)
    raw = export(
        light, tmp_path, DarkSubtract(run=query, missing="raw"), catalog=catalog
    )

    assert f"run {uid_of(darks[2])[:8]}: pe1_exposure is 0.1 for" in str(caught.value)
    assert "0.25 for the dark" in str(caught.value)
    assert "0.5 for the dark" in str(caught.value)
    assert "allow=('exposure',)" in str(caught.value)
    assert [r.path.name for r in raw.written] == ["2_light_1.tif", "2_light_2.tif"]


@pytest.mark.parametrize("kind", RULES)
def test_a_dark_from_the_future_is_taken_only_if_asked_for(
    night, mark, kept, tmp_path, read, kind
):
    """A run that began after the light is not used, so that live and replay agree."""
    light, darks = night((-20, 6, 0.1), (60, 1, 0.1), (90, 2, 0.1))
    catalog = kept(kind, [*darks, light])
    wanted = {"plan_name": "dark", "mark": mark}

    after = export(
        light, tmp_path / "c", DarkSubtract(run=Nearest(wanted), order="after"),
        catalog=catalog,
    )  # fmt: skip
    before = export(
        light, tmp_path / "a", DarkSubtract(run=Nearest(wanted)), catalog=catalog
    )
    either = export(
        light, tmp_path / "b",
        DarkSubtract(run=Nearest(wanted, within=70), order="nearest"),
        catalog=catalog,
    )  # fmt: skip

    assert subtracted(before, read) == [6, 6]
    assert subtracted(either, read) == [6, 6]
    assert subtracted(after, read) == [1, 1]


@pytest.mark.parametrize("kind", RULES)
def test_ties(night, mark, kept, tmp_path, read, kind):
    """Of two equally near, the one before; of those, the first by uid."""
    light, darks = night((60, 1, 0.1), (-60, 2, 0.1), (-60, 3, 0.1))
    first = min(darks[1:], key=uid_of)
    catalog = kept(kind, [*darks, light])
    query = Nearest(plan_name="dark", mark=mark, order="nearest")

    report = export(light, tmp_path / "out", DarkSubtract(run=query), catalog=catalog)

    value = 2 if first is darks[1] else 3
    assert subtracted(report, read) == [value, value]


def test_a_dark_that_began_with_the_light_is_none_from_the_future(
    night, tmp_path, read
):
    """At the same time counts as before."""
    light, darks = night((0, 5, 0.1))

    report = export(
        [*darks, light], tmp_path, DarkSubtract(run=Nearest(plan_name="dark"))
    )

    assert subtracted(report, read)[1:] == [5, 5]


def test_a_difference_is_waived_by_its_name(night, tmp_path, read):
    """S29: allow= applies to the search, too."""
    light, darks = night((-600, 6, 0.1), (-300, 3, 0.5))
    query = Nearest(plan_name="dark")

    report = export(
        light,
        tmp_path,
        DarkSubtract(run=query, allow="exposure"),
        catalog=[*darks[0], *darks[1]],
    )

    assert subtracted(report, read) == [3, 3]


def test_a_run_that_is_looked_for_is_itself_a_dark(night, tmp_path, read):
    """S26: a dark run in the source is exported uncorrected, though another dark is
    near.
    """
    light, darks = night((-600, 6, 0.1), (-300, 3, 0.1))

    report = export(
        [*darks, light], tmp_path, DarkSubtract(run=Nearest(plan_name="dark")),
        existing="replace", on_error="report",
    )  # fmt: skip

    assert [r.kind for r in report.records] == ["dark", "dark", "sub", "sub"]
    assert subtracted(report, read)[-2:] == [3, 3]


def test_a_run_without_the_field_does_not_fit(night, mark, tmp_path, read):
    """Another detector's dark is passed over, and named if no other is found."""
    light, darks = night((-600, 6, 0.1))
    other = run_of({"dexela": np.ones((1, 6, 9), "u2")}, plan_name="dark", mark=mark)
    other[0][1]["time"] = NOON - 10
    step = DarkSubtract(run=Nearest(plan_name="dark"))

    report = export(light, tmp_path / "a", step, catalog=[*other, *darks[0]])
    with pytest.raises(MissingDarkError, match=r"1 run looked at.*'img'"):
        export(light, tmp_path / "b", step, catalog=other)

    assert subtracted(report, read) == [6, 6]


def test_each_configuration_of_the_light_has_its_dark(night, tmp_path, read):
    """A run that changes its exposure midway has a dark for each."""
    light, darks = night((-600, 6, 0.1), (-300, 3, 0.5))
    second = run_at(0, 100, exposure=0.5)
    descriptor = {**second[1][1], "run_start": uid_of(light)}
    light[3][1]["descriptor"] = descriptor["uid"]
    light.insert(3, ("descriptor", descriptor))

    report = export(
        light,
        tmp_path,
        DarkSubtract(run=Nearest(plan_name="dark")),
        catalog=[*darks[0], *darks[1]],
    )

    assert subtracted(report, read) == [6, 3]


class Counted(dict):
    """A catalogue that counts how often it is gone through."""

    times = 0

    def values(self):
        self.times += 1
        return super().values()


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("fits", [True, False])
def test_a_dark_is_looked_up_once_a_run(night, tmp_path, live, fits):
    """However many frames there are, found or not; live and replayed."""
    light, darks = night((-600, 6, 0.1 if fits else 0.2))
    catalog = Counted({uid_of(dark): dark for dark in darks})
    steps = [DarkSubtract(run=Nearest(plan_name="dark"))]
    options = {"directory": tmp_path, "corrections": steps, "catalog": catalog}

    if live:
        with ImageExporter(NAME, **options) as exporter:
            feed(exporter, light)
        (report,) = exporter.reports.values()
    else:
        report = tiffin.export(light, NAME, **options, on_error="report")

    assert catalog.times == 1
    assert len(report.written if fits else report.failed) == 2


@pytest.mark.parametrize("kind", ["databroker v1", "Tiled"])
def test_live_as_well_as_replayed(RE, img, images, kept, mark, tmp_path, read, kind):
    """S24: a dark from a RunEngine, minutes ago, is found in the store."""
    catalog = kept(kind, [])
    RE.subscribe(tiled_writer(catalog) if kind == "Tiled" else catalog.v1.insert)
    step = DarkSubtract(run=Nearest({"plan_name": "count", "mark": mark, "dark": True}))
    exporter = ImageExporter(
        NAME, directory=tmp_path / "live", corrections=[step], catalog=catalog
    )
    RE.subscribe(exporter)

    RE(count([img], 1), mark=mark, dark=True)
    (uid,) = RE(count([img], 2), mark=mark)
    report = tiffin.export(
        catalog[uid], NAME, directory=tmp_path / "later", corrections=[step],
        catalog=catalog,
    )  # fmt: skip

    dark, *lights = [image.astype("f4") for image in images.taken(3)]
    assert exporter.reports[uid].ok
    for live, later, light in zip(
        exporter.reports[uid].written, report.written, lights, strict=True
    ):
        np.testing.assert_array_equal(read(live.path), light - dark)
        assert live.path.read_bytes() == later.path.read_bytes()


class Broken:
    """A run in a store that breaks off."""

    def documents(self):
        yield from run_at(-100, 1, plan_name="count", scan_id=99)[:2]
        raise OSError("the disk is gone")


def test_a_run_beside_it_that_breaks_off(night, tmp_path, read):
    """Only that run fails; darks around it are found."""
    light, darks = night((-600, 6, 0.1))

    report = export(
        [light, Broken(), darks[0]], tmp_path,
        DarkSubtract(run=Nearest(plan_name="dark")), on_error="report",
    )  # fmt: skip

    assert subtracted(report, read)[:2] == [6, 6]
    assert "the disk is gone" in str(report.failed[0].error)


def test_a_catalogue_that_can_not_be_searched(night, tmp_path):
    """Frames fail with the reason, live as well, and the plan goes on."""
    light, _ = night()
    step = DarkSubtract(run=Nearest(plan_name="dark"), missing="raw")

    with pytest.raises(SourceError, match=r"function can't be searched for Nearest"):
        export(light, tmp_path, step, catalog=lambda uid: None)
    with pytest.raises(SourceError, match="read more than once"):
        export(light, tmp_path, step, catalog=iter(light))
    report = export_live(light, NAME, tmp_path, corrections=[step])
    assert "give a catalogue" in str(report.failed[0].error)


def test_documents_are_not_changed(night, tmp_path):
    """S30: light and dark documents stay as they were."""
    light, darks = night((-600, 6, 0.1))
    before = pickle.dumps([light, darks])

    export(
        light, tmp_path, DarkSubtract(run=Nearest(plan_name="dark")), catalog=darks[0]
    )

    assert pickle.dumps([light, darks]) == before


def test_a_query_is_a_value():
    """It is frozen, compared and pickled by its content, and has a short repr."""
    query = Nearest({"sample.name": "Ni", "within": 1}, plan_name="dark", within=60)
    step = DarkSubtract(run=query)

    assert pickle.loads(pickle.dumps(query)) == query
    assert Nearest(a=1, b=2) == Nearest({"b": 2}, a=1)
    assert str(step) == (
        "DarkSubtract(run=Nearest({'sample.name': 'Ni', 'within': 1}, "
        "plan_name='dark', within=60))"
    )
    assert eval(repr(query)) == query  # noqa: S307 (our own)
    with pytest.raises(AttributeError):
        query.within = 5


@pytest.mark.parametrize(
    "arguments",
    [{}, {"within": 60}, {"a": 1, "within": -1}, {"a": 1, "within": "60"}],
)
def test_queries_that_can_not_work_are_refused(arguments):
    """Before the beam."""
    with pytest.raises(SettingsError):
        Nearest(**arguments)


def test_a_mapping_is_no_uid():
    """The error suggests Nearest."""
    with pytest.raises(SettingsError, match=r"Nearest\(\{'plan_name': 'dark'\}\)"):
        DarkSubtract(run={"plan_name": "dark"})


def test_the_query_stands_in_the_manifest(night, tmp_path):
    """The manifest holds the query and the dark that it found."""
    light, darks = night((-600, 6, 0.1))

    export(
        light, tmp_path, DarkSubtract(run=Nearest(plan_name="dark")), catalog=darks[0]
    )

    (path,) = (tmp_path / ".tiffin").iterdir()
    settings, first, _ = map(json.loads, path.read_text().splitlines())
    assert settings["settings"]["corrections"] == [
        "DarkSubtract(run=Nearest(plan_name='dark'))"
    ]
    assert first["used"][0]["run"] == uid_of(darks[0])
