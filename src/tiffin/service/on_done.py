"""Run the command of a configuration file after each run."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tiffin.service.run_state import RunState

__all__ = ["OnDone"]

logger = logging.getLogger("tiffin")

LONGEST = 600.0
"""How long a command may take [s]."""


class OnDone:
    """A command of the shell, or nothing.

    Parameters
    ----------
    command : str or None
    """

    def __init__(self, command: str | None) -> None:
        self._command = command
        self._running: subprocess.Popen[bytes] | None = None

    def __call__(self, run: RunState, status: str) -> None:
        """Run the command, and wait for it. A failure is logged."""
        if self._command is None:
            return
        about = {
            "TIFFIN_RUN": run.uid,
            "TIFFIN_SCAN_ID": "" if run.scan_id is None else str(run.scan_id),
            "TIFFIN_STATUS": status,
        }
        try:
            # What it prints may be endless: nobody waits for it. Errors are shown.
            self._running = subprocess.Popen(
                self._command,
                shell=True,
                env=os.environ | about,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            code = self._running.wait(LONGEST)
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            self.kill()
            logger.error("run %s: on_done: %s", run.name, error)  # noqa: TRY400 (it is no bug)
            return
        if code:
            logger.error("run %s: on_done ended with %d", run.name, code)

    def kill(self) -> None:
        """End the command that runs, and what it has started."""
        running, self._running = self._running, None
        if running is not None and running.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            running.wait()
