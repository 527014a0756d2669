"""What people see: lines on a terminal, and tracebacks and reports in notebooks.

IPython is never imported here: only a session that runs already is asked.
"""

from tiffin.display.html import (
    draw_thumbnails_with,
    exporter_html,
    record_html,
    report_html,
)
from tiffin.display.ipython import running_ipython, short_traceback
from tiffin.display.json_log import log_as_json
from tiffin.display.notebook_progress import shown_progress
from tiffin.display.short_text import count_text, shortened, size_text
from tiffin.display.terminal import print_log, say

__all__ = [
    "count_text",
    "draw_thumbnails_with",
    "exporter_html",
    "log_as_json",
    "print_log",
    "record_html",
    "report_html",
    "running_ipython",
    "say",
    "short_traceback",
    "shortened",
    "shown_progress",
    "size_text",
]
