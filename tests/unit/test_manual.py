"""The pages of the manual are written so that they look right."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
SET_APART = re.compile(
    r"^ *(?P<fence>`{3,})[^`\n]*\n.*?^ *(?P=fence) *$|<!--.*?-->", re.S | re.M
)


@pytest.mark.parametrize("page", NAMES)
def test_examples_are_in_code_blocks(page):
    """Markdown takes ">>>" elsewhere for a quotation inside of two others."""
    text = SET_APART.sub("", (ROOT / page).read_text())

    assert not re.findall(r"^ *(?:>>>|\.\.\.|\$) .*", text, re.M)
