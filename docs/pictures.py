"""Make the pictures of the manual: the page of the demo, as a browser shows it.

``python docs/pictures.py`` renews the picture of the README, too. It needs Chromium.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
README_PICTURE = HERE / "_static/page.png"
MANUAL_PICTURE = HERE / "_static/made/page.png"


def make(picture: Path) -> bool:
    """Write the picture; return whether there is a browser."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        demo = Path(folder) / "demo"
        command = [sys.executable, "-m", "tiffin", "demo", demo]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=120)
        shot = Path(folder) / "page.png"
        options = [
            *("--headless", "--no-sandbox", "--hide-scrollbars"),
            *("--window-size=1200,888", "--virtual-time-budget=4000"),
            *(f"--screenshot={shot}", f"--user-data-dir={folder}/browser"),
        ]
        page = (demo / "images/report.html").as_uri()
        command = [browser, *options, page]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=120)
        picture.parent.mkdir(exist_ok=True)
        shutil.copy(shot, picture)
    return True


def make_for_manual(_app: object = None) -> None:
    """Make the picture of the manual; without a browser, take the README's."""
    if not make(MANUAL_PICTURE):
        MANUAL_PICTURE.parent.mkdir(exist_ok=True)
        shutil.copy(README_PICTURE, MANUAL_PICTURE)


if __name__ == "__main__":
    if not make(README_PICTURE):
        sys.exit("install Chromium first")
