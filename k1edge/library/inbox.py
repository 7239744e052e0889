"""The drop folder: a file put there is queued once it has stopped growing.

Consumes a directory, emits jobs. Looks when told to; remembers what it has queued or refused, so that a restart repeats
nothing, and sees a replaced file as a new one, and one that was away when its turn came. What was taken away it forgets, but
not because the whole folder is away, as a stick that was pulled. What was heard on the line it removes when its job has ended,
however it did: the folder may be in memory.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from k1edge.library.admission import shown
from k1edge.library.database import transaction
from k1edge.library.errors import Code, LibraryError
from k1edge.library.jobs import Jobs
from k1edge.library.rules import HEARD_SUFFIX
from k1edge.library.store import Library

BATCH_PRIORITY = 3
"""Behind what a person asked for."""
LOOK_S = 0.2
"""After which no further file is read: nobody is answered meanwhile. One of 50 MB takes half a second."""


class Inbox:
    """One drop folder of one library."""

    def __init__(self, library: Library, jobs: Jobs, folder: Path, refused: Callable[[dict[str, Any]], None]) -> None:
        """`refused` gets `file`, `code` and `reason` of a file that is not queued, or of the folder when it cannot be used."""
        self._db, self._jobs, self._folder, self._refused = library.db, jobs, folder, refused
        self._seen: dict[str, str] = {}
        self._away = False
        with contextlib.suppress(OSError):  # a look says so
            folder.mkdir(parents=True, exist_ok=True)

    def look(self) -> None:
        """Queues what has not changed since the last look, as much of it as there is time for."""
        try:
            self._folder.mkdir(exist_ok=True)  # somebody may have removed it
            stamps = {entry.name: _stamp(entry) for entry in os.scandir(self._folder) if not entry.name.startswith(".")}
        except OSError as fault:
            self._miss(fault)
            return
        self._away = False
        settled = [name for name, stamp in stamps.items() if stamp and self._seen.get(name) == stamp]
        gone = self._seen.keys() - stamps.keys()
        if gone:
            self._db.executemany("DELETE FROM inbox WHERE name = ?", [(os.fsencode(name),) for name in gone])
        self._seen = stamps
        known = dict(self._db.execute("SELECT name, stamp FROM inbox").fetchall())  # a query for each took half of a look
        over_s = time.monotonic() + LOOK_S
        for name in settled:
            if known.get(os.fsencode(name)) != stamps[name]:
                self._take(name, stamps[name])
                if time.monotonic() >= over_s:
                    return
            elif name.endswith(HEARD_SUFFIX) and not self._jobs.waits(self._folder / name):
                with contextlib.suppress(OSError):
                    (self._folder / name).unlink()

    def _miss(self, fault: OSError) -> None:
        """Says once that there is no folder."""
        if not self._away:
            reason = f"{self._folder} cannot be used: {fault.strerror}; it is looked for again"
            self._refused({"file": shown(self._folder), "code": Code.FILE_NOT_FOUND, "reason": reason})
        self._away = True

    def _take(self, name: str, stamp: str) -> None:
        problem = None
        with transaction(self._db):
            try:
                outcome = self._jobs.enqueue(self._folder / name, BATCH_PRIORITY)
            except LibraryError as fault:
                problem, outcome = fault, str(fault)
            self._db.execute("INSERT OR REPLACE INTO inbox VALUES (?, ?, ?)", (os.fsencode(name), stamp, outcome))
        # Only now: what a full disk does not take must not be told.
        if problem:
            self._refused({"file": shown(name), "code": problem.code, "reason": problem.reason})
        else:
            self._jobs.placed(outcome)


def _stamp(entry: os.DirEntry) -> str:
    """Size and time of the last change of a file, and whether it may not be read; empty for what is none, or has just gone.
    A folder is a folder, whatever happens in it: it is refused, once."""
    try:
        if entry.is_dir():
            return "folder"
        facts, closed = entry.stat(), not os.access(entry.path, os.R_OK, effective_ids=True)
        return f"{facts.st_size} {facts.st_mtime_ns}{' closed' * closed}" if entry.is_file() else ""
    except OSError:
        return ""
