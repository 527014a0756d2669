"""suitcase-tiff's own test suite, run against tiffin's doors."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import suitcase.tiff_series.tests
import suitcase.tiff_stack.tests

PLUGIN = """
import suitcase.tiff_series
import suitcase.tiff_stack
from tiffin.compat.suitcase import tiff_series, tiff_stack

for theirs, ours in (
    (suitcase.tiff_series, tiff_series), (suitcase.tiff_stack, tiff_stack)
):
    for name in ours.__all__:
        setattr(theirs, name, getattr(ours, name))

def pytest_collection_modifyitems(items):
    for item in items:
        for name in ("export", "Serializer", "get_prefixed_filename"):
            found = getattr(item.module, name, None)
            assert found is None or found.__module__.startswith("tiffin."), found
"""
"""Redirects the imports ``from .. import export, …`` of the suite."""


def run_suite(package, tmp_path):
    """Run the tests of an installed package; return how many passed and its output."""
    (tmp_path / "doors.py").write_text(PLUGIN)
    tests = Path(package.__file__).with_name("tests.py")
    paths = [str(tmp_path), *filter(None, sys.path)]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"),
            *("-p", "doors", "-c", os.devnull, f"--rootdir={tmp_path}"),
            *("-o", "consider_namespace_packages=true"),
            str(tests),
        ],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    passed = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert passed is not None
    return int(passed[1])


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_suite_of_tiff_series_passes(tmp_path):
    """All tests of suitcase-tiff 0.4.0 for series pass with the import changed."""
    assert run_suite(suitcase.tiff_series.tests, tmp_path) == 442


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_suite_of_tiff_stack_passes(tmp_path):
    """All tests of suitcase-tiff 0.4.0 for stacks pass with the import changed."""
    assert run_suite(suitcase.tiff_stack.tests, tmp_path) == 288
