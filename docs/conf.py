"""Sphinx configuration."""

import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

from docutils import nodes

sys.path.insert(0, str(Path(__file__).parent))
from pictures import make_for_manual

project = "tiffin"
copyright = "2026, the tiffin developers"
version = release = version_of("tiffin")
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_design",
]
exclude_patterns = ["_build", "reference/_*.md"]
html_theme = "pydata_sphinx_theme"
html_title = "tiffin"
html_theme_options = {"navigation_with_keys": False, "show_prev_next": False}
html_show_sourcelink = False
smartquotes = False  # it would make another word of --stream
html_sidebars = {"install": [], "tutorial/**": []}  # of which there is one page each
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
html_static_path = ["_static"]
html_css_files = ["manual.css"]


def without_last_line(_: Any, page: nodes.document) -> None:
    """Doctest needs a blank line after the last output; who reads it does not."""
    for block in page.findall(nodes.literal_block):
        block.rawsource = block.astext().rstrip()
        block.children = [nodes.Text(block.rawsource)]


def setup(app: Any) -> None:
    """Make the pictures before the pages are read."""
    app.connect("builder-inited", make_for_manual)
    app.connect("doctree-read", without_last_line)
