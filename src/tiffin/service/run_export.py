"""Export a run of the service, by each export of its configuration file."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any

from tiffin.bulk import Task, TaskResult, run_task
from tiffin.errors import TiffinError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tiffin.options import ConfigFile
    from tiffin.records import Report
    from tiffin.service.run_state import RunState

__all__ = ["export_run", "task_of"]

logger = logging.getLogger("tiffin")

SOURCE = ("via", "timeout")
"""Options of a file that say how a source is read."""


def export_run(
    run: RunState,
    exports: Mapping[str, ConfigFile],
    source: str,
    read: Callable[[str, Task], Report] | None = None,
) -> TaskResult:
    """Export a run by each export. Whatever goes wrong is in the result.

    Parameters
    ----------
    run : RunState
    exports : mapping of str to ConfigFile
    source : str
    read : callable, optional
        Called with the name of an export and its task: exports it, returns the report.
    """
    total = TaskResult()
    for name, export in exports.items():
        result = _result(run, export, source, read and partial(read, name))
        if result.why and name:
            result = result.with_why(f"{name}: {result.why}")
        total = total.plus(result)
    return total


def task_of(run: RunState, export: ConfigFile, source: str) -> Task:
    """Return the task of an export: it resumes, unless the file says otherwise."""
    given: dict[str, Any] = {"existing": "resume", **export.keywords()}
    template = given.pop("template")
    catalog = given.pop("catalog", None) or source
    how = {name: export.values[name] for name in SOURCE if name in export.values}
    return Task(run.uid, run.address, template, given, catalog=catalog, **how)


def _result(
    run: RunState,
    export: ConfigFile,
    source: str,
    read: Callable[[Task], Report] | None,
) -> TaskResult:
    try:
        return run_task(task_of(run, export, source), read)
    except TiffinError as error:  # such as a server with darks that is down
        why, cause = str(error), type(error).__name__
        return TaskResult(why=why, may_pass=True, cause=cause)
    except (Exception, SystemExit) as error:  # such as of a user's reader
        logger.exception("run %s: an unexpected error", run.name)
        cause = type(error).__name__
        return TaskResult(why=f"{cause}: {error}", may_pass=True, cause=cause)
