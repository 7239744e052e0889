"""The index of the library: one SQLite file, write-ahead logged.

Emits a connection. Transactions are durable when they return (synchronous = FULL): there are few of them, one for each
thing a person would be sorry to lose, so a memory card does not suffer. Progress is never written.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from k1edge.library.errors import Code, LibraryError

SCHEMA_VERSION = 1
BUSY_TIMEOUT_S = 5.0
WAL_PAGES = 256
"""1 MB of log before it is folded into the file: small on the card, rare enough."""


def connect(path: Path) -> sqlite3.Connection:
    """Opens the index, creating it if need be.

    Raises `sqlite3.DatabaseError` when the file is damaged, `LibraryError` when a newer k1edge wrote it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    db.row_factory = sqlite3.Row
    try:
        db.executescript(f"""PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
                             PRAGMA wal_autocheckpoint = {WAL_PAGES};""")
        _prepare(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    found = db.execute("PRAGMA user_version").fetchone()[0]
    if found > SCHEMA_VERSION:
        newer = f"{path} was written by a newer k1edge (version {found}, and this one knows {SCHEMA_VERSION})"
        raise LibraryError(Code.INTERNAL_ERROR, f"{newer}; install that, or move the file away: it is built anew from the maps")
    if found == 0:
        schema = resources.files("k1edge.library").joinpath("schema.sql").read_text()
        db.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing. Nested: part of the outer one."""
    if db.in_transaction:
        yield
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:  # a full disk ends it, at times
            db.execute("ROLLBACK")
        raise
