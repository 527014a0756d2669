"""A page to look at the images of an export, made from its manifests.

`write_page` writes one HTML file that needs no network, no server and no library.
"""

from tiffin.report.data import last_images
from tiffin.report.index import IndexedRun, write_index
from tiffin.report.page import drawing_parts
from tiffin.report.writing import (
    PageOfRun,
    ReportPage,
    is_page_name,
    make_page,
    page_of_run,
    write_page,
)

__all__ = [
    "IndexedRun",
    "ReportPage",
    "PageOfRun",
    "drawing_parts",
    "is_page_name",
    "last_images",
    "make_page",
    "page_of_run",
    "write_index",
    "write_page",
]
