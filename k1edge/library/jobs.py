"""The queue of analyses: on disk, so that a power cut loses none; worked off one at a time by a process of its own.

Consumes files to analyse, emits versions in the `Library` and every change of a job, of its progress in steps. `step` is called
some times a second and never waits. States are queued, processing, completed and failed; a job that was processing when
everything stopped is queued again, and its map is stored in the same transaction that completes it: never twice.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from k1edge.genesis.codec import read_json
from k1edge.genesis.document import validate
from k1edge.genesis.faults import MapError
from k1edge.library.admission import shown
from k1edge.library.database import transaction
from k1edge.library.errors import Code, LibraryError
from k1edge.library.files import file_sha256, has_room, locked
from k1edge.library.rules import HEARD_SUFFIX, Rules
from k1edge.library.schedule import eta_s, position
from k1edge.library.store import Library, TrackFacts
from k1edge.library.worker import BEGUN, Failure, Worker

DEFAULT_PRIORITY = 5
"""1..10; the highest goes first, of equals the oldest, and what was interrupted before waits behind them."""
MOST_ATTEMPTS = 10
"""A file that takes the whole process down with it does so no more often than this; power cuts hit the innocent, too."""
ROOM_BYTES, ROOM_FILES = 10_000_000, 20
"""Free on the disk when an analysis begins, or its map could not be stored: 2 MB at most, and the index."""
HOT, CRAMPED = "too hot", "no room on the disk"
"""Why no further analysis begins: the stage of a job that waits meanwhile."""
TOLD_JOBS = 10
"""Waiting jobs whose place is told: of those behind them it would soon be wrong."""
STEPS = 20
"""In which progress is told, 0..1."""
KEPT_JOBS = 1_000
"""Ended ones that stay on the list."""


class Jobs:
    """The queue of one library. Only one process may hold it."""

    def __init__(self, library: Library, rules: Rules, report: Callable[[dict[str, Any]], None]) -> None:
        """`report` gets a job's description whenever it changes. Raises `LibraryError` when the queue is held already."""
        self._library, self._db, self._rules, self._report = library, library.db, rules, report
        self._lock = locked(library.root / "jobs.lock")
        self._work = rules.work or library.root / "work"
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self._work)
        self._work.mkdir(parents=True)
        self._worker: Worker | None = None
        self._held = ""
        """Why nothing further begins; '' while something may."""
        self._job = ""
        self._told: tuple[str, str, int] = ("", "", 0)
        self._resume()

    def close(self) -> None:
        """Ends the running analysis; its job waits for the next start."""
        if self._worker:
            self._stop()
            undone = "UPDATE jobs SET state = 'queued', started_ms = NULL, attempts = attempts - 1"
            self._db.execute(f"{undone} WHERE id = ? AND state = 'processing'", (self._job,))
        os.close(self._lock)

    def _stop(self) -> None:
        worker, self._worker = self._worker, None
        worker.close()
        worker.output.unlink(missing_ok=True)

    def _resume(self) -> None:
        """After a power cut: queues again, and tells, what was being done, unless it seems to be the cause."""
        given_up = Failure(Code.ANALYSIS_FAILED, f"was being analysed {MOST_ATTEMPTS} times when everything stopped")
        interrupted = "SELECT id FROM jobs WHERE state = 'processing' AND attempts >= ?"
        for row in self._db.execute(interrupted, (MOST_ATTEMPTS,)).fetchall():
            self._fail(row["id"], given_up)
        cut_short = [row["id"] for row in self._db.execute("SELECT id FROM jobs WHERE state = 'processing'")]
        self._db.execute("UPDATE jobs SET state = 'queued', started_ms = NULL WHERE state = 'processing'")
        for job in dict.fromkeys([*cut_short, *(near["id"] for near in self.list("queued", TOLD_JOBS))]):
            self._tell(job)

    def submit(self, path: str | Path, priority: int = DEFAULT_PRIORITY, **facts: Any) -> dict[str, Any]:
        """Queues a file, with title, artist, tags and preset if known; returns the job. Raises `LibraryError`."""
        return self.placed(self.enqueue(path, priority, **facts))

    def enqueue(self, path: str | Path, priority: int, **facts: Any) -> str:
        """As `submit`, but tells nobody yet: the caller has more to write in the same transaction. Returns the job's name.

        A track that waits or is being analysed already keeps its job, which goes no later than it is asked for. One that waits
        keeps its path, too, unless it is gone from there: it has been renamed.
        """
        real = self._rules.admit(path)
        track = TrackFacts(_hash(real), shown(real), source="live" if real.suffix == HEARD_SUFFIX else "file", **facts)
        with transaction(self._db):
            self._library.register(track)
            self._library.note(track.id)
            waiting = self._unended(track.id)
            job = waiting["id"] if waiting else f"job-{secrets.token_hex(6)}"
            place = waiting["path"] if waiting and os.access(waiting["path"], os.R_OK) else os.fsencode(real)
            self._db.execute(
                "INSERT INTO jobs (id, track_id, path, state, priority, submitted_ms) VALUES (?, ?, ?, 'queued', ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET priority = max(priority, excluded.priority),"
                " path = CASE state WHEN 'queued' THEN excluded.path ELSE path END",
                (job, track.id, place, priority, self._library.now_ms()),
            )
        return job

    def _unended(self, track_id: str) -> sqlite3.Row | None:
        unended = "SELECT id, path FROM jobs WHERE track_id = ? AND state IN ('queued', 'processing')"
        return self._db.execute(unended, (track_id,)).fetchone()

    def get(self, job: str) -> dict[str, Any]:
        """One job as it is reported."""
        row = self._row(job)
        if row is None:
            raise LibraryError(Code.JOB_NOT_FOUND, f"there is no job {job!r}")
        return self._described(row)

    def _row(self, job: str) -> sqlite3.Row | None:
        return self._db.execute("SELECT * FROM jobs WHERE id = ?", (job,)).fetchone()

    def list(self, state: str | None = None, limit: int = 50, offset: int = 0) -> list[dict[str, Any]]:
        """Jobs: those under way first, then the waiting in their order, then the ended, newest first."""
        rows = self._db.execute(
            "SELECT * FROM jobs WHERE ?1 IS NULL OR state = ?1"
            " ORDER BY state = 'processing' DESC, state = 'queued' DESC,"
            " CASE WHEN state = 'queued' THEN -priority END, CASE WHEN state = 'queued' THEN attempts END,"
            " CASE WHEN state = 'queued' THEN key ELSE -key END"
            " LIMIT ?2 OFFSET ?3",
            (state, limit, offset),
        ).fetchall()
        return [self._described(row) for row in rows]

    def ended(self) -> list[str]:
        """The names of those that have ended, newest first."""
        ended = "SELECT id FROM jobs WHERE state IN ('completed', 'failed') ORDER BY key DESC"
        return [row["id"] for row in self._db.execute(ended)]

    def counts(self) -> dict[str, int]:
        """For the edge's health: how many run, may run, and wait."""
        queued = self._db.execute("SELECT count(*) FROM jobs WHERE state = 'queued'").fetchone()[0]
        return {"active": int(self._worker is not None), "workers": 1, "queued": queued}

    def waits(self, path: Path) -> bool:
        """Whether this file is yet to be analysed, or is being."""
        unended = "SELECT 1 FROM jobs WHERE path = ? AND state IN ('queued', 'processing')"
        return self._db.execute(unended, (os.fsencode(path.resolve()),)).fetchone() is not None

    def retry(self, job: str) -> dict[str, Any]:
        """Queues a failed job again; or returns the one in which its song has been queued again already."""
        failed = self.get(job)
        if failed["state"] != "failed":
            raise LibraryError(Code.INVALID_REQUEST, f"{job} has not failed")
        if waiting := self._unended(failed["track_id"]):
            return self.get(waiting["id"])
        with transaction(self._db):
            self._db.execute(
                "UPDATE jobs SET state = 'queued', attempts = 0, code = NULL, reason = NULL, started_ms = NULL,"
                " finished_ms = NULL, log = '' WHERE id = ?",
                (job,),
            )
            self._library.set_status(failed["track_id"], "processing")
        return self.placed(job)

    def cancel(self, job: str) -> dict[str, Any]:
        """Ends a job that waits or runs: it has then failed, `CANCELLED`."""
        if self.get(job)["state"] not in ("queued", "processing"):
            raise LibraryError(Code.INVALID_REQUEST, f"{job} has ended already")
        self._fail(job, Failure(Code.CANCELLED, "was cancelled"))
        if job == self._job and self._worker:
            self._stop()
        return self.get(job)

    def rest(self, resting: bool) -> None:
        """Nothing further begins while it rests; what runs ends."""
        self._hold(HOT if resting else "")

    def _hold(self, why: str) -> None:
        """Tells those that wait when they are held up, or no longer."""
        before, self._held = self._held, why
        for job in self.list("queued", TOLD_JOBS) if why != before else ():
            self._tell(job["id"])

    def step(self) -> None:
        """Takes in what the worker did; starts the next job when it is free."""
        if self._worker is None:
            self._start_next()
        elif self._row(self._job) is None:  # its track was purged meanwhile
            self._stop()
        elif self._worker.poll():
            self._end(self._worker)
            self._stop()
        elif (self._job, self._worker.stage, int(self._worker.progress * STEPS)) != self._told:
            self._tell(self._job)

    def _start_next(self) -> None:
        first = "SELECT * FROM jobs WHERE state = 'queued' ORDER BY priority DESC, attempts, key LIMIT 1"
        row = None if self._held == HOT else self._db.execute(first).fetchone()
        if row is None:
            return
        self._hold("" if has_room(self._library.root, ROOM_BYTES, ROOM_FILES) else CRAMPED)
        if self._held:
            return
        job, path = row["id"], Path(os.fsdecode(row["path"]))
        begun = "UPDATE jobs SET state = 'processing', attempts = attempts + 1, started_ms = ? WHERE id = ?"
        self._db.execute(begun, (self._library.now_ms(), job))
        try:
            # Once more: it may have been replaced while it waited.
            real = self._rules.admit(path)
        except LibraryError as fault:
            self._fail(job, Failure(fault.code, fault.reason))
            return
        self._job = job
        self._worker = Worker(self._rules.command, real, self._work / f"{job}.json", self._rules.limits)
        self.placed(job)

    def _end(self, worker: Worker) -> None:
        job, log = self._job, "\n".join(worker.log)
        if worker.failure:
            self._fail(job, worker.failure, log)
            return
        try:
            song = validate(read_json(worker.output.read_bytes()))
        except OSError:
            self._fail(job, Failure(Code.ANALYSIS_FAILED, "the analysis left no map"), log)
        except MapError as error:
            with contextlib.suppress(OSError):  # without room, say: the song has failed anyway
                self._library.quarantine(worker.output, list(error.faults))
            self._fail(job, Failure(Code.ANALYSIS_FAILED, f"the analysis left an invalid map: {error}"), log)
        else:
            self._complete(job, song, log)

    def _complete(self, job: str, song: Any, log: str) -> None:
        row = self._row(job)
        if not song.metadata.hashes.audio_sha256.startswith(row["track_id"]):
            self._fail(job, Failure(Code.FILE_NOT_FOUND, "was replaced by another file while it waited"), log)
            return
        heard = Path(os.fsdecode(row["path"])).suffix == HEARD_SUFFIX
        with transaction(self._db):
            self._library.add_version(row["track_id"], song, "live" if heard else "analysis", job_id=job)
            self._ended(job, "completed", (None, None, log))
        self._tell(job)

    def _fail(self, job: str, failure: Failure, log: str = "") -> None:
        row = self._row(job)
        with transaction(self._db):
            self._ended(job, "failed", (failure.code, failure.reason, log))
            self._library.set_status(row["track_id"], "failed")
            if failure.code is Code.FILE_NOT_FOUND:  # on a share that is away, say: when it is back, the inbox has a new file
                self._db.execute("DELETE FROM inbox WHERE problem = ?", (job,))
        # Of one that had begun, those behind it are told when the next one begins.
        (self.placed if row["state"] == "queued" else self._tell)(job)

    def _ended(self, job: str, state: str, outcome: tuple[str | None, str | None, str]) -> None:
        # The clock may have been put right since it began: how long it took is measured by another.
        took_ms = round(self._worker.age_s * 1000) if self._worker and job == self._job else None
        self._db.execute(
            "UPDATE jobs SET key = (SELECT max(key) + 1 FROM jobs), state = ?1, code = ?2, reason = ?3, log = ?4,"
            " finished_ms = ?5, started_ms = coalesce(?5 - ?6, started_ms) WHERE id = ?7",
            (state, *outcome, self._library.now_ms(), took_ms, job),
        )
        ended = "FROM jobs WHERE state IN ('completed', 'failed')"
        self._db.execute(f"DELETE {ended} AND key <= (SELECT key {ended} ORDER BY key DESC LIMIT 1 OFFSET ?)", (KEPT_JOBS,))

    def placed(self, job: str) -> dict[str, Any]:
        """Tells of a job whose place has changed, and of those behind it, whose places change with it; returns the job."""
        self._tell(job)
        placed = self.get(job)
        if (place := placed["position"]) <= TOLD_JOBS:
            for each in self.list("queued", TOLD_JOBS + 1 - place, place):
                self._tell(each["id"])
        return placed

    def _tell(self, job: str) -> None:
        described = self.get(job)
        if job == self._job:
            self._told = (job, described["stage"], int(described["progress"] * STEPS))
        near = described["position"] <= TOLD_JOBS
        self._report(described if near else described | {"position": None, "eta_s": None})

    def _described(self, row: sqlite3.Row) -> dict[str, Any]:
        running = self._worker if row["id"] == self._job and row["state"] == "processing" else None
        other = {"queued": self._held or "waiting", "processing": BEGUN}.get(row["state"], row["state"])
        place, ends = position(self._db, row), row["state"] == "processing" or (row["state"] == "queued" and not self._held)
        return {
            "id": row["id"],
            "track_id": row["track_id"],
            "file": shown(os.fsdecode(row["path"])),
            "state": row["state"],
            "stage": running.stage if running else other,
            "progress": running.progress if running else float(row["state"] == "completed"),
            "priority": row["priority"],
            "position": place,
            "eta_s": eta_s(self._db, place, self._worker) if ends else None,
            "attempts": row["attempts"],
            "submitted_ms": row["submitted_ms"],
            "started_ms": row["started_ms"],
            "finished_ms": row["finished_ms"],
            "code": row["code"],
            "reason": row["reason"],
            "log_tail": list(running.log) if running else row["log"].splitlines(),
        }


def _hash(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as fault:
        raise LibraryError(Code.FILE_NOT_FOUND, f"{shown(path)} cannot be read: {fault.strerror}") from None
