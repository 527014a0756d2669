"""Write the page of a folder, or of a run that has ended."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from tiffin.display import say
from tiffin.errors import SourceError, TiffinError, WriteError
from tiffin.folders import Folders
from tiffin.report.data import collect
from tiffin.report.full import write_full_images
from tiffin.report.listed_images import read_listed
from tiffin.report.page import page_of, publish_page

if TYPE_CHECKING:
    from collections.abc import Collection

    from tiffin.export import EndedRun

PAGES = re.compile(r"report(_[\w-]+)?(\.html|/index\.html|/images/\d+\.js)", re.ASCII)
"""The names of pages, and of what is beside a full one."""

LIMIT, MANY = 4_900_000, 1000
"""The size of a page with up to so many images [bytes]."""


class ReportPage(NamedTuple):
    """A page that was written."""

    path: Path
    images: int
    problems: int
    """How many images and lines of manifests it can't show."""
    nbytes: int
    """Its size, without what is beside it [bytes]."""


def write_page(
    folder: str | os.PathLike[str],
    *,
    full: bool = False,
    runs: Collection[str] | None = None,
    follow_links: bool = False,
    mode: int | None = None,
) -> Path:
    """Write a page to look at the images of a folder.

    The page is made from the manifests of the folder and the files that they list. It
    is one HTML file of less than 5 MB for 1,000 images: larger images are reduced.

    Parameters
    ----------
    folder : path
        The root folder of an export, which contains ``.tiffin``.
    full : bool
        Write a folder, in which the page has all images in full beside it.
    runs : collection of str, optional
        The uids of the runs to show; by default all.
    follow_links : bool
        Whether files and subfolders may be links.
    mode : int, optional
        The permissions of the page, such as ``0o640``; by default those of the umask.

    Returns
    -------
    pathlib.Path
        The page: ``report.html``, or ``report/index.html`` if `full`, in the folder.
        That of one run has its scan_id and the beginning of its uid in its name.

    Raises
    ------
    SourceError
        If the folder has no manifest.
    ExistsError
        If there is a file with that name that is no such page.
    WriteError
        If the page can't be written.

    Examples
    --------
    >>> import tempfile, numpy as np, tiffin
    >>> from tiffin.testing import run_of
    >>> out = tempfile.mkdtemp()
    >>> run = run_of({"img": np.ones((2, 6, 9), "u2")}, scan_id=7)
    >>> report = tiffin.export(run, "{event.seq_num}.tif", directory=out)
    >>> write_page(out).name
    'report.html'
    """
    return make_page(
        folder, full=full, runs=runs, follow_links=follow_links, mode=mode
    ).path


def make_page(
    folder: str | os.PathLike[str],
    *,
    full: bool = False,
    runs: Collection[str] | None = None,
    follow_links: bool = False,
    mode: int | None = None,
    scan_id: object = None,
) -> ReportPage:
    """Do the same as `write_page`; return also how many images there are.

    `scan_id` is that of the run, which is known even if it has no image.
    """
    root = Path(folder).absolute()
    folders = Folders(os.fspath(root), follow_links)
    listed = read_listed(root, runs)
    data: dict[str, Any] = {
        "folder": root.name or str(root),
        "full": full,
        "problems": [each._asdict() for each in listed.problems],
        "images": [],
    }
    limit = LIMIT * max(len(listed.images), MANY) // MANY
    room = limit - len(page_of(data, beside=full))
    images, problems = collect(folders, listed, room)
    data |= {"images": images, "problems": [each._asdict() for each in problems]}
    name = "report" if runs is None else _name_of_run(images, runs, scan_id)
    if full:
        write_full_images(folders, name, listed, images, mode)
        name += "/index"
    page = page_of(data, beside=full)
    path = publish_page(folders, f"{name}.html", page, mode)
    return ReportPage(path, len(images), len(problems), len(page))


class PageOfRun:
    """Writes the page of each run at its end, for ``report=True``."""

    def run_ended(self, summary: EndedRun) -> None:
        """Write the page of a run and say where it is; log if that fails."""
        settings = summary.settings
        if settings.dry_run:
            return
        try:
            page = make_page(
                settings.directory,
                runs=[summary.run],
                follow_links=settings.follow_links,
                mode=settings.mode,
                scan_id=summary.documents.start.get("scan_id"),
            )
        except SourceError:  # the run has no image, which the log says
            return
        except (TiffinError, OSError) as error:
            message = f"the page of images can't be written: {error}"
            summary.ledger.say(summary.run, WriteError(message))
        else:
            say(logging.INFO, f"look at the images: {page.path}")


def is_page_name(name: str) -> bool:
    """Whether a path below the root is that of a page, or of a part of a full one.

    Examples
    --------
    >>> is_page_name("report/images/12.js"), is_page_name("a/report.html")
    (True, False)
    """
    return PAGES.fullmatch(name) is not None


def _name_of_run(
    images: list[dict[str, Any]], runs: Collection[str], scan_id: object
) -> str:
    scans = sorted({str(image["scan_id"]) for image in images if "scan_id" in image})
    if scan_id is not None:
        scans.insert(0, str(scan_id))
    return _name_of(*sorted(runs)[:1], scan=next(iter(scans), None))


def page_of_run(folder: Path, run: str, scan_id: int | None) -> str | None:
    """Return the name of the page of a run; None if its folder has none."""
    scan = None if scan_id is None else str(scan_id)
    names = (f"{_name_of(run, scan=each)}.html" for each in (scan, None))
    return next((name for name in names if (folder / name).is_file()), None)


def _name_of(*runs: str, scan: str | None) -> str:
    parts = ["report", *([] if scan is None else [scan]), *(run[:8] for run in runs)]
    return re.sub(r"[^\w-]", "_", "_".join(parts), flags=re.ASCII)[:100]
