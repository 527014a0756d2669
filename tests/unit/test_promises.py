"""What profiles promise of other programs, and the page that says what these read."""

import dataclasses
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

import readers.report
from readers import EXACT, READERS, REFUSED, WRONG
from readers.files import ONE, PROFILES, Case, cases
from readers.report import PAGE, broken_promises, describe, is_promised
from tiffin.writers import Promise, find_profile


@pytest.mark.parametrize("name", PROFILES)
def test_a_profile_promises_what_is_tried(name):
    """Each profile promises something, of readers and compressions that there are."""
    profile = find_profile(name)
    assert profile.promises
    assert {promise.reader for promise in profile.promises} <= {*READERS}
    for promise in profile.promises:
        assert {*(promise.compressions or ())} <= {*profile.compressions}


def test_the_manual_shows_every_promise():
    """Each has its mark in the table of its profile."""
    _, *tables = PAGE.read_text(encoding="utf-8").split("\n## ")
    for name, table in zip(PROFILES, tables, strict=False):
        assert table.startswith(f"{name}\n")
        lines = [line for line in table.splitlines() if "✓" in line]
        marked = {line.split(" | ")[0][2:] for line in lines}
        assert marked == {promise.reader for promise in find_profile(name).promises}


def test_a_promise_that_does_not_hold_is_told(monkeypatch):
    """Only of the cells that it is about."""
    mine = dataclasses.replace(
        find_profile("plain"), promises=(Promise("fabio", compressions=(None,)),)
    )
    monkeypatch.setattr(readers.report, "find_profile", lambda _: mine)
    good = Case("plain", "uint8", "zlib", ONE)
    bad = Case("plain", "uint8", "none", ONE)
    assert not is_promised("fabio", good)
    found = {"fabio": {good: WRONG, bad: REFUSED}, "Pillow": {bad: WRONG}}
    assert [*broken_promises(found)] == [
        "fabio reads plain, uint8, none, one image: refused"
    ]
    assert not [*broken_promises({"fabio": {bad: EXACT}})]


def test_cases_are_told_by_what_they_have_in_common():
    """Shortly, and no other case with them."""
    every = {case for case in cases() if case.profile == "plain"}
    some = {case for case in every if case.compression == "zstd" or "8" in case.kind}
    assert describe(every, every) == "all"
    assert describe(some, every) == "zstd; uint8, int8, colours of uint8, int8"
    left = every - some
    assert describe(left, every, some) == "all others"
    assert describe({case for case in left if case.form == ONE}, every, some) == ONE
