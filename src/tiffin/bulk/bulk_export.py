"""Export many runs."""

from __future__ import annotations

import logging
import os
import pickle
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Unpack

from tiffin.bulk.bulk_manifest import BulkManifest
from tiffin.bulk.bulk_plan import BulkPlan, estimated, make_plan, share_of
from tiffin.bulk.bulk_progress import shown_in_notebook
from tiffin.bulk.dask_engine import DaskEngine, scheduler_of
from tiffin.bulk.engines import (
    ENGINES,
    LOCAL,
    Engine,
    ProcessEngine,
    SerialEngine,
)
from tiffin.bulk.found_runs import list_runs, require_addresses
from tiffin.bulk.sample import take_sample
from tiffin.bulk.task import Task
from tiffin.bulk.work import Parts, Progress, Work
from tiffin.display import say
from tiffin.errors import SettingsError, TiffinError, did_you_mean
from tiffin.report import IndexedRun, write_index
from tiffin.settings import Keywords, Settings, document_settings, refuse_unknown
from tiffin.sources import (
    TIMEOUT,
    Selection,
    Via,
    address_of,
    key_in_environment,
    key_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tiffin.bulk.bulk_report import BulkReport
    from tiffin.template import Template

__all__ = ["DEFAULTS", "bulk"]

logger = logging.getLogger("tiffin")

DEFAULTS = {"existing": "resume"}
"""Settings that have another default than in `tiffin.export`."""

MOST_PROCESSES = 8
"""More processes are started only if they are asked for."""


@document_settings(live=False, without=["on_error"], **DEFAULTS)
def bulk(
    source: Any,
    template: str | Template,
    directory: str | os.PathLike[str] | None = None,
    *,
    engine: str | None = None,
    processes: int | None = None,
    dask: str | os.PathLike[str] | None = None,
    shard: str | None = None,
    frames_per_task: int | None = None,
    selection: Selection | None = None,
    confirm: Callable[[BulkPlan], bool] | None = None,
    progress: Progress | None = None,
    via: Via = "auto",
    timeout: float = TIMEOUT,
    **settings: Unpack[Keywords],
) -> BulkReport:
    """Export many runs, on several processes or on a Dask cluster.

    The same call again goes on with what is missing. By default, ``existing`` is
    ``"resume"``, so that nothing is written twice.

    Parameters
    ----------
    source : object
        The address of a Tiled catalogue, its client, the path of a file or folder of
        documents; or with ``engine="serial"`` any source of `tiffin.export`.
    template : str or Template
        The file names. They must tell the runs apart, as with ``{start.scan_id}``.
    directory
        See `tiffin.settings`.
    engine : {"serial", "processes", "dask"}, optional
        What runs the tasks: this process, several processes of this machine, or Dask.
        By default, processes if there are several runs.
    processes : int, optional
        How many processes there are on this machine; by default one for each core, at
        most 8. They share `workers` and `memory`. On a Dask cluster, `workers` is 1
        by default.
    dask : str or path-like, optional
        ``"local"``, the address of a scheduler (``tcp://…``), or its scheduler file.
        The workers need tiffin, the same paths, and TILED_API_KEY in their environment.
    shard : str, optional
        ``"2/8"`` exports the second of eight shares of the runs. All shares together
        are all runs, each once.
    frames_per_task : int, optional
        A longer run is divided into several tasks; by default, one of about 4 GiB.
    selection : Selection, optional
        Which runs of the source; by default all.
    confirm : callable, optional
        Called with the `BulkPlan`; returns whether to begin. The plan has a time then,
        for which a few frames are exported to a temporary folder.
    progress : callable, optional
        Called with a `BulkReport` while tasks finish, at most ten times a second.
    via, timeout
        As for `tiffin.export`.
    **settings
        See `tiffin.settings`. With ``dry_run=True`` nothing is exported: the report has
        the plan. With ``report=True`` a page links those of the runs:
        ``report_index.html``.

    Returns
    -------
    BulkReport

    Raises
    ------
    TiffinError
        If a setting is wrong, or the source can't be read. Failures of single runs are
        in the report.

    Notes
    -----
    A task holds the address of its run and the settings, never a key: worker processes
    find that of a client, or of ``?api_key=…``, in their environment (TILED_API_KEY).

    Ctrl-C finishes what is under way; a second one ends at once. A run without a stop
    document is exported as far as it is, and looked at again by the next call.

    A script that uses processes needs ``if __name__ == "__main__":``, because each
    process imports it.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from tiffin.testing import run_of
    >>> runs = [run_of({"img": np.ones((2, 6, 9), "u2")}, scan_id=n) for n in (7, 8)]
    >>> with tempfile.TemporaryDirectory() as out:
    ...     name = "{start.scan_id}_{event.seq_num:03d}.tif"
    ...     print(bulk(runs, name, directory=out, engine="serial"))
    2 runs done, 0 failed, 0 pending: 4 images written, 0 skipped
    """
    _check_arguments(engine, processes, dask, shard, frames_per_task)
    refuse_unknown(settings, "engine", "processes", "dask", "shard", "frames_per_task")
    if settings.pop("on_error", "report") != "report":
        message = "must be 'report': failures are in the report, and stop no other run"
        raise SettingsError(message, setting="on_error")
    given: dict[str, Any] = {**DEFAULTS, **settings}
    checked = Settings.of(template, directory=directory, **given)
    given["directory"] = str(checked.directory)
    manifest = BulkManifest(checked, shard)
    if dask not in (None, LOCAL) and not checked.dry_run:
        DaskEngine(dask, 1).close()  # who is not there is told before a plan is made
    with key_in_environment(key_of(source)), closing(manifest), ExitStack() as stack:
        if progress is None:
            progress = stack.enter_context(shown_in_notebook())
        runs, problems = list_runs(
            source,
            selection or Selection(),
            known=manifest.sources,
            found=(lambda _: None) if checked.dry_run else manifest.add_source,
            timeout=timeout,
        )
        plan = make_plan(runs, checked, manifest, shard=shard, problems=problems)
        name = _engine_name(engine, dask, plan)
        if name != "serial":
            require_addresses(plan.pending)
        cores = min(os.cpu_count() or 1, MOST_PROCESSES)
        many = 1 if name == "serial" else processes or cores
        if name != "dask" or dask in (None, LOCAL):
            given["workers"] = max(1, checked.workers // many)
            given["memory"] = max(1, checked.memory // many)
        elif given.get("workers") is None:  # the cluster has threads of its own
            given["workers"] = 1
        catalog = given.pop("catalog", None)
        catalog = source if catalog is None else catalog
        catalog = address_of(catalog) or catalog
        if name != "serial":
            given["corrections"] = _without_clients(checked.corrections)
        task = Task(
            *("", "", template, given), catalog=catalog, via=via, timeout=timeout
        )
        if name != "serial":
            _check_pickles(task)
        sample = take_sample(plan, task, measure=confirm is not None)
        plan = estimated(plan, sample, checked, many)
        work = Work(plan, manifest, progress)
        begins = confirm is None or confirm(plan)
        if checked.dry_run or not begins:
            return work.report()
        work.record_plan()
        parts = Parts.of(checked, sample, frames_per_task)
        tasks = [each for run in plan.pending for each in parts(task, run)]
        if tasks:
            with _engine(name, many, dask) as chosen:
                work.run(chosen, tasks)
        report = work.report()
        if checked.report:
            _write_index(report, manifest, checked)
        return report


def _write_index(
    report: BulkReport, manifest: BulkManifest, settings: Settings
) -> None:
    """Write the page that links those of the runs, also of other shares."""
    manifest.read()
    outcomes = {**manifest.outcomes, **{run.uid: run for run in report.runs}}
    runs = [
        IndexedRun(run.uid, run.scan_id, run.state, run.images, run.result.why)
        for run in outcomes.values()
    ]
    try:
        page = write_index(
            settings.directory,
            runs,
            follow_links=settings.follow_links,
            mode=settings.mode,
        )
    except (TiffinError, OSError) as error:
        logger.error("the index page can't be written: %s", error)  # noqa: TRY400 (it is no bug)
    else:
        say(logging.INFO, f"look at all runs: {page}")


def _without_clients(corrections: Sequence[Any]) -> list[Any]:
    """Return corrections with addresses of clients, whose pickle holds the key."""
    return [
        replace(step, catalog=address_of(step.catalog))
        if address_of(getattr(step, "catalog", None))
        else step
        for step in corrections
    ]


def _check_arguments(
    engine: str | None,
    processes: int | None,
    dask: str | os.PathLike[str] | None,
    shard: str | None,
    frames_per_task: int | None,
) -> None:
    """Raise a SettingsError before anything is read."""
    if engine not in (None, *ENGINES):
        names = ", ".join(ENGINES)
        hint = did_you_mean(str(engine), ENGINES)
        message = f"must be one of {names}, not {engine!r}{hint}"
        raise SettingsError(message, setting="engine")
    if dask is not None and engine not in (None, "dask"):
        message = f"is for engine='dask', not for engine={engine!r}"
        raise SettingsError(message, setting="dask")
    if dask not in (None, LOCAL):
        scheduler_of(dask)
    share_of((), shard)
    numbers = {"processes": processes, "frames_per_task": frames_per_task}
    for name, number in numbers.items():
        if number is not None and (type(number) is not int or number < 1):
            message = f"must be a number from 1, not {number!r}"
            raise SettingsError(message, setting=name)


def _engine_name(
    engine: str | None, dask: str | os.PathLike[str] | None, plan: BulkPlan
) -> str:
    if engine is not None or dask is not None:
        return engine or "dask"
    can_leave = all(isinstance(run.address, str) for run in plan.pending)
    return "processes" if len(plan.pending) > 1 and can_leave else "serial"


def _engine(name: str, processes: int, dask: str | os.PathLike[str] | None) -> Engine:
    if name == "serial":
        return SerialEngine()
    if name == "processes":
        return ProcessEngine(processes)
    return DaskEngine(LOCAL if dask is None else dask, processes)


def _check_pickles(task: Task) -> None:
    try:
        pickle.dumps(task)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        message = (
            f"must be 'serial', because a setting can't go to another process "
            f"({error}): a correction that is a function must be one of a module"
        )
        raise SettingsError(message, setting="engine") from error
