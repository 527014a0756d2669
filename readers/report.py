"""The page of the manual that says what each program reads."""

import itertools
from importlib.metadata import version
from pathlib import Path

from readers import EXACT, READERS, REFUSED, ROUNDED, WRONG, files
from tiffin.writers import find_profile

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "readers.md"

HEAD = """# What other programs read

<!-- Written by readers/report.py: make readers -->

`make readers` writes a file of every profile, dtype, compression and form of stack,
reads it with each of these programs, and compares every pixel with what was exported.
It fails if a program reads anything else than its profile promises (✓), and if this
page is not what it found.

| result | what the program reads |
|---|---|
| exact | Each pixel has its value; ImageJ and Bio-Formats see the axes of a scan. |
| rounded | Integers are read as float32, which is exact up to 16,777,216. |
| **wrong** | Other pixels, missing pages or exchanged axes, without an error. |
| refused | An error, or no image. |

A cell names dtypes, compressions and forms of file; "int8 & compressed" is what is
both. Where two cells of a row name the same file, the one on the right holds. "Several
pages" are [stacks](../howto/stacks.md) of all forms, that of a grid scan among them.

For GSAS-II, which no package index has, the tests check the layout of the files by the
rules of its importer: see [GSAS-II](../howto/gsas2.md).

"""

NOTES = """
## Notes

- scikit-image takes three or four pages for colours, and puts that axis last.
- fabio reads compressed files, colours and BigTIFF through Pillow; of a BigTIFF the
  first page only.
- Pillow reads colours of 16 bits with 8 bits.
- libtiff is its program tiffcp.
"""


def page(found):
    """Return the page; `found` is reader → case → outcome."""
    tables = (_table(profile, found) for profile in files.PROFILES)
    return HEAD + "\n".join(tables) + NOTES


def broken_promises(found):
    """Yield a sentence for each case that a profile promises and a reader breaks."""
    for reader, outcomes in found.items():
        for case, outcome in outcomes.items():
            if outcome != EXACT and is_promised(reader, case):
                yield f"{reader} reads {', '.join(case)}: {outcome}"


def is_promised(reader, case):
    """Return whether a profile promises that a reader reads a case exactly."""
    return any(
        promise.reader == reader
        and (
            promise.compressions is None
            or case.compression in [c or "none" for c in promise.compressions]
        )
        and (promise.colours or "colour" not in case.kind)
        and (promise.bigtiff or case.form != files.BIG)
        for promise in find_profile(case.profile).promises
    )


def _table(name, found):
    profile = find_profile(name)
    lines = [
        f"## {name}",
        "",
        f"For {profile.program}.",
        "",
        "| program | exact | rounded | wrong | refused |",
        "|---|---|---|---|---|",
        *(_row(reader, name, found[reader]) for reader in READERS),
        "",
    ]
    return "\n".join(lines)


def _row(reader, name, outcomes):
    cases = {case: what for case, what in outcomes.items() if case.profile == name}
    cells = {}
    known = set()
    for outcome in (REFUSED, WRONG, ROUNDED):
        chosen = {case for case, what in cases.items() if what == outcome}
        cells[outcome] = describe(chosen, set(cases), known)
        known |= chosen
    exact = {case for case, what in cases.items() if what == EXACT}
    others = "all" if len(exact) == len(cases) else "all others" if exact else ""
    promised = {case for case in cases if is_promised(reader, case)}
    if promised and len(promised) < len(exact):
        others += f" (✓ {_promise(reader, name)})"
    elif promised:
        others += " ✓"
    wrong = f"**{cells[WRONG]}**" if cells[WRONG] else ""
    shown = (reader, others, cells[ROUNDED], wrong, cells[REFUSED])
    return f"| {' | '.join(shown)} |".replace("|  |", "| |").replace("|  |", "| |")


def _promise(reader, name):
    (promise,) = (p for p in find_profile(name).promises if p.reader == reader)
    limits = []
    if promise.compressions:
        limits.append(", ".join(c or "uncompressed" for c in promise.compressions))
    limits += [] if promise.colours else ["grey"]
    limits += [] if promise.bigtiff else ["classic TIFF"]
    return ", ".join(limits)


def describe(chosen, every, known=frozenset()):
    """Return which cases are chosen, in as few blocks as are found.

    `known` are those of which more is told elsewhere; they may be named as well.
    """
    left, inside = set(chosen), chosen | known
    if left and left | known == every:
        return "all others" if known else "all"
    parts = []
    while left:
        blocks = _blocks(every, inside, left)
        cases, text = max(blocks, key=lambda block: (len(block[0]), -len(block[1])))
        left -= cases
        parts.append(text)
    return "; ".join(parts)


def _blocks(every, inside, left):
    """Yield what is left in each block that is inside, and the text for it.

    A block is some kinds in all of some compressions and forms.
    """
    kinds, compressions, forms = (
        list(dict.fromkeys(getattr(case, name) for case in sorted(every, key=_place)))
        for name in ("kind", "compression", "form")
    )
    of_kind = {kind: [case for case in every if case.kind == kind] for kind in kinds}
    for some, which in itertools.product(_subsets(compressions), _subsets(forms)):
        block = {
            kind: {c for c in of_it if c.compression in some and c.form in which}
            for kind, of_it in of_kind.items()
        }
        there = [kind for kind in kinds if block[kind]]
        chosen = [kind for kind in there if block[kind] <= inside]
        named = [kind for kind in chosen if block[kind] & left]
        if named:
            named = chosen if chosen == there else named
            cases = left & set().union(*(block[kind] for kind in named))
            yield cases, _text(named, there, (some, compressions), (which, forms))


def _text(kinds, every_kind, compressions, forms):
    """Name a block by what of all it has."""
    texts = []
    if len(kinds) < len(every_kind):
        for name, is_colour in (("all grey", False), ("colours", True)):
            every = [kind for kind in every_kind if ("colour" in kind) == is_colour]
            some = [kind for kind in kinds if kind in every]
            if some and is_colour:
                some[0] = f"colours of {some[0]}"
            some = [kind.removesuffix(" colour") for kind in some]
            texts += [name] if len(some) == len(every) > 2 else some
        texts = [", ".join(texts)]
    some, every = compressions
    if set(some) == set(every) - {"none"}:
        texts.append("compressed")
    elif len(some) < len(every):
        texts.append(", ".join("uncompressed" if c == "none" else c for c in some))
    some, every = forms
    if set(some) == set(every) - {files.ONE}:
        texts.append("several pages")
    elif len(some) < len(every):
        texts.append(", ".join(some))
    return " & ".join(texts)


def _subsets(values):
    return [
        subset
        for count in range(len(values), 0, -1)
        for subset in itertools.combinations(values, count)
    ]


def _place(case):
    """Return where a case stands in the order in which they are written."""
    profile = find_profile(case.profile)
    dtype, _, colour = case.kind.partition(" ")
    compressions = [c or "none" for c in profile.compressions]
    return (
        bool(colour),
        profile.dtypes.index(dtype),
        compressions.index(case.compression),
        list(files.IMAGES).index(case.form),
    )


def versions():
    """Return the versions of the readers in Python, for the log of a run."""
    names = ("tifffile", "scikit-image", "fabio", "pillow", "opencv-python-headless")
    return ", ".join(f"{name} {version(name)}" for name in (*names, "pyvips-binary"))
