"""Pass pages to the workers, small groups in batches."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from tiffin.export.stack_file import StackFile

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tiffin.engine import Pool
    from tiffin.export.context import ExportContext
    from tiffin.export.output_file import PageGroup
    from tiffin.export.sidecars import Sidecars
    from tiffin.export.worker import Worker

MOST_GROUPS = 32
"""How many groups a job has at most. Values from 16 to 64 are equally fast."""

ENOUGH = 4 * 2**20
"""How many bytes of images fill a job [bytes]."""


class JobQueue:
    """Collects groups of pages until there are enough for a job of the pool."""

    def __init__(
        self,
        context: ExportContext,
        pool: Pool,
        worker: Worker,
        sidecars: Sidecars,
    ) -> None:
        self._settings, _, self._ledger, self._manifests, _ = context
        self._pool = pool
        self._worker = worker
        self._sidecars = sidecars
        self._waiting: list[PageGroup] = []
        self._waiting_bytes = 0

    def submit(self, pages: PageGroup) -> None:
        """Pass pages to the workers, small groups in batches."""
        if self._settings.dry_run:
            return
        if self._settings.sidecars:
            self._sidecars.note(pages)
        run, number, _ = pages[0].place
        planned = self._ledger.is_planned  # unless a point was taken again
        writes = any(p.file is not None and planned(p.place) for p in pages)
        if not writes and not any(self._ledger.has(page.place) for page in pages):
            return  # `frames=` excludes all of them
        try:
            self._manifests.expect(run, number, writes=writes)
            nbytes = _memory_of(pages)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (recorded)
            self._worker.fail(pages, error)
            return
        for page in pages if self._settings.stack is not None else ():
            if isinstance(page.file, StackFile):
                if page.file.group is None:  # its lines come in the order of stacks
                    page.file.group = run, self._ledger.new_group()
                    self._manifests.expect(*page.file.group, writes=writes)
                page.file.submit()
        self._waiting.append(pages)
        self._waiting_bytes += nbytes
        if len(self._waiting) >= MOST_GROUPS or self._waiting_bytes >= ENOUGH:
            self.flush()

    def finish_stacks(self, stacks: Iterable[StackFile]) -> None:
        """Have stacks published that get no more pages, and whose pages are done."""
        for stack in stacks:
            self._pool.submit(0, partial(self._worker.finish, stack))

    def discard(self, stacks: Iterable[StackFile]) -> None:
        """Close the files of stacks that will not be complete; they have no names."""
        for stack in stacks:
            if not self._pool.hangs:  # a job that hangs may be writing to it
                stack.discard()

    def flush(self) -> None:
        """Pass on what waits for a job to fill up."""
        if self._waiting:
            job = partial(self._worker.export, self._waiting)
            nbytes, self._waiting, self._waiting_bytes = self._waiting_bytes, [], 0
            self._pool.submit(nbytes, job)


def _memory_of(pages: PageGroup) -> int:
    """Return how much memory a group takes, now or after reading [bytes]."""
    first = pages[0].frame
    nbytes = first.pixels.memory if first.pixels else 0
    return nbytes or first.nbytes * len(pages)
