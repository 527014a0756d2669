"""The page "When something went wrong" has the messages as they are."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/howto/problems.md"


def texts_of(node):
    """Yield a string of the code, with … for what is filled in."""
    for child in ast.walk(node):
        if isinstance(child, ast.Constant) and isinstance(child.value, str):
            yield child.value
        elif isinstance(child, ast.JoinedStr):
            parts = (
                p.value if isinstance(p, ast.Constant) else "…" for p in child.values
            )
            yield "".join(map(str, parts))


@pytest.fixture(scope="module")
def source():
    """Return all texts of the code, one after the other."""
    files = (ROOT / "src").rglob("*.py")
    return "\n".join(t for f in files for t in texts_of(ast.parse(f.read_text())))


def quoted():
    """Yield the messages in the left column, each with its row."""
    for line in PAGE.read_text().splitlines():
        found = re.match(r"\| `([^`]+)` \|", line)
        if found:
            yield found[1]


@pytest.mark.parametrize("message", [*quoted()])
def test_a_message_of_the_page_is_one_of_the_code(message, source):
    """What a user searches for is what tiffin says."""
    fragments = re.split(r"…|'[^']*'|\{[^}]*\}|\[|\d+(?:\.\d+)?", message)
    wanted = max((f.strip(" :,") for f in fragments), key=len)
    assert len(wanted) >= 7, wanted
    assert wanted in source
