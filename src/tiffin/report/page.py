"""Put the page together: one HTML file with its data, styles and scripts.

All text is data: it is in a block of JSON, and the script writes it as text. A Content
Security Policy allows the page's own scripts by their hashes, and no connection.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import os
import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

from tiffin.errors import ExistsError, WriteError
from tiffin.writers import publish, write_buffers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiffin.folders import Folders

GENERATOR = '<meta name="generator" content="tiffin">'
"""Tells a page of ours from other files."""

STYLES = ("vendor/uPlot.min.css", "style.css", "print.css")
SCRIPTS = (
    *("colormaps.js", "dom.js", "theme.js", "data.js", "pixels.js", "draw.js"),
    *("pane.js", "sheet.js", "table.js", "plot.js", "viewer.js", "main.js"),
)
"""The page's own script, in this order, as one block."""

DRAWING = ("colormaps.js", "dom.js", "theme.js", "pixels.js", "draw.js")
"""Those that draw an image, and the theme, for other pages too."""

INVISIBLE = re.compile("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters that JSON does not escape, and marks of text direction."""

PLOTS, LICENCE = "vendor/uPlot.iife.min.js", "vendor/uPlot.LICENSE"


def page_of(data: Mapping[str, Any], *, beside: bool = False) -> bytes:
    """Return a page whose script shows these data.

    `beside` tells whether it may load scripts with pixels that are beside it.
    """
    style = "\n".join(map(_asset, STYLES))
    plots = f"/*!\nuPlot:\n{_asset(LICENCE)}*/\n{_asset(PLOTS)}"
    own = "\n".join(map(_asset, SCRIPTS))
    script = f'"use strict";\n(() => {{\n{own}\n}})();\n'
    sources = " ".join([hash_of(plots), hash_of(script)])
    if beside:  # scripts that a script with a known hash adds
        sources += " 'strict-dynamic'"
    policy = (
        f"default-src 'none'; script-src {sources}; style-src {hash_of(style)}; "
        f"img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    page = Template(_asset("page.html")).substitute(
        policy=policy,
        generator=GENERATOR,
        title=html.escape(f"Images of {data['folder']}"),
        style=style,
        plots=plots,
        script=script,
        data=as_script(data),
    )
    return page.encode("utf-8", "backslashreplace")  # the title


def publish_page(folders: Folders, name: str, page: bytes, mode: int | None) -> Path:
    """Write a page, and return its path; replace only a page of ours."""
    path = Path(folders.root, name)
    try:
        with os.fdopen(folders.open_file(name), "rb") as file:
            is_ours = GENERATOR.encode() in file.read(4096)
    except FileNotFoundError:
        is_ours = True
    except OSError as error:
        raise WriteError(f"{path} can't be replaced: {error.strerror}") from error
    if not is_ours:
        message = f"{path} is not a page of tiffin: move it away, then try again"
        raise ExistsError(message)
    publish_part(folders, name, page, mode)
    return path


def publish_part(folders: Folders, name: str, part: bytes, mode: int | None) -> None:
    """Write a page, or what is beside it; replace what is there."""
    publish(
        Path(folders.root, name),
        lambda descriptor: write_buffers(descriptor, [part], "none"),
        replace=True,
        mode=mode,
        folders=folders,
    )


def drawing_parts() -> tuple[str, str]:
    """Return the styles of the page, and the scripts that draw an image."""
    return _asset("style.css"), "\n".join(map(_asset, DRAWING))


def as_script(data: Any) -> str:
    r"""Return JSON that is safe inside a script block.

    Examples
    --------
    >>> as_script("</script>")
    '"\\u003c/script>"'
    """
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # Shown as escapes: these could turn text around, or hide it.
    text = INVISIBLE.sub(lambda found: f"\\\\u{ord(found[0]):04x}", text)
    return text.encode("utf-8", "backslashreplace").decode()


def _asset(name: str) -> str:
    return (files("tiffin.report") / "assets" / name).read_text("utf-8")


def hash_of(text: str) -> str:
    """Return the source of a Content Security Policy that allows a text."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
