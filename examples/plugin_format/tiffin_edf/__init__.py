"""Write images in the ESRF data format (EDF), which fabio, silx and pyFAI read.

An EDF file is a text header of ``key = value ;`` lines in curly brackets, padded to a
multiple of 512 bytes, and the pixels.
"""

import json

import numpy as np

from tiffin.errors import DtypeError

TYPES = {
    "uint8": "UnsignedByte",
    "uint16": "UnsignedShort",
    "uint32": "UnsignedInteger",
    "int8": "SignedByte",
    "int16": "SignedShort",
    "int32": "SignedInteger",
    "float32": "FloatValue",
    "float64": "DoubleValue",
}
BLOCK = 512


class EdfWriter:
    """Makes the bytes of an EDF file."""

    format = "edf"
    suffixes = (".edf",)
    options = ()  # it has no compression, level, profile or stretch
    dtypes = tuple(TYPES)
    most_frames = 1
    makes_folder = False

    def __init__(self, options):
        """Take the options of an export, of which this format uses none."""

    def takes(self, codec):
        return False  # always give arrays

    def size(self, shape, dtype):
        return None  # the header grows with the metadata

    def buffers(self, image, metadata):
        if image.dtype.name not in TYPES or image.ndim != 2:
            message = f"EDF can't store {image.dtype} of shape {image.shape}"
            raise DtypeError(message)
        pixels = np.ascontiguousarray(image, image.dtype.newbyteorder("<"))
        rows, columns = pixels.shape
        entries = {
            "HeaderID": "EH:000001:000000:000000",
            "Image": 1,
            "ByteOrder": "LowByteFirst",
            "DataType": TYPES[pixels.dtype.name],
            "Dim_1": columns,
            "Dim_2": rows,
            "Size": pixels.nbytes,
            "tiffin": as_text(metadata),
        }
        lines = "".join(f"{key} = {value} ;\n" for key, value in entries.items())
        head = f"{{\n{lines}".encode("ascii")
        padding = -(len(head) + 2) % BLOCK
        return [head + b" " * padding + b"}\n", pixels.data]


def as_text(metadata):
    """Return JSON in ASCII without the characters that end a value or the header."""
    text = json.dumps(metadata)
    for character in ";{}":
        text = text.replace(character, f"%{ord(character):02x}")
    return text
