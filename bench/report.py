"""Tell what was measured: a table, a JSON file, a plot, and the manual's page.

python -m bench.report makes them again from the JSON file of the last run.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"
JSON = DOCS / "bench.json"
PLOT = DOCS / "_static" / "bench.svg"
PAGE = DOCS / "explanation" / "performance.md"

LIBRARIES = (
    "tiffin",
    "numpy",
    "tifffile",
    "isal",
    "imagecodecs",
    "h5py",
    "hdf5plugin",
    "tiled",
    "bluesky-tiled-plugins",
    "event-model",
    "suitcase-tiff",
)

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def told(workloads, *, load):
    """Give all that is kept of a run, in plain values."""
    now = datetime.datetime.now(datetime.UTC)
    return {
        "date": now.strftime("%Y-%m-%d"),
        "machine": {**machine(), "load before": load},
        "versions": versions(),
        "workloads": workloads,
    }


def machine():
    """Describe this machine without its name."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "python": platform.python_version(),
    }


def versions():
    found = {}
    for name in LIBRARIES:
        try:
            found[name] = version(name).partition("+")[0]
        except PackageNotFoundError:
            found[name] = None
    return found


# ---- lines of the table


def lines(run):
    """Give a line for each target: key, what, ratio, what it must reach, mark."""
    for workload in run["workloads"]:
        for target in workload["targets"]:
            yield (
                workload["key"],
                _what(target),
                _value(target, target["value"]),
                _must(target),
                {None: "", True: "met", False: "MISSED"}[target["met"]],
            )


def table(run):
    """Give the table as text for a terminal."""
    rows = list(lines(run))
    wide = max(len(row[1]) for row in rows)
    out = []
    for workload in run["workloads"]:
        out.append(f"{workload['key']}  {workload['title']} ({_counted(workload)})")
        for key, what, value, must, mark in rows:
            if key == workload["key"]:
                out.append(f"     {what:{wide}}  {value:>9}  {must:>9}  {mark}")
        out.append(f"     {_times(workload)}")
        out += [f"     {note}" for note in workload["notes"]]
    met = [row[4] for row in rows if row[4]]
    out.append(f"{met.count('met')} of {len(met)} targets met")
    return "\n".join(out)


def markdown(run):
    """Give the table, and how it was made, for the manual."""
    m = run["machine"]
    out = [
        f"Measured on {run['date']}: {m['cores']} cores ({m['processor']}), "
        f"{m['memory']}, {m['system']}, Python {m['python']}, "
        + ", ".join(f"{name} {v}" for name, v in run["versions"].items() if v)
        + ".",
        "",
        "| | workload | tiffin against | measured | must reach | |",
        "|---|---|---|---|---|---|",
    ]
    titles = {w["key"]: w["title"] for w in run["workloads"]}
    for key, what, value, must, mark in lines(run):
        title = titles.pop(key, "")
        mark = "**missed**" if mark == "MISSED" else mark
        shown = key if title else ""
        out.append(f"| {shown} | {title} | {what} | {value} | {must} | {mark} |")
    out += ["", "A frame took, in milliseconds (medians):", ""]
    for w in run["workloads"]:
        notes = "".join(f"; {note}" for note in w["notes"])
        out.append(f"* {w['key']}: {_times(w)} ({_counted(w)}{notes})")
    return "\n".join(out)


def _what(target):
    who, over = target["contender"], target["over"]
    if over is None:
        kind = {"p99": "99th percentile"}.get(target["figure"], target["figure"])
        return f"{_ours(who)}{kind} of a call"
    kind = "" if target["figure"] == "seconds" else f", {target['figure']} of a call"
    return f"{_ours(who)}{over}{kind}"


def _ours(who):
    """Say which variant of tiffin it is, where it is not the plain one."""
    return "" if who == "tiffin" else f"({who.removeprefix('tiffin, ')}) "


def _value(target, value):
    if target["over"] is None:
        return f"{value * 1e6:.0f} µs"
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def _must(target):
    if target["must"] is None:
        return ""
    if target["over"] is None:
        return f"< {target['must'] * 1e6:.0f} µs"
    return f"≥ {target['must']:g}"


def _times(workload):
    times = (
        f"{name} {figures['seconds'] / workload['frames'] * 1e3:.3g}"
        for name, figures in workload["contenders"].items()
        if "median" not in figures
    )
    calls = (
        f"a call of {name} {figures['median'] * 1e3:.3g} "
        f"(longest {figures['longest'] * 1e3:.3g})"
        for name, figures in workload["contenders"].items()
        if "median" in figures
    )
    return ", ".join([*times, *calls])


def _counted(workload):
    return f"{workload['repetitions']} repetitions, {workload['discarded']} discarded"


# ---- the plot


def plot(run, path=None):
    """Draw how much of each target is reached: a bar a target, from 1 it is met."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    bars = [
        (workload["key"], target)
        for workload in run["workloads"]
        for target in workload["targets"]
        if target["share"] is not None
    ]
    mpl.rcParams["svg.hashsalt"] = "tiffin"
    figure, axes = plt.subplots(figsize=(9, 1.4 + 0.32 * len(bars)))
    shares = [target["share"] for _, target in bars]
    colours = ["#2a7f62" if target["met"] else "#c8553d" for _, target in bars]
    widths = [share - 1 for share in shares]  # a log axis has no zero to begin at
    axes.barh(range(len(bars)), widths, left=1, color=colours, height=0.7)
    axes.axvline(1, color="black", linewidth=1)
    for n, (_, target) in enumerate(bars):
        told = f" {_value(target, target['value'])}  (must: {_must(target)})"
        axes.text(max(target["share"], 1), n, told, va="center", fontsize=8)
    axes.set_xscale("log")
    axes.set_xlim(min(0.25, *shares) * 0.8, max(2, *shares) * 4)
    ticks = [t for t in (0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32) if _within(axes, t)]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_yticks(
        range(len(bars)), [f"{key}  {_what(t)}" for key, t in bars], fontsize=8
    )
    for tick, colour in zip(axes.get_yticklabels(), colours, strict=True):
        tick.set_color("black" if colour == "#2a7f62" else colour)
    before = [n for n in range(1, len(bars)) if bars[n][0] != bars[n - 1][0]]
    for n in before:
        axes.axhline(n - 0.5, color="#bbbbbb", linewidth=0.6)
    axes.set_ylim(len(bars) - 0.4, -0.6)
    axes.set_xlabel("measured, as a share of what must be reached (1: met)")
    axes.set_title("tiffin against …", loc="left", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    path = path or PLOT
    path.parent.mkdir(parents=True, exist_ok=True)
    # No date, so that the same figures give the same file.
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    figure.savefig(path, metadata=metadata, dpi=110)
    plt.close(figure)


def _within(axes, tick):
    low, high = axes.get_xlim()
    return low <= tick <= high


# ---- the documents


def keep(run):
    """Write the JSON file, and all that is made of it."""
    JSON.write_text(json.dumps(run, indent=1, ensure_ascii=False) + "\n")
    render(run)


def render(run):
    plot(run)
    text = PAGE.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{markdown(run)}\n\n{END}{after}")


def _field(path, name):
    try:
        text = Path(path).read_text()
    except OSError:
        return None
    found = (line.partition(":") for line in text.splitlines())
    return next((v.strip() for k, _, v in found if k.strip() == name), None)


def _memory():
    told = _field("/proc/meminfo", "MemTotal")
    return f"{int(told.split()[0]) / 2**20:.0f} GiB" if told else "?"


if __name__ == "__main__":
    last = json.loads(JSON.read_text())
    render(last)
    print(table(last))
