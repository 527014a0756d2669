"""Run the shell's commands in this process, without a new interpreter for each."""

import gc
import io
import logging
import os
import pty
import subprocess
import sys
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from subprocess import CompletedProcess
from unittest import mock

from tiffin import cli

ENVIRONMENT = {"COLUMNS": "200", "NO_COLOR": "1", "TILED_RETRY_ATTEMPTS": "1"}


def tiffin(*arguments, cwd=".", env=None, together=False):
    """Run a command as the shell does; return its status, output and errors.

    With `together`, errors are in the output, in the order of printing.
    """
    command = ["tiffin", *map(str, arguments)]
    out, status = io.StringIO(), 0
    err = out if together else io.StringIO()
    threshold = gc.get_threshold()
    # A live exporter of another test, in this process, may have a handler of its own.
    logs = [logging.getLogger(name) for name in (None, "tiffin")]
    handlers = [log.handlers for log in logs]
    for log in logs:
        log.handlers = []
    try:
        with (
            mock.patch.dict(os.environ, ENVIRONMENT | (env or {})),
            mock.patch.object(sys, "argv", command),
            mock.patch("gc.freeze"),
            chdir(Path(cwd)),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            cli.main()
    except SystemExit as ended:
        status = ended.code or 0
    finally:
        for log, given in zip(logs, handlers, strict=True):
            log.handlers = given
        gc.set_threshold(*threshold)
        gc.enable()
        forget_sources()
    return CompletedProcess(command, status, out.getvalue(), err.getvalue())


def forget_sources():
    """Open files and servers anew, as another process does."""
    from tiffin.options import run_options as options

    options._documents.cache_clear()
    if options._client.cache_info().currsize:
        with warnings.catch_warnings():
            # A process that ends closes its connections too.
            warnings.simplefilter("ignore", ResourceWarning)
            options._client.cache_clear()
            gc.collect()


def on_a_terminal(*arguments, columns="120"):
    """Run a command in a process with a terminal; return what this shows."""
    reader, terminal = pty.openpty()
    environment = os.environ | {"COLUMNS": columns, "TERM": "xterm", "LINES": "20"}
    command = [sys.executable, "-m", "tiffin", *arguments]
    streams = {"stdout": terminal, "stderr": terminal}
    with subprocess.Popen(command, env=environment, **streams) as told:
        os.close(terminal)
        shown = shown_on(reader)
        assert told.wait() == 0
    return shown


def shown_on(reader):
    """Return what is written to a terminal until its end, and close it."""
    shown = b""
    try:
        while part := os.read(reader, 10_000):
            shown += part
    except OSError:  # the end, on Linux
        pass
    os.close(reader)
    return shown.decode()
