"""Stacks on disks that are full, slow or broken, at every call that writes one."""

import errno
import os

import pytest
import tifffile

import tiffin
from tests.integration.faults.cases import ALWAYS, FAULTS, LINKED, OF_WRITES, UNNAMED
from tests.integration.faults.harness import (
    FRAMES,
    NAME,
    Server,
    hidden,
    images,
    tiffs,
    write_documents,
)

EACH = 10
STACKED = {"stack": EACH}

WAYS = {
    "plain": ([], {}, ("nameless", "write", "link", "close", "mkdir")),
    "unnamed": ([UNNAMED], {}, ("open", "write", "link", "unlink")),
    "unlinked": ([UNNAMED, LINKED], {}, ("open", "write", "rename")),
    "copied": ([LINKED], {}, ("open", "write", "rename", "chmod")),
    "replace": ([], {"existing": "replace"}, ("write", "link", "rename")),
    "ome": ([], {"profile": "ome", "checksum": "sha256"}, ("write", "read")),
    "safe": (
        [],
        {"fsync": "file", "mode": "640", "file_time": "event"},
        ("chmod", "date", "sync"),
    ),
}
"""What the file system lacks, settings, and the calls of each way of writing."""


def cases():
    """Give each fault of each call; the quick ones are one of each way."""
    for number, (way, (_, _, kinds)) in enumerate(WAYS.items()):
        for k, kind in enumerate(kinds):
            faults = [*FAULTS, *(OF_WRITES if kind == "write" else ())]
            for f, fault in enumerate(faults):
                for w, when in enumerate(("first", "middle", "all")):
                    quick = (k, f, w) == (number % len(kinds), number % 4, number % 3)
                    marks = () if quick else pytest.mark.slow
                    name = f"{way}-{kind}-{fault}-{when}".replace(", ", " ")
                    yield pytest.param(way, kind, fault, when, id=name, marks=marks)


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_documents(tmp_path_factory.mktemp("run") / "run.jsonl", images())


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """Return what the files of an undisturbed export hold, by its profile."""
    found = {}
    for profile in ("plain", "ome"):
        folder = tmp_path_factory.mktemp("whole")
        tiffin.export(source, NAME, directory=folder, profile=profile, **STACKED)
        found[profile] = tiffs(folder)
    return found


@pytest.fixture(scope="module")
def seen(server, source, tmp_path_factory):
    """Return how many calls of a kind an undisturbed export makes, by its way."""
    counts = {}

    def seen(way):
        if way not in counts:
            lacks, settings, kinds = WAYS[way]
            told = server(
                source,
                tmp_path_factory.mktemp("seen") / "out",
                lacks,
                kinds=[*kinds, *(rule["kind"] for rule in lacks)],
                settings={**STACKED, **settings},
            )
            if "calls.watch" in (told["raised"] or ""):
                pytest.skip("this system lets no process answer another's calls")
            assert told["raised"] is None, told["raised"]
            assert {r["status"] for r in told["records"]} == {"written"}
            counts[way] = {"unlink files": 1, **told["seen"]}
        return counts[way]

    return seen


def rule_of(kind, fault, when, seen):
    count = seen[f"{kind} files"]
    rule = {
        "kind": kind, "where": "files", **{**FAULTS, **OF_WRITES}[fault],
        "first": (count + 1) // 2 if when == "middle" else 1,
        "times": ALWAYS if when == "all" else 1,
    }  # fmt: skip
    if fault.startswith("short, "):
        rule["times"] = max(2, rule["times"])
    return rule


def check(folder, told, whole, source, settings):
    """Nothing is partial, all is told, and a resume completes what failed."""
    assert told["ended"], "it hangs"
    assert told["raised"] is None, told["raised"]
    assert len(told["records"]) == FRAMES
    found = tiffs(folder)
    for name, content in found.items():
        assert content == whole[name], f"{name} is not whole"
    by_file = {}
    for record in told["records"]:
        by_file.setdefault(record["path"], set()).add(record["status"])
        if record["status"] == "written":
            assert os.path.relpath(record["path"], folder) in found
    # A stack is written, or fails, as a whole.
    assert all(len(statuses) == 1 for statuses in by_file.values()), by_file
    report = tiffin.export(
        source, NAME, directory=folder, on_error="report",
        **{**STACKED, **settings, "existing": "resume"},
    )  # fmt: skip
    assert report.ok, [str(record.error) for record in report.failed]
    assert tiffs(folder) == whole
    assert hidden(folder) == []
    assert tiffin.verify(folder).ok


@pytest.mark.parametrize(("way", "kind", "fault", "when"), [*cases()])
def test_a_spoilt_call_of_a_stack(
    way, kind, fault, when, server, seen, source, whole, tmp_path
):
    """Whatever call fails: no partial stack, no hang, and a resume completes it."""
    lacks, settings, _ = WAYS[way]
    rules = [rule_of(kind, fault, when, seen(way)), *lacks]
    folder = tmp_path / "out"

    told = server(source, folder, rules, settings={**STACKED, **settings})

    resumed = {k: v for k, v in settings.items() if k != "mode"}
    check(folder, told, whole[settings.get("profile", "plain")], source, resumed)


@pytest.mark.parametrize(
    ("kind", "when"),
    [
        ("link", "first"),
        pytest.param("nameless", "first", marks=pytest.mark.slow),
        pytest.param("write", "first", marks=pytest.mark.slow),
        pytest.param("write", "middle", marks=pytest.mark.slow),
    ],
)
def test_a_full_disk_is_waited_for(kind, when, server, seen, source, whole, tmp_path):
    """`on_full="wait"`: the same stacks, once there is room."""
    rule = rule_of(kind, "ENOSPC", when, seen("plain"))
    told = server(source, tmp_path, [rule], settings={**STACKED, "on_full": "wait"})

    assert told["ended"]
    assert {r["status"] for r in told["records"]} == {"written"}
    assert "waits for room" in "".join(told["said"])
    assert tiffs(tmp_path) == whole["plain"]
    assert tiffin.verify(tmp_path).ok


@pytest.mark.parametrize(
    ("kind", "fault"),
    [
        ("write", "ENOSPC"),
        pytest.param("write", "EIO", marks=pytest.mark.slow),
        pytest.param("write", "short", marks=pytest.mark.slow),
        pytest.param("link", "EIO", marks=pytest.mark.slow),
    ],
)
def test_a_spoilt_call_live(kind, fault, server, seen, source, whole, tmp_path):
    """Live, no fault reaches the caller, and `wait` and `close` return."""
    rule = rule_of(kind, fault, "middle", seen("plain"))
    told = server(source, tmp_path, [rule], settings=STACKED, live=True)

    check(tmp_path, told, whole["plain"], source, {})


def test_a_cause_is_told(server, seen, source, tmp_path):
    """Each frame of a stack that failed has the system's number and words."""
    rule = rule_of("write", "EIO", "first", seen("plain"))
    told = server(source, tmp_path, [rule], settings=STACKED)

    failed = [r for r in told["records"] if r["status"] == "failed"]
    assert len(failed) == EACH
    assert {r["errno"] for r in failed} == {errno.EIO}
    assert all(os.strerror(errno.EIO) in r["error"] for r in failed)
    for path in tmp_path.rglob("*.tif"):
        assert len(tifffile.imread(path)) == EACH
