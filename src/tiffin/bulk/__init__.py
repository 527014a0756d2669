"""Export many runs: plan them, divide them into tasks, and run these on an engine.

`make_plan` lists the runs without reading a pixel. `Task` is a run, or a part of a long
one, and holds only addresses and settings, so that it can go to another process or
machine. An engine runs tasks; `BulkManifest` remembers what is done.
"""

from tiffin.bulk.bulk_export import DEFAULTS, bulk
from tiffin.bulk.bulk_plan import BulkPlan
from tiffin.bulk.bulk_progress import progress_text
from tiffin.bulk.bulk_report import BulkReport, RunOutcome
from tiffin.bulk.engines import ENGINES
from tiffin.bulk.found_runs import FoundRun, FoundSource, read_source
from tiffin.bulk.task import (
    Task,
    TaskResult,
    live_pipeline,
    read_report,
    result_of,
    run_task,
)

__all__ = [
    "DEFAULTS",
    "ENGINES",
    "BulkPlan",
    "BulkReport",
    "FoundRun",
    "FoundSource",
    "RunOutcome",
    "Task",
    "TaskResult",
    "bulk",
    "live_pipeline",
    "progress_text",
    "read_report",
    "read_source",
    "result_of",
    "run_task",
]
