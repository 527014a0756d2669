"""Make names of frames, against `str.format` of the same template.

python bench/names.py [REPEATS]
"""

import statistics
import sys
import time

from tiffin import Template

TEMPLATES = {
    "cookbook": "{start.scan_id}_step{event.seq_num}.tif",
    "typical": (
        "{start.sample_name}/{start.scan_id}_{event.seq_num:04d}_"
        "T{event.data.temperature:.1f}K.tif"
    ),
    "long": (
        "{start.proposal}/{start.sample_name}/{start.uid:.6}_{stream}_{field}_"
        "{event.data.energy:.2f}eV_{event.seq_num:04d}_{i:03d}.tif"
    ),
}

NAMES = {
    "start": {
        "uid": "7f3a1c2e-5d1f-4f0b-9d2c-0e8a1b2c3d4e",
        "scan_id": 42,
        "sample_name": "Ni foil",
        "proposal": "gup-31415",
    },
    "descriptor": {},
    "event": {"seq_num": 7, "data": {"temperature": 300.25, "energy": 8979.123}},
    "stream": "primary",
    "field": "pe1_image",
    "i": 3,
    "frame": 9,
}

ROUNDS = 2000


def bracketed(template):
    """Write a template as `str.format` takes it: {start[sample_name]}."""
    pieces = []
    for piece in template.split("{"):
        expression, brace, rest = piece.partition("}")
        if brace:
            path, colon, specification = expression.partition(":")
            root, *keys = path.split(".")
            path = root + "".join(f"[{key}]" for key in keys)
            piece = "{" + path + colon + specification + "}" + rest
        pieces.append(piece)
    return "".join(pieces)


def seconds(function, names):
    begun = time.perf_counter()
    for _ in range(ROUNDS):
        function(names)
    return (time.perf_counter() - begun) / ROUNDS


def main():
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    for title, text in TEMPLATES.items():
        template, plain = Template(text), bracketed(text)
        assert template.render(NAMES) == plain.format(**NAMES)
        pairs = [
            (seconds(template.render, NAMES), seconds(plain.format_map, NAMES))
            for _ in range(repeats)
        ]
        ours = statistics.median(one for one, _ in pairs)
        ratio = statistics.median(one / other for one, other in pairs)
        print(f"{title:10} {ours * 1e6:5.2f} µs a name, {ratio:.2f} times str.format")


if __name__ == "__main__":
    main()
