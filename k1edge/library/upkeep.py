"""What goes and what comes back: deletion with a way back, the space limit, and an index built anew from the maps.

Consumes a `Library`. A deleted track keeps its files for UNDO_S. What is oldest, the order of coming says and not the clock:
that of a Pi may have been a year ahead. Files go before their row, so that what is cut short is done again;
what a dying card does not let go is no longer known, at least.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from shutil import rmtree
from typing import Any

from k1edge.genesis.codec import read_json
from k1edge.genesis.document import validate
from k1edge.genesis.faults import MapError, MapFault
from k1edge.library import notes
from k1edge.library.database import transaction
from k1edge.library.errors import Code, LibraryError
from k1edge.library.store import DEFAULT_LIMIT_BYTES, INDEX, MAP_NAME, QUARANTINE, Library, TrackFacts

UNDO_S = 30.0
WARN_SHARE = 0.8
REBUILT = "rebuilt.db"
UNFIT = sqlite3.IntegrityError, sqlite3.ProgrammingError
"""What the index raises for a value that is missing, or of a kind it does not take."""
HEARD_KEPT = 100
"""The newest songs of the line, an evening's, go no sooner than those of files."""
FAILED_KEPT = 10
"""The newest songs of the line without a map stay, to say why; they never get one, for what was heard of them is gone."""
PRUNE_S = 0.2
"""The longest that is pruned at once: nobody is answered meanwhile. Of 20,000 tracks each takes 20 ms."""
AUDIT_ROWS = 10_000
"""Kept; about a year of a busy venue."""


def delete(library: Library, track_id: str, by: str) -> int:
    """Hides a track; returns until when (epoch ms) it can be restored."""
    library.get(track_id)
    now_ms, library.hidden_s[track_id] = library.now_ms(), library.steady_s()
    with transaction(library.db):
        library.db.execute("UPDATE tracks SET deleted_ms = ? WHERE id = ?", (now_ms, track_id))
        library.audit(by, "track.delete", track_id, "")
    return now_ms + int(UNDO_S * 1000)


def restore(library: Library, track_id: str, by: str) -> None:
    """Undoes a delete within UNDO_S."""
    hidden = library.get(track_id, deleted=True)["deleted_ms"] is not None
    if hidden and _is_over(library, track_id):
        raise LibraryError(Code.TOO_LATE, f"{track_id} was deleted more than {UNDO_S:g} s ago")
    with transaction(library.db):
        library.db.execute("UPDATE tracks SET deleted_ms = NULL WHERE id = ?", (track_id,))
        library.audit(by, "track.restore", track_id, "")


def usage(library: Library) -> dict[str, Any]:
    """Bytes used and allowed, how many tracks there are, and how many files were set aside."""
    aside = _aside(library)
    used = library.db.execute("SELECT coalesce(sum(bytes), 0) FROM artefacts").fetchone()[0] + sum(aside.values())
    tracks, pinned = library.db.execute("SELECT count(*), coalesce(sum(pinned), 0) FROM tracks").fetchone()
    limit = library.limit_bytes
    return {
        "used_bytes": used,
        "limit_bytes": limit,
        "used_pct": round(100 * used / limit, 1),
        "warning": used > WARN_SHARE * limit,
        "tracks": tracks,
        "pinned": pinned,
        "quarantined": sum(path.suffix != ".txt" for path in aside),
    }


def _aside(library: Library) -> dict[Path, int]:
    """Bytes of what was damaged or invalid, and of why, the oldest first."""
    found = {}
    for path in sorted((library.root / QUARANTINE).glob("*")):
        with contextlib.suppress(OSError):  # somebody may be taking it away
            found[path] = path.stat().st_size
    return found


def _drop_aside(library: Library) -> None:
    """The oldest of what was set aside, until the limit is kept."""
    excess = usage(library)["used_bytes"] - library.limit_bytes
    for path, size in _aside(library).items():
        if excess <= 0:
            return
        with contextlib.suppress(OSError):
            path.unlink()
            excess -= size


def _drop_version(library: Library, track_id: str, n: int) -> None:
    rmtree(library.path(track_id, n).parent, ignore_errors=True)
    with transaction(library.db):
        library.db.execute("DELETE FROM versions WHERE track_id = ? AND n = ?", (track_id, n))
        library.audit("k1edge", "version.prune", track_id, f"v{n}")


def _drop_track(library: Library, track_id: str, action: str) -> None:
    rmtree(library.root / "maps" / track_id, ignore_errors=True)
    with transaction(library.db):
        key = library.db.execute("SELECT key FROM tracks WHERE id = ?", (track_id,)).fetchone()[0]
        library.db.execute("DELETE FROM words WHERE rowid = ?", (key,))
        library.db.execute("DELETE FROM tracks WHERE id = ?", (track_id,))
        library.audit("k1edge", action, track_id, "")
    library.hidden_s.pop(track_id, None)


def sweep(library: Library) -> list[str]:
    """Removes for good what was deleted more than UNDO_S ago; returns the tracks."""
    hidden = [row[0] for row in library.db.execute("SELECT id FROM tracks WHERE deleted_ms IS NOT NULL")]
    gone = [track_id for track_id in hidden if _is_over(library, track_id)]
    for track_id in gone:
        _drop_track(library, track_id, "track.purge")
    return gone


def _is_over(library: Library, track_id: str) -> bool:
    """Whether the time in which a deleted track may come back has passed; it begins anew with the process."""
    now_s = library.steady_s()
    return now_s - library.hidden_s.setdefault(track_id, now_s) > UNDO_S


def _oldest_version_not_current(library: Library) -> sqlite3.Row | None:
    return library.db.execute(
        "SELECT v.track_id, v.n FROM versions v JOIN tracks t ON t.id = v.track_id"
        " WHERE NOT t.pinned AND v.n <> t.version ORDER BY v.rowid LIMIT 1"
    ).fetchone()


def _oldest_track(library: Library) -> sqlite3.Row | None:
    """Songs of the line first, which get a map when they are heard again; last what a person put right, which no machine can.

    The newest of the line count as files, or a library that is full of files would make maps only to remove them.
    """
    return library.db.execute(
        "SELECT t.id FROM tracks t JOIN versions v ON v.track_id = t.id WHERE NOT t.pinned"
        " GROUP BY t.id ORDER BY t.override IS NOT NULL, t.source <> 'live' OR t.key IN"
        " (SELECT key FROM tracks WHERE source = 'live' ORDER BY key DESC LIMIT ?), max(v.rowid) LIMIT 1",
        (HEARD_KEPT,),
    ).fetchone()


def _failed(library: Library) -> sqlite3.Row | None:
    """What was heard on the line and could not be analysed, but the newest."""
    failed = "SELECT id FROM tracks WHERE source = 'live' AND status = 'failed' AND version IS NULL AND NOT pinned"
    return library.db.execute(f"{failed} ORDER BY key DESC LIMIT 1 OFFSET ?", (FAILED_KEPT,)).fetchone()


def prune(library: Library) -> list[str]:
    """Removes what failed on the line, and the oldest until the limit is kept: first what was set aside, then, unless pinned,
    superseded versions, what was heard on the line, last what a person put right; as much as there is time for. Says which
    tracks and versions went."""
    gone: list[str] = []
    _drop_aside(library)
    over_s = library.steady_s() + PRUNE_S
    while library.steady_s() < over_s and (dropped := _drop_next(library)):
        gone.append(dropped)
    last = "SELECT coalesce(max(rowid), 0) - ? FROM audit"
    library.db.execute(f"DELETE FROM audit WHERE rowid <= ({last})", (AUDIT_ROWS,))
    return gone


def _drop_next(library: Library) -> str:
    """What went; '' where nothing is to go, or can."""
    track = _failed(library)
    if track is None and usage(library)["used_bytes"] > library.limit_bytes:
        if version := _oldest_version_not_current(library):
            _drop_version(library, version["track_id"], version["n"])
            return f"{version['track_id']} v{version['n']}"
        track = _oldest_track(library)
    if track is None:
        return ""
    _drop_track(library, track["id"], "track.prune")
    return track["id"]


def open_library(root: Path, limit_bytes: int = DEFAULT_LIMIT_BYTES) -> Library:
    """The library below `root`; an index that is damaged or lost is set aside and built anew from the maps."""
    library = _whole(root, limit_bytes)
    if library is None:
        _rebuild(root)
        library = Library(root, limit_bytes)
    _note_all(library)
    return library


def _whole(root: Path, limit_bytes: int) -> Library | None:
    """None where the index is damaged, or lost."""
    index = root / INDEX
    if (index.exists() and index.stat().st_size) or not _maps(root):
        try:
            library = Library(root, limit_bytes)
            if library.db.execute("PRAGMA quick_check").fetchone()[0] == "ok":
                return library
            library.close()
        except sqlite3.DatabaseError as fault:
            if isinstance(fault, sqlite3.OperationalError):
                raise
    return None


def _note_all(library: Library) -> None:
    """What the index alone knows: told to a k1edge of before there were notes."""
    told = library.db.execute(
        "SELECT id FROM tracks WHERE deleted_ms IS NULL AND (pinned OR artist <> '' OR tags <> '[]' OR preset <> 'default'"
        " OR substr(filename, 1, length(title) + 1) <> title || '.')"
    ).fetchall()
    for row in told:
        with contextlib.suppress(OSError, ValueError, sqlite3.OperationalError):  # no card to write on, or a damaged row
            library.note(row["id"])


def _rebuild(root: Path) -> None:
    """Beside the old index, and in its place only when it is whole: it may be cut short."""
    for half in root.glob(f"{REBUILT}*"):
        half.unlink()
    library, aside = Library(root, index=REBUILT), root / QUARANTINE
    aside.mkdir(exist_ok=True)
    for path in _maps(root):
        _adopt(library, path)
    _remember(library)
    library.audit("k1edge", "library.rebuild", None, f"what was left of the index is in {aside}")
    stamp = library.now_ms()
    library.close()
    for old in root.glob(f"{INDEX}*"):
        old.rename(aside / f"{stamp}-{old.name}")
    (root / REBUILT).rename(root / INDEX)


def _remember(library: Library) -> None:
    """What no map says and a note does: what tracks are called, and which are pinned."""
    for folder in (library.root / "maps").glob("*"):
        # Without a note or a map, or damaged itself.
        with contextlib.suppress(LibraryError, TypeError, ValueError, *UNFIT), transaction(library.db):
            *facts, tags, preset, source, pinned = notes.kept(folder)
            known = TrackFacts(*facts, tuple(tags), preset, source)
            library.get(known.id)
            library.register(known)
            library.db.execute("UPDATE tracks SET pinned = ? WHERE id = ?", (bool(pinned), known.id))


def _maps(root: Path) -> list[Path]:
    """Every version's, the oldest of a track first; not what somebody has copied beside one."""
    found = (path for path in (root / "maps").glob(f"*/v*/{MAP_NAME}") if path.parent.name[1:].isdecimal())
    return sorted(found, key=lambda path: (path.parts[-3], _version(path)))


def _version(path: Path) -> int:
    return int(path.parent.name[1:])


def _adopt(library: Library, path: Path) -> None:
    try:
        song = validate(read_json(path.read_bytes()))
    except MapError as error:
        library.quarantine(path, list(error.faults))
        return
    except OSError as fault:  # a card that is dying must not take the others with it
        library.audit("k1edge", "map.unreadable", path.parts[-3], f"{path}: {fault.strerror}")
        return
    source = str((song.metadata.model_extra or {}).get("source", "file"))
    facts = TrackFacts(song.metadata.hashes.audio_sha256, song.metadata.filename, source=source)
    if path != library.path(facts.id, _version(path)):
        library.quarantine(path, [MapFault("$.metadata.hashes.audio_sha256", "is that of another track")])
        return
    library.register(facts)
    library.add_version(facts.id, song, "import", n=_version(path))
