"""``tiffin checksums``: the sums of exported files, as GNU sha256sum writes them."""

from __future__ import annotations

import sys
from typing import Any

from tiffin.cli.command import Folder, JsonOption, command
from tiffin.cli.printing import print_json
from tiffin.verify import checksums as checksums_of


@command("follow_links")
def checksums(
    folder: Folder,
    json_lines: JsonOption = False,
    **settings: Any,
) -> None:
    """Print the SHA-256 of files, for sha256sum -c.

    Examples
    --------
    tiffin checksums out > SHA256SUMS
    """
    for digest, name in checksums_of(folder, **settings):
        if json_lines:
            print_json({"path": name, "sha256": digest})
            continue
        escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        mark = "" if escaped == name else "\\"  # says that the name is escaped
        sys.stdout.write(f"{mark}{digest}  {escaped}\n")
