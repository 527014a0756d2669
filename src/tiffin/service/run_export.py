"""Export a run of the service, by each export of its configuration file."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from tiffin.bulk import Task, TaskResult, run_task
from tiffin.errors import TiffinError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.options import ConfigFile
    from tiffin.service.run_state import RunState

__all__ = ["export_run"]

logger = logging.getLogger("tiffin")


def export_run(
    run: RunState, exports: Mapping[str, ConfigFile], source: str
) -> TaskResult:
    """Export a run by each export. Whatever goes wrong is in the result."""
    total = TaskResult()
    for name, export in exports.items():
        result = _result(run, export, source)
        if result.why and name:
            result = result.with_why(f"{name}: {result.why}")
        total = total.plus(result)
    return total


def _result(run: RunState, export: ConfigFile, source: str) -> TaskResult:
    try:
        given: dict[str, Any] = {"existing": "resume", **export.keywords()}
        template = given.pop("template")
        catalog = given.pop("catalog", None) or source
        task = Task(run.uid, run.address, template, given, catalog=catalog)
        return run_task(task)
    except TiffinError as error:  # such as a server with darks that is down
        why, cause = str(error), type(error).__name__
        return TaskResult(why=why, may_pass=True, cause=cause)
    except (Exception, SystemExit) as error:  # such as of a user's reader
        logger.exception("run %s: an unexpected error", run.scan_id)
        cause = type(error).__name__
        return TaskResult(why=f"{cause}: {error}", may_pass=True, cause=cause)
