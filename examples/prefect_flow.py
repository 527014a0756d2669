"""Export a run when it ends, as a flow of Prefect 3.

Start the flow with the stop document of the run. The address of the Tiled server and
the folder for the images come from the environment, TILED_URI and TIFFIN_DIRECTORY.
Prefect keeps the parameters of a flow: rather than as ``api_key``, give the key in
TILED_API_KEY, in the environment of the worker.
"""

from __future__ import annotations

import os
from typing import Any

from prefect import flow, get_run_logger, task
from tiled.client import from_uri

import tiffin

TEMPLATE = "{start.scan_id}/{field}_{event.seq_num:04d}.tif"


@task(retries=2, retry_delay_seconds=10)
def export_run(uid: str, api_key: str | None, dry_run: bool) -> str:
    """Export the images of a run; what is there already is not written again."""
    client = from_uri(os.environ["TILED_URI"], api_key=api_key)
    try:
        report = tiffin.export(
            client[uid],
            TEMPLATE,
            directory=os.environ["TIFFIN_DIRECTORY"],
            existing="resume",
            dry_run=dry_run,
        )
    finally:
        client.context.close()
    return str(report)


@flow
def end_of_run_workflow(
    stop_doc: dict[str, Any], api_key: str | None = None, dry_run: bool = False
) -> str:
    """Export the run of a stop document."""
    uid = stop_doc["run_start"]
    told = export_run(uid, api_key, dry_run)
    get_run_logger().info("run %s: %s", uid, told)
    return told
