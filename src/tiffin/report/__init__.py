"""A page to look at the images of an export, made from its manifests.

`write_page` writes one HTML file that needs no network, no server and no library.
"""

from tiffin.report.writing import Page, PageOfRun, is_page_name, make_page, write_page

__all__ = ["Page", "PageOfRun", "is_page_name", "make_page", "write_page"]
