"""Plan a bulk export: which runs, how much, with which names. No pixel is read."""

from __future__ import annotations

import re
import shutil
import zlib
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tiffin.display import count_text, size_text
from tiffin.errors import CollisionError, SettingsError, TemplateError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tiffin.bulk.bulk_manifest import BulkManifest
    from tiffin.bulk.found_runs import FoundRun
    from tiffin.bulk.sample import Sample
    from tiffin.errors import TiffinError
    from tiffin.settings import Settings

__all__ = ["BulkPlan", "estimated", "make_plan", "share_of"]

SHOWN = 5
"""How many refused runs the text of a plan names."""


@dataclass(frozen=True, slots=True)
class BulkPlan:
    """The runs of a bulk export, oldest first.

    Attributes
    ----------
    runs : tuple of FoundRun
        All that were chosen.
    pending : tuple of FoundRun
        Those that are to be exported.
    refused : mapping of str to TiffinError
        By uid, why a run can't be exported: two runs would have the same names, or the
        template has no name for a run.
    problems : tuple of str
        Why files of the source hold no run that can be read.
    frames : int
        How many frames the pending runs have, as far as their stop documents tell.
    nbytes : int or None
        About how large their files are, from a sample [bytes].
    seconds : float or None
        About how long the export takes, from a sample [s].
    free : int or None
        The free space for the directory [bytes].
    """

    runs: tuple[FoundRun, ...]
    pending: tuple[FoundRun, ...]
    refused: Mapping[str, TiffinError]
    frames: int
    nbytes: int | None = None
    seconds: float | None = None
    free: int | None = None
    problems: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the disk has room, as far as is known."""
        return self.nbytes is None or self.free is None or self.nbytes <= self.free

    def __str__(self) -> str:
        done = len(self.runs) - len(self.pending) - len(self.refused)
        runs = count_text(len(self.runs), "run")
        lines = [f"{runs}: {len(self.pending)} to export, {done} done"]
        if self.refused:
            lines[0] += f", {len(self.refused)} refused"
        about = [f"about {count_text(self.frames, 'frame')}"]
        if self.nbytes is not None:
            about.append(size_text(self.nbytes))
        if self.seconds is not None:
            about.append(duration_text(self.seconds))
        lines.append(", ".join(about))
        if self.free is not None:
            room = "enough room" if self.fits else "TOO LITTLE ROOM"
            lines.append(f"{room}: {size_text(self.free)} free")
        open_runs = sum(not run.stop for run in self.pending)
        if open_runs:
            lines.append(
                f"{open_runs} without a stop document: exported as far as they are, "
                f"and looked at again by the next call"
            )
        refused = [f"{uid[:8]}: {error}" for uid, error in self.refused.items()]
        lines += refused[:SHOWN]
        if len(refused) > SHOWN:
            lines.append(f"… and {len(refused) - SHOWN} more")
        lines += self.problems
        return "\n".join(lines)


def make_plan(
    found: Sequence[FoundRun],
    settings: Settings,
    manifest: BulkManifest,
    *,
    shard: str | None = None,
    problems: Sequence[str] = (),
) -> BulkPlan:
    """Return what is left to do, with names checked between runs, also of others."""
    runs = share_of(found, shard)
    uids = {run.uid for run in runs}
    refused = {uid: e for uid, e in _refused(found, settings).items() if uid in uids}
    pending = tuple(
        run for run in runs if run.uid not in refused and not manifest.is_done(run)
    )
    return BulkPlan(
        tuple(runs),
        pending,
        refused,
        frames=sum(run.events or 0 for run in pending),
        free=_free(settings),
        problems=tuple(problems),
    )


def share_of(runs: Sequence[FoundRun], shard: str | None) -> Sequence[FoundRun]:
    """Return the runs of a share. It depends on their uids alone."""
    if shard is None:
        return runs
    found = re.fullmatch(r"(\d+)/(\d+)", str(shard).strip())
    number, shares = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= number <= shares:
        message = f"must be a share such as '2/8', the second of eight, not {shard!r}"
        raise SettingsError(message, setting="shard")
    return [run for run in runs if zlib.crc32(run.uid.encode()) % shares == number - 1]


def estimated(
    plan: BulkPlan, sample: Sample | None, settings: Settings, processes: int
) -> BulkPlan:
    """Return a plan with sizes and times as in a sample."""
    if sample is None:
        return plan
    frames = round(plan.frames * sample.frames_per_event)
    size = sample.file_size
    if size is None and settings.compression is None:
        size = sample.bytes_per_frame
    nbytes = None if size is None else round(frames * size)
    seconds = None
    if sample.seconds_per_run is not None and sample.seconds_per_frame is not None:
        runs = len(plan.pending) * sample.seconds_per_run
        seconds = (runs + frames * sample.seconds_per_frame) / processes
    return replace(plan, frames=frames, nbytes=nbytes, seconds=seconds)


def duration_text(seconds: float) -> str:
    """Return a duration in a unit that people read.

    Examples
    --------
    >>> duration_text(4.2), duration_text(3_700)
    ('4 s', '1 h 1 min')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _refused(runs: Sequence[FoundRun], settings: Settings) -> dict[str, TiffinError]:
    """Return the runs without a name of their own, by the start documents alone."""
    refused: dict[str, TiffinError] = {}
    runs_of: defaultdict[str, list[FoundRun]] = defaultdict(list)
    for run in runs:
        try:
            settings.template.check_start(run.start)
            name, is_certain = settings.template.of_start(run.start)
        except TemplateError as error:
            refused[run.uid] = error
            continue
        if is_certain:
            runs_of[name].append(run)
    for name, same in runs_of.items():
        for run in same if len(same) > 1 else ():
            other = next(each for each in same if each is not run)
            refused[run.uid] = CollisionError(
                f"its files would be named {name!r}, like those of run "
                f"{other.start.get('scan_id')} ({other.uid[:8]}): tell runs apart in "
                f"the template, as with {{start.scan_id}} or {{start.uid}}"
            )
    return refused


def _free(settings: Settings) -> int | None:
    for place in (settings.directory, *settings.directory.parents):
        try:
            return shutil.disk_usage(place).free
        except OSError:
            continue
    return None
