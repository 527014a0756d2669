"""N. Names: make them for a run's frames, against `str.format` of the same template.

python -m bench.names [REPEATS] tells of more templates than the workload.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime

from bench.measure import Limit, Ratio, Workload
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
    "with a time": (
        "{start.sample_name|unnamed}/{start.scan_id}_{start.time:%Y%m%d-%H%M%S}_"
        "{event.data.temperature:.2f}_{event.seq_num:06d}.tif"
    ),
    "with motors": "{start.scan_id}_{motors:.2f}_{run}_{event.seq_num:06d}.tif",
}
WORKLOAD = "with a time"
PLAIN = "str.format"
FRAMES = 20_000
MOST = 5e-6  # [s] a name
START = {
    "uid": "7f3a1c2e-5d1f-4f0b-9d2c-0e8a1b2c3d4e",
    "scan_id": 42,
    "sample_name": "Ni foil",
    "proposal": "gup-31415",
    "time": 1795529389.5,
    "hints": {"dimensions": [[["temperature"], "primary"]]},
}
ROUNDS = 2000


def names_of(seq_num):
    """Give what a template may speak of, as a frame does: a new event each time."""
    data = {"temperature": 300.25 + seq_num * 0.01, "energy": 8979.123}
    return {
        "start": START,
        "descriptor": {"data_keys": {"temperature": {"units": "K"}}},
        "event": {"seq_num": seq_num, "time": 1795529389.5 + seq_num, "data": data},
        "stream": "primary",
        "field": "pe1_image",
        "i": 3,
        "frame": 9,
    }


def in_plain_python(names):
    """Put a time where `str.format` wants one, and a text that has no default there."""
    start = {**names["start"], "time": datetime.fromtimestamp(START["time"], UTC)}
    return {**names, "start": start}


def bracketed(template):
    """Write a template as `str.format` takes it: {start[sample_name]}."""
    pieces = []
    for piece in template.split("{"):
        expression, brace, rest = piece.partition("}")
        if brace:
            path, colon, specification = expression.partition("|")[0].partition(":")
            root, *keys = path.split(".")
            path = root + "".join(f"[{key}]" for key in keys)
            piece = "{" + path + colon + specification + "}" + rest
        pieces.append(piece)
    return "".join(pieces)


@contextmanager
def workload(*, tiny=False):
    """Give the workload: no file is written, but the last name told."""
    text = TEMPLATES[WORKLOAD]
    template, plain = Template(text, timezone="UTC"), bracketed(text)
    ours = [names_of(n) for n in range(1, 11 if tiny else FRAMES + 1)]
    theirs = [in_plain_python(names) for names in ours]
    made = {}

    def contender(name, render, all_names):
        def run(_folder):
            times = []
            for some in (all_names[n::4] for n in range(4)):
                begun = time.perf_counter()
                for names in some:
                    render(names)
                times.append((time.perf_counter() - begun) / len(some))
            made[name] = render(all_names[-1])
            return {"median": statistics.median(times), "longest": max(times)}

        return run

    def check(name, _folder):
        assert made[name] == plain.format_map(theirs[-1])

    yield Workload(
        key="N",
        title=f"names of {len(ours):,} frames, {WORKLOAD}",
        frames=len(ours),
        contenders={
            PLAIN: contender(PLAIN, plain.format_map, theirs),
            "tiffin": contender("tiffin", template.render, ours),
        },
        targets=[
            Limit(figure="median", must=MOST),
            Ratio(over=PLAIN, must=0.333, figure="median"),
        ],
        check=check,
        reference=PLAIN,
        notes=["no file is written"],
    )


def seconds(function, names):
    begun = time.perf_counter()
    for _ in range(ROUNDS):
        function(names)
    return (time.perf_counter() - begun) / ROUNDS


def main():
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    names = names_of(7)
    for title, text in TEMPLATES.items():
        template, plain = Template(text, timezone="UTC"), bracketed(text)
        if "motors" in text:  # which str.format has not
            ours = statistics.median(
                seconds(template.render, names) for _ in range(repeats)
            )
            print(f"{title:11} {ours * 1e6:5.2f} µs a name")
            continue
        theirs = in_plain_python(names)
        assert template.render(names) == plain.format_map(theirs)
        pairs = [
            (seconds(template.render, names), seconds(plain.format_map, theirs))
            for _ in range(repeats)
        ]
        ours = statistics.median(one for one, _ in pairs)
        ratio = statistics.median(one / other for one, other in pairs)
        print(f"{title:11} {ours * 1e6:5.2f} µs a name, {ratio:.2f} times str.format")


if __name__ == "__main__":
    main()
