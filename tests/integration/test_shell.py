"""From the shell, as a user types it."""

import hashlib
import itertools
import os
import pty
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
import tifffile
from bluesky.plans import count

from bench.soak_parts import free_port
from tests.documents import write_jsonl
from tests.shell import tiffin
from tests.stores import LIBRARIES_WARN, tiled_writer
from tiffin.testing import run_of

TIFFIN = [sys.executable, "-m", "tiffin"]
EXAMPLES = Path(__file__).parents[2] / "examples"
pytestmark = LIBRARIES_WARN

NAME = "{start.scan_id}_{event.seq_num}.tif"


@pytest.fixture
def documents(tmp_path):
    images = np.arange(3 * 54, dtype="u2").reshape(3, 6, 9)
    return write_jsonl(run_of({"img": images}, scan_id=7), tmp_path / "run.jsonl")


def test_a_file_of_documents_is_exported(documents, tmp_path, names_in):
    """Exit status 0, and a summary in one line."""
    told = tiffin(
        "export", documents, "--template", NAME, "--directory", tmp_path / "out"
    )

    assert told.returncode == 0, told.stderr
    assert told.stdout == ""
    assert f"3 written, 0 skipped, 0 failed in {tmp_path / 'out'} (" in told.stderr
    assert names_in(tmp_path / "out") == ["7_1.tif", "7_2.tif", "7_3.tif"]


def test_a_failure_gives_status_1_and_its_reason(documents, tmp_path):
    """Exit status 1 if some failed; each cause is printed once."""
    tiffin("export", documents, "-t", NAME, "-d", tmp_path / "out")
    told = tiffin("export", documents, "-t", NAME, "-d", tmp_path / "out")

    assert told.returncode == 1
    assert told.stderr.count("there is already a file") == 1
    assert "0 written, 0 skipped, 3 failed" in told.stderr


def test_advice_is_in_the_words_of_the_shell(documents, tmp_path):
    """Messages name options, not Python keywords."""
    tiffin("export", documents, "-t", NAME, "-d", tmp_path / "out")
    exists = tiffin("export", documents, "-t", NAME, "-d", tmp_path / "out")
    wrong = tiffin("export", documents, "-t", NAME, "--dtype", "int64")
    listed = tiffin("names", documents, "-t", NAME, "-s", "dark", "-f", "img")

    assert "--existing skip leaves it, --existing replace" in exists.stderr
    assert "--dtype must be one of uint8, uint16" in wrong.stderr
    assert "ask for --stream primary" in listed.stdout
    for told in (exists, wrong, listed):
        assert "existing=" not in told.stderr
        assert "dtype=" not in told.stderr
        assert "streams=" not in told.stderr + told.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["export"], "Missing argument"),
        (["export", "no.jsonl", "-t", NAME], "neither a file nor an address"),
        (["export", "{documents}", "-t", "{strat.uid}.tif"], "did you mean 'start'"),
        (
            ["export", "{documents}", "-t", NAME, "--existing", "clobber"],
            "--existing must be one of 'error', 'skip'",
        ),
        (
            ["export", "{documents}", "-t", NAME, "--dtype", "int64"],
            "must be one of uint8, uint16",
        ),
        (["export", "{documents}", "-t", NAME, "--query", "x"], "must be KEY=VALUE"),
        (["export", "{documents}", "-t", NAME, "--since", "noon"], "must be a time"),
        (["export", "{documents}", "-t", NAME, "--limit", "0"], "from 1"),
        (
            ["export", "{documents}", "-t", NAME, "--memory", "-1"],
            "--memory must be a whole number of at least 1, not -1\n",
        ),
        (
            ["export", "{documents}", "-t", NAME, "--level", "99"],
            "--level can't be 99: compression=None has no levels",
        ),
        (["export", "{documents}", "-t", NAME, "--root-map", "x"], "must be OLD=NEW"),
        (["exprot"], "exprot"),
    ],
)
def test_wrong_usage_gives_status_2(documents, tmp_path, arguments, says):
    """Exit status 2, with what was got and what is allowed."""
    filled = [a.replace("{documents}", str(documents)) for a in arguments]

    told = tiffin(*filled, cwd=tmp_path)

    assert told.returncode == 2
    assert says in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.slow
def test_tiled_serve_with_an_api_key(
    RE, img, images, tmp_path, read, names_in, monkeypatch
):
    """A real `tiled serve` process; without the key it is an error."""
    port = free_port()
    serve = [
        "serve",
        "catalog",
        "--temp",
        "--host",
        "127.0.0.1",
        "--api-key",
        "secret",
        "--port",
    ]
    command = [Path(sys.executable).with_name("tiled"), *serve, str(port)]
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=tmp_path
    ) as server:
        try:
            client = connected(address)
            RE.subscribe(tiled_writer(client))
            RE(count([img], 2))
            client.context.close()
            arguments = ("export", address, "-t", NAME, "-d", tmp_path / "out")

            refused = tiffin(*arguments)
            monkeypatch.setenv("TILED_API_KEY", "secret")
            told = tiffin(*arguments, "--query", "plan_name=count")
        finally:
            server.terminate()

    assert refused.returncode == 1
    assert "--api-key, or TILED_API_KEY" in refused.stderr
    assert "Traceback" not in refused.stderr
    assert told.returncode == 0, told.stderr
    assert names_in(tmp_path / "out") == ["1_1.tif", "1_2.tif"]
    for number, image in enumerate(images.taken(2), 1):
        found = read(tmp_path / "out" / f"1_{number}.tif")
        np.testing.assert_array_equal(found, image)
        assert found.dtype == image.dtype


def connected(address):
    """Wait for a server to answer, and give a client of it."""
    from tiled.client import from_uri

    deadline = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection(address.removeprefix("http://").split(":")):
                break
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.2)
    return from_uri(address, api_key="secret")


def test_a_server_that_does_not_answer_is_an_error(tmp_path):
    """No traceback, no hang."""
    told = tiffin("export", "http://127.0.0.1:9", "-t", NAME, "-d", tmp_path)

    assert told.returncode == 1
    assert "no Tiled server answers" in told.stderr
    assert "Traceback" not in told.stderr


def test_the_shell_needs_no_docstrings():
    """Python -OO leaves them out, so the help of a command is shorter then."""
    command = [sys.executable, "-OO", "-m", "tiffin", "names", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert "--template" in done.stdout
    assert done.returncode == 0


@pytest.mark.parametrize("options", [(), ("--run", "-1")])
def test_a_file_that_breaks_off_gives_status_1(documents, tmp_path, names_in, options):
    """Complete documents are exported, and the reason is printed once."""
    documents.write_text(documents.read_text()[:-400])

    told = tiffin("export", documents, *options, "-t", NAME, "-d", tmp_path / "out")

    assert told.returncode == 1
    assert told.stderr.count("breaks off in line") == 1
    assert "2 written, 0 skipped, 1 failed" in told.stderr
    assert names_in(tmp_path / "out") == ["7_1.tif", "7_2.tif"]


def test_a_last_line_that_is_no_frame_is_said_once(documents, tmp_path):
    """After the stop document nothing of the run can be missing."""
    with documents.open("a") as file:
        file.write('{"name": "start", "doc": {"ui')

    told = tiffin("export", documents, "-r", "7", "-t", NAME, "-d", tmp_path / "out")

    assert told.returncode == 0
    assert told.stderr.count("breaks off in line 7") == 1


def test_nonsense_is_said_where_no_run_can_be_chosen(documents, tmp_path):
    """The error says why there is no run."""
    documents.write_text("nonsense\n")

    told = tiffin("export", documents, "-r", "-1", "-t", NAME, "-d", tmp_path / "out")

    assert told.returncode == 1
    assert "line 1: not JSON" in told.stderr


def test_a_template_is_shown_with_what_a_broken_file_holds(documents):
    """The first image of the file is the example."""
    documents.write_text(documents.read_text()[:-400])

    told = tiffin("template", NAME, "--example", documents)

    assert told.returncode == 0
    assert "example   7_1.tif" in told.stdout


@pytest.mark.parametrize(
    ("options", "status"), [(["--run", "-1"], 0), (["--query", "scan_id=8"], 1)]
)
def test_runs_of_a_file_are_chosen(documents, tmp_path, options, status):
    """As on a server; choosing nothing is no success."""
    told = tiffin("export", documents, *options, "-t", NAME, "-d", tmp_path / "out")

    assert told.returncode == status


def test_a_dry_run_prints_the_names(documents, tmp_path):
    """S36: on stdout, one a line."""
    told = tiffin("export", documents, "-t", NAME, "-d", tmp_path / "out", "--dry-run")

    assert told.returncode == 0
    assert told.stdout.splitlines() == [f"{tmp_path}/out/7_{n}.tif" for n in (1, 2, 3)]
    assert not (tmp_path / "out").exists()


def test_a_tiled_server_is_exported(RE, img, tiled, tiled_server, tmp_path, names_in):
    """--run -1 is the last run."""
    RE.subscribe(tiled_writer(tiled))
    mark = str(uuid.uuid4())  # other tests' runs may be later
    RE(count([img], 2), mark=mark)

    told = tiffin(
        "export", tiled_server.uri, "--run", "-1", "--query", f"mark={mark}",
        "--field", "img", "-t", NAME, "-d", tmp_path / "out",
    )  # fmt: skip

    assert told.returncode == 0, told.stderr
    assert names_in(tmp_path / "out") == ["1_1.tif", "1_2.tif"]


def test_a_key_in_the_address_counts(tiled_server, monkeypatch, tmp_path):
    """It overrides other keys, and is never printed."""
    monkeypatch.setenv("TILED_API_KEY", "wrong")
    assert "api_key=" in tiled_server.uri

    told = tiffin("export", tiled_server.uri, "-r", "nosuch", "-t", NAME)
    also = tiffin("export", tiled_server.uri, "-r", "no", "-t", NAME, "--api-key", "x")
    dead = tiffin("export", "http://127.0.0.1:9/?api_key=secret", "-t", NAME)

    assert "no run matches 'nosuch'" in told.stderr
    assert "no run matches 'no'" in also.stderr
    assert "secret" not in dead.stderr


@pytest.mark.parametrize("command", ["export", "names"])
def test_ctrl_c_while_a_server_is_opened(command):
    """Exit status 130, though the server never answers."""
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"http://127.0.0.1:{mute.getsockname()[1]}"
        arguments = [*TIFFIN, command, address, "-t", NAME]
        with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as child:
            mute.settimeout(60)
            asked, _ = mute.accept()
            with asked:
                asked.recv(4096)
                child.send_signal(signal.SIGINT)
                _, errors = child.communicate(timeout=60)

    assert child.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors


def test_ctrl_c_leaves_no_partial_file(tmp_path, names_in):
    """Exit status 130, and whole files only."""
    images = np.zeros((1, 32, 32), "u1").repeat(6000, axis=0)
    documents = write_jsonl(run_of({"img": images}, scan_id=7), tmp_path / "run.jsonl")
    out = tmp_path / "out"
    command = [*TIFFIN, "export", str(documents), "-t", NAME, "-d", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        deadline = time.monotonic() + 60
        while len(list(out.glob("*.tif"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=60)

    shapes = {tifffile.imread(path).shape for path in out.glob("*.tif")}
    assert child.returncode == 130
    assert "; the same command with --existing resume goes on\n" in errors
    assert "Traceback" not in errors
    assert 5 <= len(names_in(out)) < 6000
    assert all(name.endswith(".tif") for name in names_in(out))
    assert shapes == {(32, 32)}


def test_a_terminal_shows_a_progress_bar(documents, tmp_path):
    """A terminal shows a progress bar and the summary."""
    main, child_end = pty.openpty()
    command = [
        *TIFFIN,
        "export",
        str(documents),
        "-t",
        NAME,
        "-d",
        str(tmp_path / "out"),
    ]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200"}
    with subprocess.Popen(
        command, stdout=child_end, stderr=child_end, env=environment
    ) as child:
        os.close(child_end)
        told = b""
        while True:
            try:
                chunk = os.read(main, 4096)
            except OSError:
                break
            if not chunk:
                break
            told += chunk
    os.close(main)

    assert child.returncode == 0
    assert b"exporting" in told
    assert b"3 written" in told


@pytest.mark.slow
def test_the_cookbook_runs(tmp_path, read):
    """The recipe of 2016, end to end: numbered, named and subtracted."""
    subprocess.run(
        [sys.executable, EXAMPLES / "cookbook.py", tmp_path],
        check=True,
        timeout=110,
        capture_output=True,
    )

    folder = tmp_path / "UO2_23_8"
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"UO2_23_8_2_step{n}.tif" for n in range(1, 7)]
    pixels = read(folder / names[1])
    assert pixels.dtype == np.int32
    assert abs(pixels[:8, :8].mean()) < 15  # the dark current is gone
    assert pixels.min() < 0  # and noise below it has not wrapped
    for name in names:  # the two lines that say the same
        floats = read(tmp_path / "float" / name)
        assert floats.dtype == np.float64  # which holds all of int32
        np.testing.assert_array_equal(floats, read(folder / name))


def test_the_cookbook_is_the_recipe_of_2016():
    """Letter by letter, but for the two lines that its docstring names."""
    text = (EXAMPLES / "cookbook.py").read_text()
    _, recipe, _ = re.split(r"^# fmt: o[nf]+\n", text, flags=re.MULTILINE)
    lines = [line for line in recipe.splitlines() if line.strip()]
    (folder,) = (line for line in lines if ".replace(" in line)
    closing = lines.index('    """', lines.index('    """') + 1)

    del lines[closing]
    lines.remove(folder)
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == RECIPE


RECIPE = "e3b4af661f63e8cea74feecad78c39b4c230c5fc69b7952bdc8d283c8c9e8009"
"""Of the lines of code of bluesky's page "Export images as TIFF files", without blank
ones: those of its subclass and of the usage example behind it."""


def test_the_demo_runs(tmp_path, read):
    """Light, dark and subtracted, in a tree of well-named files."""
    told = subprocess.run(
        [sys.executable, EXAMPLES / "demo.py", "demo"],
        check=True,
        timeout=110,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )

    sample = tmp_path / "demo/gup-31415/UO2 pellet 23_8"
    light = sorted((sample / "light").iterdir())
    subtracted = sorted((sample / "subtracted").iterdir())
    (dark,) = (sample / "dark").iterdir()
    assert "byte for byte the same files" in told.stdout
    for label, images in (("dark", 1), ("light", 5), ("subtracted", 5)):
        assert f"   {label + ':':12}{images} written, 0 skipped" in told.stdout
    assert ".tiffin/" not in told.stdout
    assert "pip install 'tiled[all]' bluesky-tiled-plugins" in told.stdout
    assert [path.name for path in light] == [path.name for path in subtracted]
    assert light[0].name == "0042_001_T300K.tif"
    difference = read(light[0]).astype("i8") - read(dark)
    np.testing.assert_array_equal(read(subtracted[0]), difference)
    page = tmp_path / "demo" / "report.html"
    assert f"   {page.as_uri()}\n" in told.stdout
    assert page.exists()
    next_steps = told.stdout.partition("Type next:")[2].partition("A Tiled server")[0]
    commands = [*shlex.split(next_steps.replace("\\\n", " "), posix=True)]
    starts = [n for n, word in enumerate(commands) if word.endswith("/tiffin")]
    for start, end in itertools.pairwise([*starts, len(commands)]):
        then = tiffin(*commands[start + 1 : end], cwd=tmp_path)
        assert then.returncode == 0, then.stderr
    assert len(starts) == 4
