"""A manifest is input, not truth: anybody may have written it."""

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import socket
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import tiffin
from tests.shell import tiffin as shell
from tiffin.cli import app
from tiffin.errors import SourceError, TiffinError, VerifyError
from tiffin.testing import run_of
from tiffin.verify import checksums, compare

NAME = "{event.seq_num}.tif"
TIMEOUT = 60


def exported(root):
    images = np.arange(3 * 6 * 9, dtype="u2").reshape(3, 6, 9)
    run = run_of({"img": images}, scan_id=7)
    tiffin.export(run, NAME, directory=root)
    return run, root / ".tiffin" / f"{run[0][1]['uid']}.jsonl"


def line(path, data=b"x", **other):
    """Return the line of a file that is written, as an attacker would."""
    told = {
        "kind": "frame",
        "status": "written",
        "path": path,
        "bytes": len(data),
        "checksum": f"crc32:{zlib.crc32(data):08x}",
    }
    return json.dumps(told | other) + "\n"


def manifest_of(root, *lines):
    folder = root / ".tiffin"
    folder.mkdir(exist_ok=True, parents=True)
    path = folder / "r.jsonl"
    path.write_bytes(b"".join(t if isinstance(t, bytes) else t.encode() for t in lines))
    return path


@pytest.mark.parametrize("path", ["/SECRET", "../secret", "a/../../secret", "./a", ""])
def test_a_path_that_leaves_the_folder_is_refused(tmp_path, path):
    """The message shows line and manifest, and neither bytes nor size of the file
    outside.
    """
    root, secret = tmp_path / "root", tmp_path / "secret"
    secret.write_bytes(b"secret")
    (root / "a").mkdir(parents=True)
    (root / "b.tif").write_bytes(b"x")
    outside = line(path.replace("/SECRET", str(secret)), b"secret")
    manifest = manifest_of(root, outside, line("b.tif"))

    found = tiffin.verify(root)

    assert not found.ok
    (refused,) = found.of("refused")
    assert refused.path == manifest
    assert refused.reason.startswith("line 1: its path")
    assert [f.path.name for f in found.of("intact")] == ["b.tif"]
    sums = checksums(root)
    assert next(sums) == (hashlib.sha256(b"x").hexdigest(), "b.tif")
    with pytest.raises(VerifyError, match="line 1: its path"):
        next(sums)


BAD_LINES = {
    "no JSON": b"\xff\x00{\n",
    "no mapping": "[1]\n",
    "a number": "7\n",
    "deep": "[" * 100_000 + "]" * 100_000 + "\n",
    "deep inside": '{"kind": "frame", "x": ' + '{"a":' * 9000 + "0" + "}" * 9001 + "\n",
    "NUL": line("a\0b"),
    "half a surrogate": line("a\ud800b"),
    "path is a list": line(["a"]),
    "no path": json.dumps({"kind": "frame", "status": "written", "bytes": 1}) + "\n",
    "status is a number": line("a", status=1),
    "bytes is text": line("a", bytes="1"),
    "bytes is true": line("a", bytes=True),
    "bytes is infinite": line("a", bytes=float("inf")),
    "bytes is huge": line("a", bytes=10**4000),
    "more digits than Python reads": b'{"kind":"frame","bytes":' + b"9" * 9999 + b"}\n",
    "bytes is negative": line("a", bytes=-1),
    "checksum is a list": line("a", checksum=[]),
    "sidecar is text": line("a", sidecar="a.metadata"),
    "sidecar has no path": line("a", sidecar={"bytes": 1, "checksum": ""}),
    "sidecar lies outside": line("a", sidecar={"path": "../a", "bytes": 1}),
    "error is a mapping": line("a", status="failed", error={"a": 1}),
    "settings is a list": '{"kind": "settings", "id": "a", "settings": []}\n',
    "id is a list": '{"kind": "settings", "id": [], "settings": {}}\n',
}


@pytest.mark.parametrize("bad", BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_told_and_the_others_count(tmp_path, bad):
    """Whatever a line holds, its number is reported and verify goes on."""
    (tmp_path / "b.tif").write_bytes(b"x")
    manifest_of(tmp_path, line("b.tif"), bad, line("c.tif"))

    found = tiffin.verify(tmp_path)

    assert [f.reason[:7] for f in found.of("refused")] == ["line 2:"]
    assert len(found.of("intact")) == len(found.of("missing")) == 1
    assert not found.ok


def test_a_line_of_many_megabytes_is_refused(tmp_path):
    """It is not read into memory, and the next line counts."""
    (tmp_path / "b.tif").write_bytes(b"x")
    manifest_of(tmp_path, b"x" * 9_000_000 + b"\n", line("b.tif"))

    found = tiffin.verify(tmp_path)

    assert [f.reason for f in found.of("refused")] == [
        "line 1: it has more than 4194304 bytes"
    ]
    assert len(found.of("intact")) == 1


def test_kinds_of_lines_of_a_later_tiffin_are_left_out(tmp_path):
    """So is an incomplete line of an export that was killed."""
    (tmp_path / "b.tif").write_bytes(b"x")
    manifest_of(tmp_path, line("b.tif"), '{"kind": "new"}\n', '{"kind": "fra')

    assert tiffin.verify(tmp_path).ok


def device(path):
    path.symlink_to("/dev/zero")


def bound(path):
    here = Path.cwd()
    os.chdir(path.parent)  # the address of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(path.name)
    finally:
        os.chdir(here)


IRREGULAR = [os.mkfifo, os.mkdir, device, bound]


@pytest.mark.parametrize("make", IRREGULAR)
def test_what_is_no_regular_file_is_not_read(tmp_path, make):
    """A FIFO, folder, device or socket under a listed name does not hang."""
    make(tmp_path / "a.tif")
    manifest_of(tmp_path, line("a.tif", b""))

    (finding,) = tiffin.verify(tmp_path).of("unreadable")

    assert "not a regular file" in finding.reason
    with pytest.raises(VerifyError, match="not a regular file"):
        list(checksums(tmp_path))


def test_links_are_followed_only_where_that_is_asked(tmp_path):
    """A listed file, or a folder on its path, may have become a link."""
    root, outside = tmp_path / "root", tmp_path / "outside"
    outside.mkdir()
    (outside / "a.tif").write_bytes(b"x")
    root.mkdir()
    (root / "folder").symlink_to(outside)
    (root / "a.tif").symlink_to(outside / "a.tif")
    manifest_of(root, line("folder/a.tif"), line("a.tif"))

    assert len(tiffin.verify(root).of("unreadable")) == 2
    assert tiffin.verify(root, follow_links=True).ok
    assert CliRunner().invoke(app, ["verify", str(root)]).exit_code == 1
    asked = ["verify", "--follow-links", str(root)]
    assert CliRunner().invoke(app, asked).exit_code == 0
    asked = ["checksums", "--follow-links", str(root)]
    assert len(CliRunner().invoke(app, asked).stdout.splitlines()) == 2
    with pytest.raises(VerifyError, match="unreadable"):
        list(checksums(root))


@pytest.mark.parametrize("make", IRREGULAR)
def test_a_manifest_that_is_no_file_is_told(tmp_path, make):
    """Verify reports it, a resume is refused, another export warns that it can't
    list its files.
    """
    run, manifest = exported(tmp_path)
    manifest.unlink()
    make(manifest)

    (unreadable,) = tiffin.verify(tmp_path).of("unreadable")
    assert unreadable.path == manifest
    for existing in ("resume", "replace"):
        asked = {"directory": tmp_path, "existing": existing, "on_error": "report"}
        if make is device and existing == "replace":
            continue  # a link gives way
        assert not tiffin.export(run, NAME, **asked).ok


@pytest.mark.parametrize("what", [".tiffin", "the manifest"])
def test_a_manifest_is_never_opened_through_a_link(tmp_path, what, caplog):
    """Neither to read nor to write, also with follow_links=True; the link is
    replaced.
    """
    root, outside = tmp_path / "root", tmp_path / "outside"
    run, manifest = exported(root)
    outside.mkdir()
    if what == ".tiffin":
        linked = manifest.parent
        linked.rename(outside / "kept")
        linked.symlink_to(outside / "kept")
    else:
        linked = manifest
        linked.rename(outside / "kept")
        linked.symlink_to(outside / "kept")
    before = {p: p.read_bytes() for p in outside.rglob("*") if p.is_file()}

    asked = {"directory": root, "follow_links": True, "on_error": "report"}
    resumed = tiffin.export(run, NAME, existing="resume", **asked)
    report = tiffin.export(run, NAME, existing="replace", **asked)

    assert len(resumed.failed) == 3
    assert "link" in str(resumed.failed[0].error)
    assert {p: p.read_bytes() for p in outside.rglob("*") if p.is_file()} == before
    assert report.ok
    assert linked.with_name(linked.name + ".link").is_symlink()
    assert "never written through a link" in caplog.text
    assert tiffin.verify(root).ok


def test_a_manifest_is_never_written_through_a_hard_link(tmp_path):
    """The other name of a manifest may be somebody else's file."""
    root, victim = tmp_path / "out", tmp_path / "victim"
    run, manifest = exported(root)
    victim.write_bytes(b"no line of a manifest")
    manifest.unlink()
    os.link(victim, manifest)

    report = tiffin.export(
        run, NAME, directory=root, existing="replace", on_error="report"
    )

    assert victim.read_bytes() == b"no line of a manifest"
    assert not report.ok
    assert "hard link" in str(report.failed[0].error)


def test_a_folder_of_manifests_that_is_a_link_is_not_read(tmp_path):
    """Verify reports it."""
    exported(tmp_path / "other")
    root = tmp_path / "root"
    root.mkdir()
    (root / ".tiffin").symlink_to(tmp_path / "other" / ".tiffin")

    with pytest.raises(SourceError, match="is a link"):
        tiffin.verify(root)


# ---- resume


def damaged(root):
    path = root / "2.tif"
    path.write_bytes(b"\0" * path.stat().st_size)
    return path


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("crc32:", "crc33:"),
        ("crc32:", ""),
        ("crc32:", "sha256:"),
        ('"checksum"', '"chequesum"'),
        ('"crc32:', '"none:'),
        ('"bytes":', '"bytes":1e'),
        ('"bytes":', '"bytes":-'),
        ('"kind":"frame"', '"kind":["frame"]'),
        ('"path":"', '"path":"./'),
        ('"status":"written"', '"status":null'),
        ('{"kind":"frame"', '\xff{"kind":"frame"'),
        ('"settings"', '"settingz"'),
    ],
)
def test_a_resume_never_vouches_for_what_it_can_not_check(tmp_path, old, new):
    """B8: after an unknown checksum or a bad line, the file itself is checked and
    repaired.
    """
    run, manifest = exported(tmp_path)
    good = (tmp_path / "2.tif").read_bytes()
    path = damaged(tmp_path)
    (tmp_path / "3.tif").unlink()
    manifest.write_bytes(manifest.read_bytes().replace(old.encode(), new.encode()))

    report = tiffin.export(
        run, NAME, directory=tmp_path, existing="resume", on_error="report"
    )

    assert len(report.records) == 3
    assert not report.planned
    assert (tmp_path / "3.tif").exists()
    assert path.read_bytes() == good or not report.ok


@pytest.mark.parametrize("how", ["its settings are unknown", "others' settings"])
def test_a_resume_takes_no_file_of_other_settings_for_its_own(tmp_path, how):
    """A whole file may belong to another export: the frame fails with that reason."""
    run, manifest = exported(tmp_path)
    if how == "others' settings":
        cast = {"dtype": "float32", "fields": "img"}
        tiffin.export(run, NAME, directory=tmp_path, existing="replace", **cast)
        (first, *_), second = splits(manifest)
        manifest.write_text("".join([first, *second]))
    else:
        text = manifest.read_text()
        manifest.write_text(text.split("\n", 1)[1])

    report = tiffin.export(
        run, NAME, directory=tmp_path, existing="resume", on_error="report"
    )

    if how == "others' settings":
        assert len(report.failed) == 3
        assert "lists with these settings" in str(report.failed[0].error)
    else:  # byte for byte the same
        assert len(report.skipped) == 3


def splits(manifest):
    """Return the lines of two exports."""
    lines = manifest.read_text().splitlines(keepends=True)
    second = [n for n, text in enumerate(lines) if '"kind":"settings"' in text][1]
    return lines[:second], lines[second:]


def test_an_unknown_checksum_is_written_again(tmp_path):
    """B8: and the damaged file is replaced."""
    run, manifest = exported(tmp_path)
    good = (tmp_path / "2.tif").read_bytes()
    path = damaged(tmp_path)
    manifest.write_text(manifest.read_text().replace("crc32:", "crc33:"))

    assert len(tiffin.verify(tmp_path).of("damaged")) == 3
    report = tiffin.export(run, NAME, directory=tmp_path, existing="resume")

    assert path.read_bytes() == good
    assert (len(report.written), len(report.skipped)) == (1, 2)
    assert tiffin.verify(tmp_path).ok


def test_megabytes_of_settings_are_told_in_short(tmp_path):
    """Long settings of a manifest are shortened in messages."""
    run, manifest = exported(tmp_path)
    manifest.write_text(manifest.read_text().replace(NAME, "x" * 1_000_000, 1))

    with pytest.raises(TiffinError) as refused:
        tiffin.export(run, NAME, directory=tmp_path, existing="resume")
    assert len(str(refused.value)) < 2000
    with pytest.raises(VerifyError) as refused:
        compare(tmp_path, run)
    assert len(str(refused.value)) < 2000


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("template", 7),
        ("template", "../{event.seq_num}.tif"),
        ("template", "/etc/{event.seq_num}.tif"),
        ("template", ".tiffin/{event.seq_num}.tif"),
        ("fields", {"a": 1}),
        ("streams", [[["x"]]]),
        ("corrections", None),
        ("corrections", [1]),
        ("dtype", "(2,"),
        ("dtype", {"names": 3}),
        ("compression", "no such"),
        ("timezone", "../../etc/passwd"),
        ("name_policy", []),
        ("replacements", {"a": 1}),
        ("colour", "x"),
    ],
)
def test_settings_of_another_type_are_refused(tmp_path, key, value):
    """Comparing accepts only settings that an export would accept."""
    run, manifest = exported(tmp_path)
    head, *rest = manifest.read_text().splitlines(keepends=True)
    told = json.loads(head)
    told["settings"][key] = value
    manifest.write_text(json.dumps(told) + "\n" + "".join(rest))

    with pytest.raises(TiffinError):
        compare(tmp_path, run)


def test_a_manifest_without_settings_is_refused_by_compare(tmp_path):
    """The error is no IndexError."""
    run, _ = exported(tmp_path / "a")
    manifest_of(tmp_path / "b", line("x"))

    with pytest.raises(VerifyError, match="no manifest of"):
        compare(tmp_path / "b", run)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-1, 2**70),
    st.floats(),
    st.text(st.characters(), max_size=9),
    st.sampled_from(["../secret", "l", "d/secret", "/dev/zero", "p", "1.tif", "none:"]),
    st.lists(st.lists(st.none(), max_size=1), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)
CHANGES = st.tuples(st.integers(0, 3), st.booleans(), st.integers(0, 20), VALUES)
FOLDERS = itertools.count()


@given(changes=st.lists(CHANGES, min_size=1, max_size=4), junk=st.binary(max_size=40))
@settings(
    max_examples=60, deadline=None, suppress_health_check=[*HealthCheck], database=None
)
def test_whatever_a_manifest_says_there_is_an_answer(tmp_path, changes, junk):
    """`fuzz/manifest.py` in short: only errors of ours, and no damaged file called
    whole.
    """
    root = tmp_path / str(next(FOLDERS)) / "root"
    run, manifest = exported(root)
    (root.parent / "secret").write_bytes(b"x")
    (root / "l").symlink_to("../secret")
    (root / "d").symlink_to("..")
    os.mkfifo(root / "p")
    good = (root / "2.tif").read_bytes()
    damaged(root)
    lines = [json.loads(text) for text in manifest.read_text().splitlines()]
    for number, inner, key, value in changes:
        line = lines[number]
        if inner and isinstance(line.get("settings"), dict):
            line = line["settings"]
        if line:  # an earlier change may have emptied it
            line[[*line][key % len(line)]] = value
    text = "".join(json.dumps(line) + "\n" for line in lines)
    manifest.write_bytes(text.encode() + junk)

    found = tiffin.verify(root)
    for look in (lambda: list(checksums(root)), lambda: compare(root, run)):
        with contextlib.suppress(TiffinError):
            look()
    report = tiffin.export(
        run, NAME, directory=root, existing="resume", on_error="report"
    )

    for finding in found.of("intact"):
        assert finding.path.resolve().is_relative_to(root.resolve())
    assert not report.planned
    assert len(report.written) + len(report.skipped) + len(report.failed) == 3
    assert (root / "2.tif").read_bytes() == good or not report.ok


# ---- what is printed


ODD = ["a\\b", "a\nb", "a\rb", "\\", "a\\nb", "ü.tif", "a\x1b[2Jb", " a ", "*a"]


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="needs GNU coreutils")
def test_checksums_are_what_sha256sum_reads(tmp_path):
    """Names with a backslash, newline or CR are escaped as GNU does."""
    for name in ODD:
        (tmp_path / name).write_bytes(b"x")
    manifest_of(tmp_path, *map(line, ODD))
    told = shell("checksums", tmp_path)
    assert told.returncode == 0

    of_gnu = subprocess.run(
        ["sha256sum", "--", *ODD], cwd=tmp_path, capture_output=True, check=True
    )
    checked = subprocess.run(
        ["sha256sum", "-c", "--strict"],
        input=os.fsencode(told.stdout),
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )

    assert os.fsencode(told.stdout) == of_gnu.stdout
    assert checked.returncode == 0, checked


def test_control_characters_are_escaped_in_what_is_printed(tmp_path):
    """Names, reasons and errors can neither forge lines nor move the cursor."""
    evil = "a\x1b]0;owned\x07\nwhole      b\u202e\x9b"
    (tmp_path / evil).write_bytes(b"x")
    manifest_of(
        tmp_path,
        line("x.tif"),
        line("f.tif", status="failed", error=evil),
        line(evil, checksum="\x1b[2J:1"),
        line("../" + evil),
    )

    told = shell("verify", tmp_path)
    sums = shell("checksums", tmp_path)

    assert told.returncode == sums.returncode == 1
    for text in (told.stdout + told.stderr, sums.stdout + sums.stderr):
        assert all(c == "\n" or c.isprintable() for c in text), repr(text)
    assert len(told.stdout.splitlines()) == 4
    assert "\\x1b]0;owned" in told.stdout


@pytest.mark.parametrize("command", ["names", "export"])
def test_control_characters_of_documents_are_escaped_too(tmp_path, command):
    """Metadata appears in error messages and logs, and folders may have any name."""
    run = run_of({"img": np.ones((1, 3, 4), "u2")}, scan_id=7, sample="x")
    text = "".join(json.dumps([name, doc], default=_plain) + "\n" for name, doc in run)
    source = tmp_path / "run.jsonl"
    source.write_text(text.replace("img", r"i\u001b[2Jmg"))
    root = tmp_path / "a\x1b[2J\nb"
    (root / "1.tif").mkdir(parents=True)

    told = shell(command, source, "-t", "1.tif", "-d", root)

    said = told.stdout + told.stderr
    assert told.returncode == 1
    assert "\\x1b[2J" in said
    assert all(c == "\n" or c.isprintable() for c in said), repr(said)


def _plain(value):
    return value.tolist()
