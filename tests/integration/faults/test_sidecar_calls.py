"""Sidecars on disks that are full or broken cost no image, and none is partial."""

import errno
import json

import pytest

import tiffin
from tests.integration.faults.harness import (
    FRAMES,
    NAME,
    Server,
    images,
    write_documents,
)

SETTINGS = {"sidecars": ["run.json", "frames.csv"], "workers": 1}
KINDS = ["nameless", "write", "link"]


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.close()


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_documents(tmp_path_factory.mktemp("run") / "run.jsonl", images())


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.parent.name != ".tiffin"
    }


@pytest.fixture(scope="module")
def whole(source, tmp_path_factory):
    """Return the files of an undisturbed export."""
    folder = tmp_path_factory.mktemp("whole")
    tiffin.export(source, NAME, directory=folder, **SETTINGS)
    return contents(folder)


@pytest.fixture(scope="module")
def calls(server, source, tmp_path_factory):
    """Return how many calls of each kind the images alone take."""
    folder = tmp_path_factory.mktemp("seen") / "out"
    told = server(source, folder, [], kinds=KINDS, settings={"workers": 1})
    if "calls.watch" in (told["raised"] or ""):
        pytest.skip("this system lets no process answer another's calls")
    return told["seen"]


@pytest.mark.slow
@pytest.mark.parametrize("live", [False, True], ids=["replayed", "live"])
@pytest.mark.parametrize("on_full", ["stop", "wait"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
@pytest.mark.parametrize(
    ("kind", "does"), [*((kind, "fail") for kind in KINDS), ("write", "part then fail")]
)
def test_a_spoilt_call(
    kind, does, code, on_full, live, calls, server, source, whole, tmp_path
):
    """The images are there, the report has the failure, and a resume completes."""
    folder, waits = tmp_path / "out", on_full == "wait" and code == errno.ENOSPC
    rule = {"kind": kind, "where": "files", "does": does, "errno": code}
    # With `wait`, the first attempt fails, and the next one finds room.
    rule |= {"first": calls[f"{kind} files"] + 1, "times": 2 if does != "fail" else 1}
    settings = {**SETTINGS, "on_full": on_full}
    told = server(source, folder, [rule], settings=settings, live=live)

    assert told["ended"], "it hangs"
    assert told["raised"] is None
    assert told["hit"][0]
    frames = [r for r in told["records"] if r["seq_num"] is not None]
    assert [r["status"] for r in frames] == ["written"] * FRAMES
    failed = [r for r in told["records"] if r["status"] == "failed"]
    assert [r["errno"] for r in failed] == ([] if waits else [code])
    found = contents(folder)
    assert found == {name: whole[name] for name in found}
    assert len(found) == FRAMES + 2 - len(failed)

    report = tiffin.export(
        source, NAME, directory=folder, existing="resume", **SETTINGS
    )
    assert report.ok
    assert contents(folder) == whole
    assert len(tiffin.verify(folder).of("intact")) == FRAMES + 2


@pytest.mark.slow
def test_a_manifest_that_cannot_be_written(server, source, whole, tmp_path):
    """The sidecars are there all the same; a resume lists them."""
    folder = tmp_path / "out"
    rule = {"kind": "write", "where": "manifest", "errno": errno.EIO, "times": 10**9}

    told = server(source, folder, [rule], settings=SETTINGS)

    assert told["raised"] is None
    assert contents(folder) == whole
    report = tiffin.export(
        source, NAME, directory=folder, existing="resume", **SETTINGS
    )
    assert report.ok
    (manifest,) = folder.glob(".tiffin/*.jsonl")
    lines = [json.loads(line) for line in manifest.read_text("utf-8").splitlines()]
    assert [line["kind"] for line in lines][-2:] == ["sidecar", "sidecar"]
