"""A heating scan at a simulated diffraction beamline, exported live and again later.

python examples/demo.py FOLDER
"""

import json
import shlex
import sys
from pathlib import Path

import numpy as np
from bluesky import RunEngine
from bluesky.plans import count, list_scan
from simulated import furnace, make_detector, shctl1

import tiffin
from tiffin.corrections import DarkSubtract
from tiffin.report import make_page

SAMPLE = {"sample_name": "UO2 pellet 23/8", "proposal": "gup-31415"}

NAMES = (
    "{start.proposal}/{start.sample_name}/%s/"
    "{start.scan_id:04d}_{event.seq_num:03d}_T{event.data.temperature:.0f}K.tif"
)
DARK_NAMES = "{start.proposal}/{start.sample_name}/dark/{start.scan_id:04d}.tif"


class Recorder:
    """Write documents as JSON lines, with arrays as nested lists."""

    def __init__(self, path):
        self.path = path

    def __call__(self, name, doc):
        with self.path.open("a") as file:
            line = json.dumps({"name": name, "doc": doc}, default=np.ndarray.tolist)
            file.write(line + "\n")


NEXT = """
Type next:

  {tiffin} runs {folder}/documents.jsonl --run -1
  {tiffin} export {folder}/documents.jsonl --run -1 \\
      --template "{{start.scan_id}}_{{event.seq_num:03d}}.tif" --directory {folder}/mine
  {tiffin} verify {folder}/mine
  {tiffin} report {folder}/mine

A Tiled server instead of the file of documents:

  {bin}/pip install 'tiled[all]' bluesky-tiled-plugins
  {bin}/tiled serve catalog --temp --api-key secret

  in Python, before a scan, with from_uri of tiled.client and TiledWriter of
  bluesky_tiled_plugins:
      RE.subscribe(TiledWriter(from_uri("http://localhost:8000?api_key=secret")))

  afterwards:
      export TILED_API_KEY=secret
      {tiffin} export http://localhost:8000 --run -1 \\
          --template "{{start.scan_id}}_{{event.seq_num}}.tif" --directory out

The same without a RunEngine, from an installed package: {tiffin} demo
Options for your beamline, in a file: {tiffin} init
"""


def heating_scan(folder):
    """Take a dark frame and a scan of five temperatures, and export them live."""
    RE = RunEngine({"scan_id": 40})
    pe1c = make_detector("pe1", dtype="uint16")
    RE.subscribe(Recorder(folder / "documents.jsonl"))

    print("1. A dark frame and a scan of five temperatures, exported live")
    darks = tiffin.ImageExporter(DARK_NAMES, directory=folder, fields="pe1_image")
    shctl1.put(0)
    (dark_uid,) = RE(count([pe1c]), darks, **SAMPLE)
    shctl1.put(1)
    (dark,) = darks.reports[dark_uid].written
    tell("dark", darks.reports[dark_uid])

    lights = tiffin.ImageExporter(NAMES % "light", directory=folder, fields="pe1_image")
    subtracted = tiffin.ImageExporter(
        NAMES % "subtracted",
        directory=folder,
        fields="pe1_image",
        corrections=[DarkSubtract(file=dark.path)],
    )
    plan = list_scan([pe1c], furnace, [300, 500, 700, 900, 1100])
    both = {"all": [lights, subtracted]}
    (uid,) = RE(plan, both, dark_frame=dark_uid, **SAMPLE)
    tell("light", lights.reports[uid])
    tell("subtracted", subtracted.reports[uid])
    return uid


def export_later(folder, uid):
    """Export the same scan from the recorded documents, and compare the files."""
    print("2. The same scan, exported later from the file of documents")
    documents = folder / "documents.jsonl"
    report = tiffin.export(
        only_run(documents, uid),
        NAMES % "light",
        directory=folder / "again",
        fields=["pe1_image"],
    )
    tell("light", report)
    same = all(
        record.path.read_bytes()
        == (folder / record.path.relative_to(folder / "again")).read_bytes()
        for record in report.written
    )
    print("   byte for byte the same files" if same else "   THE FILES DIFFER")
    return same


def tell(what, report):
    """Print a report."""
    print(f"   {what + ':':12}{report}")


def only_run(path, uid):
    """Yield the documents of one run."""
    chosen = False
    for line in path.read_text().splitlines():
        document = json.loads(line)
        if document["name"] == "start":
            chosen = document["doc"]["uid"] == uid
        if chosen:
            yield document["name"], document["doc"]


def show_tree(folder, indent="   "):
    """Print folders and files, without `.tiffin`."""
    for path in sorted(folder.iterdir()):
        if path.name == ".tiffin":
            continue
        size = "" if path.is_dir() else f"  {path.stat().st_size / 1000:.0f} kB"
        print(f"{indent}{path.name}{'/' if path.is_dir() else size}")
        if path.is_dir():
            show_tree(path, indent + "   ")


def installed():
    """Return where this Python's programs are, as one types it here."""
    folder = from_here(Path(sys.executable).parent)
    return {"tiffin": f"{folder}/tiffin", "bin": folder}


def from_here(path):
    """Return a path relative to this folder if it is in it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def main():
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "demo-out").absolute()
    if folder.exists() and any(folder.iterdir()):
        print(f"{folder} is not empty: remove it and run the demo again")
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    uid = heating_scan(folder)
    same = export_later(folder, uid)
    print(f"3. The files in {folder}")
    show_tree(folder)
    print("   and .tiffin, the manifests, which `tiffin verify` reads")
    print("4. A page to look at them: open it in a browser")
    print(f"   {make_page(folder).path.as_uri()}")
    print(NEXT.format(**installed(), folder=shlex.quote(from_here(folder))))
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
