"""Compare what the readers give with what was written."""

import warnings
import zlib
from collections import defaultdict
from functools import partial

import numpy as np
import ome_types
import tifffile

import tiffin
from readers import EXACT, READERS, REFUSED, ROUNDED, WRONG, files, java, programs
from tiffin.writers.description import label

PROFILES = {"ImageJ": "imagej", "Bio-Formats": "ome"}
"""Programs that must also see how many channels, slices and frames there are."""


def outcomes(written):
    """Return reader → case → outcome: the worst of its files."""
    found = {reader: defaultdict(set) for reader in READERS}
    told = java.read([file.path for file in written])
    for file in written:
        for reader, read in programs.PYTHON.items():
            found[reader][file.case].add(compare(read, file))
        for reader in java.READERS:
            outcome = compare_checksum(reader, told[reader][file.path], file)
            found[reader][file.case].add(outcome)
    worst = (WRONG, REFUSED, ROUNDED, EXACT)
    return {
        reader: {case: min(all_of, key=worst.index) for case, all_of in of.items()}
        for reader, of in found.items()
    }


def compare(read, file):
    """Return the outcome of a reader in Python, which may raise anything."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pages = read(file.path)
    except Exception:  # noqa: BLE001
        return REFUSED
    if pages.size != file.pages.size:
        return WRONG
    same = partial(np.array_equal, pages.reshape(file.pages.shape), equal_nan=True)
    if same(file.pages):
        return EXACT
    return ROUNDED if same(file.pages.astype(np.float32)) else WRONG


def compare_checksum(reader, told, file):
    """Return the outcome of a reader in Java."""
    if isinstance(told, str):
        return REFUSED
    sizes, checksum, labels = told
    labelled = file.case.profile == "imagej" and file.case.compression == "none"
    if labels and labelled and labels != labels_of(file):
        return WRONG
    if PROFILES.get(reader) == file.case.profile and sizes not in sizes_of(file):
        return WRONG
    if checksum == crc32(file.pages):
        return EXACT
    return ROUNDED if checksum == crc32(file.pages.astype(np.float32)) else WRONG


def invalid_ome(written):
    """Yield a sentence for each OME-XML that is not valid for its schema."""
    for file in written:
        if file.case.profile == "ome":
            try:
                ome_types.validate_xml(tifffile.tiffcomment(file.path))
            except ValueError as error:
                yield f"{', '.join(file.case)}: OME-XML is not valid: {error}"


def crc32(pages):
    """Return the checksum of pixels as little-endian doubles."""
    return f"{zlib.crc32(pages.astype('<f8').tobytes()):x}"


def labels_of(file):
    """Return what ImageJ shows of each slice."""
    return [label(of_page) for of_page in tiffin.read_metadata(file.path)]


def sizes_of(file):
    """Return "c z t" as a program may show a file of its own profile."""
    if file.case.form == files.SCAN:
        return ["1 3 2"]
    samples = ("1", "3") if "colour" in file.case.kind else ("1",)
    return [f"{c} 1 {len(file.pages)}" for c in samples]
