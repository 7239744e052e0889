"""When the turn of a waiting job comes, and when its map is expected.

Consumes rows of the queue and the running analysis; emits places and seconds. Pure but for the index, which it reads.
"""

from __future__ import annotations

import sqlite3

from k1edge.library.worker import Worker

ETA_JOBS = 10
USUAL_S = 30.0
"""Assumed for a job before any has been completed."""


def position(db: sqlite3.Connection, row: sqlite3.Row) -> int:
    """1 = next; 0 = does not wait."""
    if row["state"] != "queued":
        return 0
    return 1 + db.execute(
        "SELECT count(*) FROM jobs WHERE state = 'queued' AND (-priority, attempts, key) < (?, ?, ?)",
        (-row["priority"], row["attempts"], row["key"]),
    ).fetchone()[0]


def eta_s(db: sqlite3.Connection, place: int, running: Worker | None) -> float:
    """Seconds until the map of a job is there, by the pace of the running one and by what the last took."""
    usual_s = db.execute(
        "SELECT coalesce(avg(s), ?) FROM"
        " (SELECT max(finished_ms - started_ms, 0) / 1000.0 AS s FROM jobs WHERE state = 'completed'"
        " ORDER BY key DESC LIMIT ?)",
        (USUAL_S, ETA_JOBS),
    ).fetchone()[0]
    return round((running.left_s(usual_s) if running else 0.0) + usual_s * place, 1)
