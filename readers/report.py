"""The page of the manual that says what each program reads: docs/reference/readers.md."""

import itertools
from importlib.metadata import version
from pathlib import Path

from readers import files
from readers.outcomes import EXACT, READERS, REFUSED, ROUNDED, WRONG
from tiffin.writers import find_profile

PAGE = Path(__file__).parent.parent / "docs" / "reference" / "readers.md"

HEAD = """# What other programs read

<!-- Written by readers/report.py: make readers -->

`make readers` writes a file of every profile, dtype, compression and form of stack, reads it
with each of these programs, and compares every pixel with what was exported. It fails if
a program reads anything else than its profile promises (✓), and if this page is not
what it found.

| | |
|---|---|
| exact | Each pixel has its value. In files of ImageJ and OME, ImageJ and Bio-Formats also see the axes of a scan. |
| rounded | Integers are read as float32, which is exact up to 16,777,216. |
| refused | An error, or no image. |
| **wrong** | Other pixels, missing pages or exchanged axes, without an error. |

A cell names dtypes, compressions and forms of file; "int8 & compressed" is what is both. Where
two cells of a row name the same file, the one on the right holds. "Several pages" are those of
[stacks](../howto/stacks.md), a grid scan among them.

For GSAS-II, which no package index has, the tests check the layout of the files by the
rules of its importer: see [GSAS-II](../howto/gsas2.md).

"""

NOTES = """
## Notes

- scikit-image takes the pages of a file with three or four of them for colours, and puts
  that axis last.
- fabio reads compressed files through Pillow.
- Pillow reads colours of 16 bits with 8 bits, and so does fabio. Of a BigTIFF fabio reads
  the first page only.
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
        "| program | exact | rounded | refused | wrong |",
        "|---|---|---|---|---|",
        *(_row(reader, name, found[reader]) for reader in READERS),
        "",
    ]
    return "\n".join(lines)


def _row(reader, name, outcomes):
    cases = {case: what for case, what in outcomes.items() if case.profile == name}
    cells = {}
    known = set()
    for outcome in (WRONG, REFUSED, ROUNDED):
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
    shown = (reader, others, cells[ROUNDED], cells[REFUSED], wrong)
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
    left = set(chosen)
    if left and left | known == every:
        return "all others" if known else "all"
    blocks = list(_blocks(every, chosen | known)) if left else []
    parts = []
    while left:
        cases, text = max(blocks, key=lambda block: (len(block[0] & left), -len(block[1])))
        left -= cases
        parts.append(text)
    return "; ".join(parts)


def _blocks(every, inside):
    """Yield sets of cases that are inside, and the text for each.

    A block is all kinds of some compressions and forms.
    """
    kinds, compressions, forms = (
        list(dict.fromkeys(getattr(case, name) for case in sorted(every, key=_place)))
        for name in ("kind", "compression", "form")
    )
    for some, which in itertools.product(_subsets(compressions), _subsets(forms)):
        of_kind = {
            kind: {c for c in every if c[1] == kind and c[2] in some and c[3] in which}
            for kind in kinds
        }
        chosen = [kind for kind in kinds if of_kind[kind] and of_kind[kind] <= inside]
        if chosen:
            cases = set().union(*(of_kind[kind] for kind in chosen))
            yield cases, _text((chosen, kinds), (some, compressions), (which, forms))


def _text(kinds, compressions, forms):
    """Name a block; each argument is what it has, and what there is."""
    colours = [kind for kind in kinds[1] if "colour" in kind]
    chosen = [kind for kind in kinds[0] if kind not in colours]
    if set(colours) <= set(kinds[0]) and colours:
        chosen.append("colours")
    else:
        chosen += [kind for kind in kinds[0] if kind in colours]
    texts = [", ".join(chosen)] if len(kinds[0]) < len(kinds[1]) else []
    if set(compressions[0]) == set(compressions[1]) - {"none"}:
        texts.append("compressed")
    elif len(compressions[0]) < len(compressions[1]):
        some = ["uncompressed" if c == "none" else c for c in compressions[0]]
        texts.append(", ".join(some))
    if set(forms[0]) == set(forms[1]) - {files.ONE}:
        texts.append("several pages")
    elif len(forms[0]) < len(forms[1]):
        texts.append(", ".join(forms[0]))
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
