"""Remember each run of the service, in SQLite: whatever happens, none is forgotten."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tiffin.errors import SettingsError
from tiffin.service.owners import has_ended
from tiffin.service.run_state import (
    INCOMPLETE,
    RunState,
    State,
    is_small_int,
    number,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tiffin.bulk import FoundRun, FoundSource, TaskResult

__all__ = ["Journal", "RunState", "State"]

TABLES = """
CREATE TABLE IF NOT EXISTS runs (
    uid TEXT PRIMARY KEY,
    address TEXT NOT NULL,
    scan_id INTEGER,
    started REAL NOT NULL,
    state TEXT NOT NULL,
    tries INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    why TEXT NOT NULL DEFAULT '',
    written INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    nbytes INTEGER NOT NULL DEFAULT 0,
    seconds REAL NOT NULL DEFAULT 0,
    found REAL NOT NULL,
    stopped REAL,
    finished REAL
);
CREATE INDEX IF NOT EXISTS by_turn ON runs (state, tries, started);
CREATE INDEX IF NOT EXISTS by_start ON runs (started);
CREATE INDEX IF NOT EXISTS by_finish ON runs (finished);
CREATE TABLE IF NOT EXISTS files (
    path TEXT PRIMARY KEY, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS lease (
    one INTEGER PRIMARY KEY CHECK (one = 1), owner TEXT NOT NULL, until REAL NOT NULL
);
"""


COLUMNS = ", ".join(RunState._fields)


class Journal:
    """The journal of a service. Thread-safe.

    Parameters
    ----------
    path : Path
        The file, which is created with its folder.

    Raises
    ------
    SettingsError
        If the file can't be used as a journal.
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # Each statement is a transaction, unless one was begun by `_changes`.
            self._base = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=30
            )
        except (OSError, sqlite3.Error) as error:
            raise _refused(path, error) from error
        try:
            self._base.execute("PRAGMA journal_mode = WAL")
            self._base.execute("PRAGMA synchronous = FULL")
            self._base.executescript(TABLES)
        except sqlite3.Error as error:
            self._base.close()
            raise _refused(path, error) from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    # ---- runs

    def add(self, runs: Iterable[FoundRun]) -> int:
        """Add runs that are not known yet; return how many there were.

        A run without a stop document is ``"open"``; it is ``"waiting"`` when that has
        come, with all of its tries. A run that has moved gets its new address, and
        another chance if it had failed.
        """
        now, new = time.time(), 0
        with self._changes():
            for run in runs:
                scan_id = run.start.get("scan_id")
                new += self._base.execute(
                    "INSERT INTO runs "
                    "(uid, address, scan_id, started, state, found, stopped) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (uid) DO UPDATE SET "
                    "address = excluded.address, stopped = excluded.stopped, "
                    "why = CASE state WHEN 'failed' THEN '' ELSE why END, "
                    "tries = CASE WHEN state IN ('open', 'failed') THEN 0 "
                    "ELSE tries END, "
                    "state = CASE state WHEN 'working' THEN state ELSE 'waiting' END "
                    "WHERE excluded.state = 'waiting' AND (state = 'open' OR "
                    "(state != 'done' AND address != excluded.address))",
                    (
                        text(run.uid),
                        run.address,
                        scan_id if is_small_int(scan_id) else None,
                        number(run.start.get("time")),
                        "waiting" if run.stop else "open",
                        now,
                        _stopped(run, now),
                    ),
                ).rowcount
        return new

    def add_files(self, files: Iterable[FoundSource]) -> int:
        """Add the runs of files that were read, and note which files have ended."""
        new = 0
        with self._changes():
            for file in files:
                new += self.add(file.runs)
                if file.has_ended:
                    self._base.execute(
                        "INSERT OR REPLACE INTO files VALUES (?, ?, ?)",
                        (file.path, file.size, file.mtime_ns),
                    )
        return new

    def begin(self, run: FoundRun) -> None:
        """Add a run that has begun, or begin one again that was incomplete."""
        self.add([run])
        with self._changes():
            self._base.execute(
                "UPDATE runs SET state = 'open', why = '', address = ?, "
                "finished = NULL WHERE uid = ? AND state = 'failed'",
                (run.address, text(run.uid)),
            )

    def add_incomplete(self, run: FoundRun, why: str) -> None:
        """Add a run of which documents were lost: it is not exported by itself."""
        self.add([run])
        with self._changes():
            self._base.execute(
                "UPDATE runs SET state = 'failed', why = ?, address = ?, finished = ? "
                "WHERE uid = ? AND state IN ('open', 'waiting')",
                (f"{INCOMPLETE}{why}", run.address, time.time(), text(run.uid)),
            )

    def take(self) -> RunState | None:
        """Return the oldest run that is to be exported now, and note that it begins."""
        with self._changes():
            found = self._base.execute(
                f"SELECT {COLUMNS} FROM runs WHERE state = 'waiting' "
                "AND not_before <= ? ORDER BY tries, started LIMIT 1",
                (time.time(),),
            ).fetchone()
            if found is None:
                return None
            run = RunState(*found)
            self._base.execute(
                "UPDATE runs SET state = 'working', tries = tries + 1 WHERE uid = ?",
                (run.uid,),
            )
        return run._replace(state="working", tries=run.tries + 1)

    def finish(self, uid: str, state: State, result: TaskResult) -> None:
        """Note what has become of a run: done, or failed for good."""
        with self._changes():
            self._base.execute(
                "UPDATE runs SET state = ?, why = ?, written = ?, skipped = ?, "
                "failed = ?, nbytes = ?, seconds = ?, finished = ? WHERE uid = ?",
                (
                    state,
                    result.why,
                    result.written,
                    result.skipped,
                    result.failed,
                    result.nbytes,
                    result.seconds,
                    time.time(),
                    uid,
                ),
            )

    def note_live(self, uid: str, *, begins: bool) -> None:
        """Note that the live export of an open run begins, or ends without a kill."""
        with self._changes():
            self._base.execute(
                "UPDATE runs SET tries = CASE WHEN ? THEN tries + 1 ELSE 0 END "
                "WHERE uid = ? AND state = 'open'",
                (begins, text(uid)),
            )

    def note_progress(self, uid: str, result: TaskResult) -> None:
        """Note how far the live export of an open run is."""
        counts = (result.written, result.skipped, result.failed, result.nbytes)
        with self._changes():
            self._base.execute(
                "UPDATE runs SET written = ?, skipped = ?, failed = ?, nbytes = ? "
                "WHERE uid = ? AND state = 'open'",
                (*counts, text(uid)),
            )

    def postpone(self, uid: str, why: str, seconds: float, *, counts: bool) -> None:
        """Try a run again later; `counts` tells whether this was a try."""
        with self._changes():
            self._base.execute(
                "UPDATE runs SET state = 'waiting', why = ?, not_before = ?, "
                "tries = tries - ? WHERE uid = ?",
                (why, time.time() + seconds, 0 if counts else 1, uid),
            )

    def retry(self, uid: str | None = None) -> int:
        """Export a run now that has failed, or all of these; return how many."""
        with self._changes():
            changed = self._base.execute(
                "UPDATE runs SET state = 'waiting', tries = 0, not_before = 0 "
                "WHERE (state = 'failed' OR (state = 'waiting' AND not_before > 0)) "
                "AND (? IS NULL OR uid = ?)",
                (uid, uid),
            )
        return changed.rowcount

    def recover(self) -> int:
        """Export runs again whose export was interrupted; return how many there are."""
        with self._changes():
            changed = self._base.execute(
                "UPDATE runs SET state = 'waiting' WHERE state = 'working'"
            )
        return changed.rowcount

    def open_runs(self) -> list[RunState]:
        """Return the runs without a stop document."""
        return self._select("WHERE state = 'open' ORDER BY started")

    def get(self, uid: str) -> RunState | None:
        """Return a run; None if it is not known."""
        found = self._select("WHERE uid = ?", text(uid))
        return found[0] if found else None

    def newest(self, count: int = 50, state: State | None = None) -> list[RunState]:
        """Return the newest runs, the newest first."""
        where, values = ("", ()) if state is None else ("WHERE state = ? ", (state,))
        return self._select(f"{where}ORDER BY started DESC LIMIT ?", *values, count)

    def failing(self, count: int) -> list[RunState]:
        """Return the newest runs that have failed, given up or not."""
        return self._select(
            "WHERE state = 'failed' OR (state IN ('waiting', 'working') AND why != '') "
            "ORDER BY started DESC LIMIT ?",
            count,
        )

    def finished_since(self, when: float, count: int = 1000) -> list[RunState]:
        """Return the runs that were finished after a time, the newest first."""
        return self._select(
            "WHERE finished > ? ORDER BY finished DESC LIMIT ?", when, count
        )

    def counts(self) -> dict[str, int]:
        """Return the number of runs in each state."""
        with self._lock:
            rows = self._base.execute(
                "SELECT state, COUNT(*) FROM runs GROUP BY state"
            ).fetchall()
        return dict(rows)

    def total(self) -> int:
        """Return the number of runs."""
        return sum(self.counts().values())

    def totals(self) -> Mapping[str, float]:
        """Return the sums over all runs: written, skipped, failed, nbytes, seconds."""
        names = ("written", "skipped", "failed", "nbytes", "seconds")
        sums = ", ".join(f"COALESCE(SUM({name}), 0)" for name in names)
        with self._lock:
            row = self._base.execute(f"SELECT {sums} FROM runs").fetchone()
        return dict(zip(names, row, strict=True))

    def lag(self) -> float:
        """Return how long ago the oldest run has stopped that is not exported [s]."""
        with self._lock:
            row = self._base.execute(
                "SELECT MIN(stopped) FROM runs WHERE state IN ('waiting', 'working')"
            ).fetchone()
        return 0.0 if row[0] is None else max(0.0, time.time() - row[0])

    # ---- what the source had

    def has_file(self, path: str, size: int, mtime_ns: int) -> bool:
        """Return whether all runs of a file are known, and it has not changed."""
        with self._lock:
            row = self._base.execute(
                "SELECT 1 FROM files WHERE path = ? AND size = ? AND mtime_ns = ?",
                (path, size, mtime_ns),
            ).fetchone()
        return row is not None

    def note(self, name: str, default: str = "") -> str:
        """Return a note, such as the cursor."""
        with self._lock:
            row = self._base.execute(
                "SELECT value FROM notes WHERE name = ?", (name,)
            ).fetchone()
        return default if row is None else str(row[0])

    def set_note(self, name: str, value: str) -> None:
        """Set a note."""
        with self._changes():
            self._base.execute(
                "INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value)
            )

    # ---- which of several services works

    def lease(self, owner: str, seconds: float) -> bool:
        """Take or renew the lease; return False if another service has it.

        A lease ends if it is not renewed, or if its process on this machine has ended.
        """
        now = time.time()
        with self._changes():
            row = self._base.execute("SELECT owner FROM lease").fetchone()
            if row is not None and has_ended(row[0]):
                self._base.execute("DELETE FROM lease")
            changed = self._base.execute(
                "INSERT INTO lease VALUES (1, ?, ?) ON CONFLICT (one) DO UPDATE SET "
                "owner = excluded.owner, until = excluded.until "
                "WHERE lease.owner = excluded.owner OR lease.until < ?",
                (owner, now + seconds, now),
            )
        return changed.rowcount > 0

    def release(self, owner: str) -> None:
        """Give the lease back."""
        with self._changes():
            self._base.execute("DELETE FROM lease WHERE owner = ?", (owner,))

    @contextmanager
    def _changes(self) -> Iterator[None]:
        """Make all changes of a block, or none."""
        with self._lock:
            if self._base.in_transaction:  # of a caller
                yield
                return
            self._base.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._base.execute("ROLLBACK")
                raise
            self._base.execute("COMMIT")

    def _select(self, rest: str, *values: Any) -> list[RunState]:
        with self._lock:
            rows = self._base.execute(
                f"SELECT {COLUMNS} FROM runs {rest}",
                values,
            ).fetchall()
        return [RunState(*row) for row in rows]


def _stopped(run: FoundRun, now: float) -> float | None:
    """Return when a run has stopped: now, if its stop document does not tell."""
    if not run.stop:
        return None
    return min(number(run.stop.get("time")) or now, now)


def _refused(path: Path, error: Exception) -> SettingsError:
    return SettingsError(f"{path} can't be the journal: {error}")
