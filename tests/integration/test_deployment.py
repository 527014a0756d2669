"""Ways to run tiffin at a facility, in a clean environment: a container, a flow."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from bluesky.plans import count

from tests.integration.test_listeners import free_port
from tests.integration.test_service import until, write_config, write_run
from tests.stores import tiled_writer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "examples/Containerfile").read_text("utf-8")
STEPS = re.findall(r"^([A-Z]+) (.*)$", TEXT, re.MULTILINE)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Run the commands of the Containerfile, in order: where /opt is, and its shell."""
    folder = tmp_path_factory.mktemp("container")
    here = str(Path(sys.executable).parent)
    known = ("HOME", "TMPDIR", "LANG", "PIP_", "SSL_", "HTTP", "http", "NO_PROXY")
    env = {key: value for key, value in os.environ.items() if key.startswith(known)}
    env |= {"PATH": f"{here}:/usr/bin:/bin"}

    def inside(text):
        return text.replace("/opt/tiffin", f"{folder}/opt")

    for step, argument in STEPS:
        if step == "ARG":
            name, _, _ = argument.partition("=")
            env[name] = str(ROOT)  # this version
        elif step == "RUN":
            subprocess.run(
                ["sh", "-ec", inside(argument)], check=True, env=env, cwd=folder
            )
    return inside, env


def test_the_container_exports_and_is_healthy(image, tmp_path):
    """Its command and its health check, on a folder with a run."""
    inside, env = image
    write_run(tmp_path / "documents", 1)
    port = free_port()
    write_config(tmp_path, f'http = "127.0.0.1:{port}"')
    steps = dict(STEPS)
    command = json.loads(inside(steps["CMD"]))
    check = inside(steps["HEALTHCHECK"]).removeprefix("CMD ").replace("8090", str(port))
    with subprocess.Popen(command, cwd=tmp_path, env=env) as service:
        try:
            out = tmp_path / "out"
            until(lambda: len(list(out.rglob("*.tif"))) == 3, limit=120)
            subprocess.run(shlex.split(check), check=True, env=env)
            assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 200
        finally:
            service.terminate()
        assert service.wait(timeout=30) == 0


def test_a_flow_of_prefect_exports_a_run(image, RE, img, new_server, tmp_path):
    """In the server that Prefect starts by itself; a dry run writes nothing."""
    inside, env = image
    python = inside("/opt/tiffin/bin/python")
    subprocess.run([python, "-m", "pip", "install", "prefect>=3"], check=True, env=env)
    stops = []
    RE.subscribe(tiled_writer(new_server.client))
    RE.subscribe(lambda _, doc: stops.append(doc), "stop")
    RE(count([img], 2))
    env = env | {
        "TILED_URI": new_server.address,
        "TILED_API_KEY": new_server.key,
        "TIFFIN_DIRECTORY": str(tmp_path / "out"),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
        "PYTHONPATH": str(ROOT / "examples"),
    }

    script = f"""
from pathlib import Path
from prefect_flow import end_of_run_workflow
stop = {json.loads(json.dumps(stops[0]))!r}
print(end_of_run_workflow(stop, dry_run=True), len([*Path("out").rglob("*.tif")]))
print(end_of_run_workflow(stop), len([*Path("out").rglob("*.tif")]))
"""
    told = subprocess.check_output(
        [python, "-c", script], env=env, text=True, cwd=tmp_path
    )
    assert "2 planned, 0 skipped, 0 failed 0\n" in told
    assert "2 written, 0 skipped, 0 failed 2\n" in told
