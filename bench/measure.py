"""Measure contenders against each other in the same run.

A workload names its contenders, what they must reach, and how their files are checked.
Each repetition runs all of them in turn, beginning and ending with the reference; a
repetition in which the reference is far off its own median, or other processes had much
of the processors, is discarded. What counts is the median of the repetitions' ratios.
"""

from __future__ import annotations

import gc
import os
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Figures = dict[str, float]
"""What one run of a contender gave: "seconds", and what it measured by itself [s]."""

DISTURBED = 0.4
"""A reference so far off its median tells of other processes."""

OTHERS = 0.1
"""A share of the processors that other processes must not exceed."""

ONCE_MORE = 2
"""So many repetitions more are made for those that were discarded."""


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times as fast as another one a contender is; 0.5 is half as fast."""

    over: str
    must: float | None
    contender: str = "tiffin"
    figure: str = "seconds"

    def value(self, figures: Mapping[str, Figures]) -> float:
        return figures[self.over][self.figure] / figures[self.contender][self.figure]

    def share(self, value: float) -> float | None:
        """Give how much of what it must reach it reaches; from 1 it is met."""
        return None if self.must is None else value / self.must


@dataclass(frozen=True, kw_only=True)
class Limit:
    """What a figure of a contender must stay below [s]."""

    figure: str
    must: float
    contender: str = "tiffin"
    over: None = None

    def value(self, figures: Mapping[str, Figures]) -> float:
        return figures[self.contender][self.figure]

    def share(self, value: float) -> float | None:
        # An excess may be zero or less.
        return self.must / max(value, self.must / 100)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What is measured.

    Attributes
    ----------
    key, title : str
    frames : int
        That each contender writes; figures are told a frame.
    contenders : mapping
        Name → what writes the frames into an empty folder. It may give figures that it
        measured by itself; the seconds that it took are measured here.
    targets : sequence
        Those of contenders that are not there, as a peer that is not installed, are
        left out.
    check : callable
        Gets a contender's name and its folder; raises if the files are not right.
    reference : str
        The contender that tells whether a repetition was disturbed.
    notes : sequence of str
        What a reader must know.
    alone : bool
        Whether all the work is this process's, so that other processes disturb.
    """

    key: str
    title: str
    frames: int
    contenders: Mapping[str, Callable[[Path], Figures | None]]
    targets: Sequence[Ratio | Limit]
    check: Callable[[str, Path], None]
    reference: str = "bare"
    repetitions: int = 5
    notes: Sequence[str] = ()
    alone: bool = True


@dataclass(frozen=True, kw_only=True)
class Result:
    """All repetitions of a workload, as far as they count."""

    workload: Workload
    repetitions: Sequence[Mapping[str, Figures]]
    discarded: int
    all_disturbed: bool = False

    def told(self) -> dict:
        """Give what is kept of it, in plain values."""
        w = self.workload
        there = [
            t for t in w.targets if {t.contender, t.over} - {None} <= {*w.contenders}
        ]
        return {
            "key": w.key,
            "title": w.title,
            "frames": w.frames,
            "repetitions": len(self.repetitions),
            "discarded": self.discarded,
            "notes": [
                *w.notes,
                *_absent(w),
                *["all repetitions were disturbed"] * self.all_disturbed,
            ],
            "contenders": {name: self._medians(name) for name in w.contenders},
            "targets": [self._told(target) for target in there],
        }

    def _told(self, target: Ratio | Limit) -> dict:
        values = [target.value(figures) for figures in self.repetitions]
        value = statistics.median(values)
        share = target.share(value)
        return {
            "contender": target.contender,
            "over": target.over,
            "figure": target.figure,
            "value": value,
            "lowest": min(values),
            "highest": max(values),
            "must": target.must,
            "share": share,
            "met": None if share is None else share >= 1,
        }

    def _medians(self, name: str) -> Figures:
        found = [figures[name] for figures in self.repetitions]
        return {key: statistics.median(f[key] for f in found) for key in found[0]}


def measure(workload: Workload, tell: Callable[[str], None] = print) -> Result:
    """Repeat a workload until enough repetitions were not disturbed."""
    once(workload.contenders[workload.reference])  # the RAM disk's pages are new once
    done: list[_Repetition] = []
    kept: list[_Repetition] = []
    while len(kept) < workload.repetitions:
        if len(done) == workload.repetitions + ONCE_MORE:
            break
        done.append(_repetition(workload, len(done)))
        told = (f"{n} {f['seconds']:.2f} s" for n, f in done[-1].figures.items())
        tell(f"{workload.key}: {', '.join(told)}; others {done[-1].others:.0%}")
        kept = [one for one in done if not _is_disturbed(one, done)]
    all_disturbed = not kept
    return Result(
        workload=workload,
        repetitions=[one.figures for one in kept or done],
        discarded=0 if all_disturbed else len(done) - len(kept),
        all_disturbed=all_disturbed,
    )


def once(
    contender: Callable[[Path], Figures | None],
    check: Callable[[Path], None] = lambda _: None,
) -> Figures:
    """Run a contender in a folder of its own on the RAM disk, and check its files."""
    folder = Path(tempfile.mkdtemp(prefix="tiffin-bench-", dir=ram_disk()))
    try:
        begun = time.perf_counter()
        figures = contender(folder)
        seconds = time.perf_counter() - begun
        check(folder)
    finally:
        shutil.rmtree(folder)
    return {"seconds": seconds, **(figures or {})}


def scaled(
    contender: Callable[[Path], object], factor: float
) -> Callable[[Path], Figures]:
    """Tell the seconds of a slow contender as if it had written all frames."""

    def write(folder: Path) -> Figures:
        begun = time.perf_counter()
        contender(folder)
        return {"seconds": (time.perf_counter() - begun) * factor}

    return write


def ram_disk() -> Path:
    """Give a folder in memory, or, where there is none, that of temporary files."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() else Path(tempfile.gettempdir())


def that_fit(frames: int, nbytes: int) -> int:
    """Give how many of some frames the RAM disk and the free memory hold."""
    room = shutil.disk_usage(ram_disk()).free * 0.9
    free = Path("/proc/meminfo")
    if free.exists():
        lines = dict(line.split(":") for line in free.read_text().splitlines())
        room = min(room, int(lines["MemAvailable"].split()[0]) * 1024 * 0.6)
    return max(min(frames, int(room // nbytes)), 1)


@dataclass(frozen=True, kw_only=True)
class _Repetition:
    figures: dict[str, Figures]
    references: list[float]  # [s]
    others: float  # share of the processors that other processes had


def _repetition(workload: Workload, turn: int) -> _Repetition:
    """Run all contenders, another one first each time, the reference around them."""
    names = [name for name in workload.contenders if name != workload.reference]
    turn %= len(names)
    order = [workload.reference, *names[turn:], *names[:turn], workload.reference]
    found: dict[str, list[Figures]] = {}
    gc.collect()
    busy = _others_busy()
    begun = time.perf_counter()
    for name in order:
        figures = once(
            workload.contenders[name], lambda folder, n=name: workload.check(n, folder)
        )
        found.setdefault(name, []).append(figures)
    available = (time.perf_counter() - begun) * (os.cpu_count() or 1)
    means = {
        name: {key: statistics.fmean(f[key] for f in all_of_it) for key in all_of_it[0]}
        for name, all_of_it in found.items()
    }
    return _Repetition(
        figures=means,
        references=[figures["seconds"] for figures in found[workload.reference]],
        others=max(_others_busy() - busy, 0) / available if workload.alone else 0,
    )


def _is_disturbed(one: _Repetition, done: Sequence[_Repetition]) -> bool:
    middle = statistics.median(s for each in done for s in each.references)
    off = max(abs(seconds / middle - 1) for seconds in one.references)
    return off > DISTURBED or one.others > OTHERS


def _others_busy() -> float:
    """Tell for how long other processes have been working, or other machines [s]."""
    counted = Path("/proc/stat")
    if not counted.exists():
        return 0
    ticks = [int(n) for n in counted.read_text().split("\n", 1)[0].split()[1:9]]
    busy = sum(ticks) - ticks[3] - ticks[4]  # not idle, nor waiting for a disk
    return busy / os.sysconf("SC_CLK_TCK") - sum(os.times()[:4])


def _absent(workload: Workload) -> list[str]:
    wanted = {target.over for target in workload.targets} - {None}
    return [
        f"{name} is not installed" for name in sorted(wanted - {*workload.contenders})
    ]
