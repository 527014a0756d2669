"""Disks that are full, slow or broken, at every call that an export makes of them.

A child process exports; what it asks of the system is answered by us (see
`faults/calls.py`): all goes on, but for one call, or all calls of one kind.
"""

import json
import os

import pytest

import tiffin
from tests.integration.faults.cases import FULL, WAYS, Case, product
from tests.integration.faults.harness import (
    FRAMES,
    NAME,
    Server,
    hidden,
    images,
    tiffs,
    write_documents,
)

OLD = b"an older export's"


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Return a file of the documents of one run."""
    return write_documents(tmp_path_factory.mktemp("run") / "run.jsonl", images())


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """Return what the files of an undisturbed export hold."""
    folder = tmp_path_factory.mktemp("whole")
    tiffin.export(source, NAME, directory=folder)
    return tiffs(folder)


def begin(way, folder, source):
    """Make what is there before the export of a case."""
    if way == "replace":
        (folder / "Ni").mkdir(parents=True)
        for n in range(1, FRAMES + 1):
            (folder / f"Ni/7_{n:03d}.tif").write_bytes(OLD)
    if way == "resume":
        tiffin.export(source, NAME, directory=folder)
        for n in (1, 20, 21):
            (folder / f"Ni/7_{n:03d}.tif").unlink()
        (folder / "Ni/7_040.tif").write_bytes(b"damage")


@pytest.fixture(scope="module")
def seen(server, source, tmp_path_factory):
    """Return how many calls of each kind an export makes undisturbed, by its way."""

    def count(name):
        way = WAYS[name]
        folder = tmp_path_factory.mktemp("seen") / "out"
        begin(name, folder, source)
        kinds = {*way.files, *way.manifest, *(rule["kind"] for rule in way.lacks)}
        told = server(
            source, folder, way.lacks, kinds=list(kinds), settings=way.settings
        )
        if "calls.watch" in (told["raised"] or ""):
            pytest.skip("this system lets no process answer another's calls")
        assert told["raised"] is None, told["raised"]
        assert len(told["records"]) == FRAMES
        # No call removes a temporary file unless it must.
        return {"unlink files": 1, "list files": 1, **told["seen"]}

    counts = {}

    def seen(way):
        if way not in counts:
            counts[way] = count(way)
        return counts[way]

    return seen


def check_ended(told):
    """It has come to an end by itself, and told of every frame."""
    assert told["ended"], "it hangs"
    assert told["raised"] is None, told["raised"]
    assert told["waited"]
    of_frames = [r for r in told["records"] if r["seq_num"] is not None]
    assert sorted(r["seq_num"] for r in of_frames) == list(range(1, FRAMES + 1))
    assert {r["status"] for r in of_frames} <= {"written", "skipped", "failed"}


def check_whole(folder, told, whole, *others):
    """Every file that has its name is the one of an undisturbed export."""
    found = tiffs(folder)
    for name, content in found.items():
        assert content in (whole[name], *others), f"{name} is not whole"
    for record in told["records"]:
        if record["status"] == "written":
            name = os.path.relpath(record["path"], folder)
            assert found[name] == whole[name]


def check_causes(told, code):
    """Every failure tells its cause, in words and as the system's number."""
    for record in told["records"]:
        if record["status"] == "failed":
            assert os.strerror(code) in record["error"], record
            assert record["errno"] == code, record


def unlisted(folder, told):
    """Return written files that the manifest does not list; check its lines."""
    listed = set()
    for path in folder.glob(".tiffin/*"):
        *lines, torn = path.read_text().split("\n")
        assert torn == ""
        listed |= {json.loads(line).get("path") for line in lines}
    written = [r["path"] for r in told["records"] if r["status"] == "written"]
    return {os.path.relpath(path, folder) for path in written} - listed


def check_sidecars(folder):
    """Every image has its sidecar, which was there first."""
    for path in folder.rglob("*.tif"):
        sidecar = path.with_name(f"{path.name}.metadata")
        assert f"seq_num = {int(path.stem[2:])}\n" in sidecar.read_text()


def check_gone_on_with(folder, source, whole, existing="resume", profile="plain"):
    """The next export makes the folder that of an undisturbed one, and no more."""
    report = tiffin.export(
        source,
        NAME,
        directory=folder,
        existing=existing,
        on_error="report",
        profile=profile,
    )

    assert report.ok, [str(record.error) for record in report.failed]
    assert tiffs(folder) == whole
    assert hidden(folder) == []
    found = tiffin.verify(folder)
    assert found.ok
    has_sidecars = profile == "gsas2"
    assert len(found.of("intact")) == FRAMES * (1 + has_sidecars)
    assert len(list(folder.rglob("*.metadata"))) == FRAMES * has_sidecars


SPOILT = [
    pytest.param(
        case,
        marks=() if is_quick else pytest.mark.slow,
        id="-".join(case).replace(", ", " "),
    )
    for case, is_quick in product()
]


def spoil(case, server, seen, source, tmp_path):
    """Export while a call is spoilt, once more where the fault met none of them.

    Two threads may make a few calls more, or fewer, than were counted: which of them
    makes a folder, and which finds it made, is told by `stat`.
    """
    way = WAYS[case.way]
    for attempt in range(5):
        folder = tmp_path / f"out{attempt}"
        begin(case.way, folder, source)
        told = server(source, folder, case.rules(seen(case.way)), settings=way.settings)
        if told["hit"][0]:
            break
    return folder, told


@pytest.mark.parametrize("case", SPOILT)
def test_a_spoilt_call(case, server, seen, source, whole, tmp_path):
    """S32, S44: whatever call fails, is cut short or is slow: nothing is partial,
    nothing hangs, and the next export writes what failed.
    """
    folder, told = spoil(case, server, seen, source, tmp_path)

    check_ended(told)
    assert told["hit"][0] or case.when == "last", "the fault met no call"
    check_whole(folder, told, whole, OLD, b"damage")
    failed = [r for r in told["records"] if r["status"] == "failed"]
    if case.code is None:
        assert failed == []
    else:
        check_causes(told, case.code)
        assert failed or not (case.must_fail and told["hit"][0])
    if case.when != "all":
        assert unlisted(folder, told) == set()
        assert len(failed) <= 1 or case.code in FULL or case.where == "manifest"
    elif unlisted(folder, told):
        assert "manifest" in "".join(record["error"] for record in failed)
    if case.way == "sidecar":
        check_sidecars(folder)
        check_gone_on_with(folder, source, whole, profile="gsas2")
        return
    again = "replace" if case.way == "replace" else "resume"
    check_gone_on_with(folder, source, whole, again)


@pytest.mark.parametrize("where", ["files", "manifest"])
def test_a_full_disk_is_waited_for(where, server, seen, source, whole, tmp_path):
    """`on_full="wait"`: frames are written and listed once there is room."""
    case = Case("plain", "write", where, "ENOSPC", "first")
    told = server(
        source, tmp_path, case.rules(seen("plain")), settings={"on_full": "wait"}
    )

    check_ended(told)
    assert told["hit"] == [1]
    assert [r["status"] for r in told["records"]] == ["written"] * FRAMES
    assert "the export waits for room" in "".join(told["said"])
    assert tiffs(tmp_path) == whole
    assert unlisted(tmp_path, told) == set()


LIVE = [
    Case("plain", "write", "files", "ENOSPC", "middle"),
    Case("plain", "write", "files", "EIO", "all"),
    Case("plain", "write", "files", "short", "all"),
    Case("plain", "link", "files", "EDQUOT", "first"),
    Case("plain", "mkdir", "files", "EACCES", "all"),
    Case("plain", "write", "files", "slow", "all"),
    Case("plain", "write", "manifest", "ENOSPC", "first"),
    Case("plain", "write", "manifest", "short, then ENOSPC", "all"),
    Case("plain", "write", "manifest", "EIO", "all"),
    Case("plain", "open", "manifest", "EACCES", "all"),
    Case("resume", "read", "manifest", "EIO", "first"),
    Case("run", "sync", "files", "EIO", "first"),
]


@pytest.mark.parametrize("case", LIVE, ids=lambda case: "-".join(case))
def test_a_spoilt_call_live(case, server, seen, source, whole, tmp_path):
    """S44: live, no fault reaches the caller, and `wait` and `close` return."""
    way, folder = WAYS[case.way], tmp_path / "out"
    begin(case.way, folder, source)

    told = server(
        source, folder, case.rules(seen(case.way)), settings=way.settings, live=True
    )

    check_ended(told)
    assert told["hit"][0], "the fault met no call"
    check_whole(folder, told, whole, b"damage")
    failed = [r for r in told["records"] if r["status"] == "failed"]
    if case.code is not None:
        check_causes(told, case.code)
        assert failed or not case.must_fail
    check_gone_on_with(folder, source, whole)
