"""The log as lines of JSON, for machines that collect logs."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime


def log_as_json() -> None:
    """Write the log to stderr, a line of JSON for each message, from INFO on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger("tiffin").setLevel(logging.INFO)
    logging.captureWarnings(capture=True)


class _Lines(logging.Formatter):
    """Makes a line of JSON of a message."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)
