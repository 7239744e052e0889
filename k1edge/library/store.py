"""Tracks and the versions of their Genesis Maps: files on disk, an index beside them.

Consumes `GenesisMap`s, emits them back verified; raises `LibraryError`. One directory a version:

    <root>/library.db                                the index (SQLite)
    <root>/maps/<track>/v<n>/track.genesis.json      written whole, then indexed: a half-written map cannot be found
    <root>/maps/<track>/told.json                    title, tags, pin and the like, for when there is no index; see `notes`
    <root>/quarantine/                               what was damaged or invalid, the first to go when space runs out

Times in the index are UTC epoch ms. `revisions` makes new versions of old ones, `upkeep` deletes and prunes.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

from k1edge.genesis.codec import Document, read_json
from k1edge.genesis.document import GenesisMap, encode, validate
from k1edge.genesis.faults import MapError, MapFault
from k1edge.library import notes
from k1edge.library.database import connect, transaction
from k1edge.library.errors import Code, LibraryError
from k1edge.library.files import read_verified
from k1edge.library.search import Page, Query, search, searchable, track_of
from k1edge.whole import write_whole

INDEX, MAP_NAME, QUARANTINE = "library.db", "track.genesis.json", "quarantine"
DEFAULT_LIMIT_BYTES = 2_000_000_000
GONE_TOLD = 100
"""More than go within the hours that a broker may lose in a power cut."""


@dataclass(frozen=True, slots=True)
class TrackFacts:
    """What is known of a track before its analysis."""

    audio_sha256: str
    filename: str
    title: str = ""
    artist: str = ""
    tags: Sequence[str] = ()
    preset: str = "default"
    source: str = "file"

    @property
    def id(self) -> str:
        """The same audio is the same track."""
        return self.audio_sha256[:16]


class Library:
    """The maps of one edge. One process writes; others may read."""

    def __init__(
        self,
        root: Path,
        limit_bytes: int = DEFAULT_LIMIT_BYTES,
        clock: Callable[[], float] = time.time,
        *,
        steady: Callable[[], float] = time.monotonic,
        index: str = INDEX,
    ) -> None:
        """Raises `sqlite3.DatabaseError` when the index is damaged."""
        self.root = root
        self.db = connect(root / index)
        self.limit_bytes = limit_bytes
        self._clock, self.steady_s = clock, steady
        self.hidden_s: dict[str, float] = {}
        """When tracks were deleted, by the steady clock: the other may be put right within the time to change one's mind."""

    def close(self) -> None:
        """Folds the log into the index."""
        self.db.close()

    def now_ms(self) -> int:
        """Wall clock, epoch ms."""
        return int(self._clock() * 1000)

    def register(self, facts: TrackFacts) -> dict[str, Any]:
        """The track of this audio: new (`processing`), or as known, with what is told of it now; a deleted one comes back."""
        now_ms, title, tags = self.now_ms(), facts.title or Path(facts.filename).stem, json.dumps(facts.tags)
        with transaction(self.db):
            self.db.execute(
                "INSERT INTO tracks (id, audio_sha256, filename, title, artist, tags, preset, source, status, created_ms,"
                " updated_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'processing', ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET deleted_ms = NULL, title = coalesce(nullif(?, ''), title),"
                " artist = coalesce(nullif(excluded.artist, ''), artist), tags = coalesce(nullif(excluded.tags, '[]'), tags),"
                " preset = coalesce(nullif(excluded.preset, 'default'), preset),"
                " status = coalesce(nullif(status, 'failed'), 'processing')",
                (facts.id, facts.audio_sha256, facts.filename, title, facts.artist, tags, facts.preset, facts.source,
                 now_ms, now_ms, facts.title),
            )  # fmt: skip
            self._index_words(facts.id)
        return self.get(facts.id)

    def note(self, track_id: str) -> None:
        """Keeps what was told of a track beside its maps, too."""
        notes.keep(self.root / "maps" / track_id, self.get(track_id))

    def _index_words(self, track_id: str) -> None:
        row = self.db.execute("SELECT * FROM tracks WHERE id = ?", (track_id,)).fetchone()
        words = [row["title"], row["artist"], " ".join(json.loads(row["tags"])), row["filename"]]
        self.db.execute("DELETE FROM words WHERE rowid = ?", (row["key"],))
        self.db.execute(
            "INSERT INTO words (rowid, title, artist, tags, filename) VALUES (?, ?, ?, ?, ?)",
            (row["key"], *map(searchable, words)),
        )

    def get(self, track_id: str, deleted: bool = False) -> dict[str, Any]:
        """One track; a deleted one only on request."""
        row = self.db.execute("SELECT * FROM tracks WHERE id = ?", (track_id,)).fetchone()
        if row is None or (row["deleted_ms"] is not None and not deleted):
            raise LibraryError(Code.TRACK_NOT_FOUND, f"there is no track {track_id!r}")
        return track_of(row)

    def ids(self) -> list[str]:
        """Tracks that went last, then all there are, the latest change last: a link that is told too many forgets the first."""
        went = "SELECT track_id FROM audit WHERE action IN ('track.delete', 'track.purge', 'track.prune')"
        gone = self.db.execute(f"{went} ORDER BY rowid DESC LIMIT ?", (GONE_TOLD,))
        there = self.db.execute("SELECT id FROM tracks WHERE deleted_ms IS NULL ORDER BY updated_ms")
        return list(dict.fromkeys(row[0] for row in (*gone, *there)))

    def search(self, query: Query) -> Page:
        """One page of the tracks that match."""
        return search(self.db, query)

    def set_status(self, track_id: str, status: str) -> None:
        """`processing`, `ready`, `warning` or `failed`; a track that has a map never becomes `failed`."""
        self.db.execute(
            "UPDATE tracks SET updated_ms = ?, status = CASE WHEN ? = 'failed' AND version IS NOT NULL THEN 'warning'"
            " ELSE ? END WHERE id = ?",
            (self.now_ms(), status, status, track_id),
        )

    def add_version(
        self, track_id: str, song: GenesisMap, reason: str, *, job_id: str | None = None, n: int | None = None
    ) -> int:
        """Stores a map as version `n` (default: the next); returns its number.

        It becomes the current one, unless that one is undamaged and holds what a person put right, and the new one does not. A
        job that already made a version makes no second one.
        """
        track = self.get(track_id, deleted=True)
        corrected = track["override"] and self._status(track_id, track["version"]) == "ok"
        with transaction(self.db):
            made = self.db.execute("SELECT n FROM versions WHERE job_id = ?", (job_id,)).fetchone()
            if made:
                return made["n"]
            newest = "SELECT coalesce(max(n), 0) + 1 FROM versions WHERE track_id = ?"
            n = n or self.db.execute(newest, (track_id,)).fetchone()[0]
            self._write_version(track_id, n, song, (reason, job_id))
            if corrected and not _override(song):
                self.set_status(track_id, "ready")
            else:
                self.make_current(track_id, n, song)
        return n

    def _write_version(self, track_id: str, n: int, song: GenesisMap, origin: tuple[str, str | None]) -> None:
        now_ms, content = self.now_ms(), encode(song)
        write_whole(self.path(track_id, n), content)
        beats = len(song.layers.rhythm.beat_grid_ms)
        self.db.execute(
            "INSERT INTO versions (track_id, n, reason, job_id, engine, bpm, beats, created_ms)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (track_id, n, *origin, song.metadata.analysis_engine, song.global_metrics.bpm, beats, now_ms),
        )
        self.db.execute(
            "INSERT INTO artefacts (track_id, n, name, bytes, sha256, created_ms) VALUES (?, ?, ?, ?, ?, ?)",
            (track_id, n, MAP_NAME, len(content), sha256(content).hexdigest(), now_ms),
        )

    def make_current(self, track_id: str, n: int, song: GenesisMap) -> None:
        """Serves this version from now on, and copies what lists show of it."""
        metrics, override = song.global_metrics, _override(song)
        self.db.execute(
            "UPDATE tracks SET version = ?, status = 'ready', bpm = ?, duration_ms = ?, f_measure = ?, override = ?,"
            " updated_ms = ? WHERE id = ?",
            (n, metrics.bpm, metrics.duration_ms, metrics.f_measure if song.notes.f_measure_known else None,
             json.dumps(override) if override else None, self.now_ms(), track_id),
        )  # fmt: skip

    def path(self, track_id: str, n: int) -> Path:
        """Where a version's map is."""
        return self.root / "maps" / track_id / f"v{n}" / MAP_NAME

    def read(self, track_id: str, n: int | None = None) -> GenesisMap:
        """The map of a version (default: the current), verified and validated; a damaged one goes into quarantine."""
        document = self.document(track_id, n)
        try:
            return validate(document)
        except MapError as error:
            self.set_status(track_id, "warning")
            raise LibraryError(Code.ARTIFACT_DAMAGED, f"the map of {track_id} is not valid: {error}") from None

    def document(self, track_id: str, n: int | None = None) -> Document:
        """The same as plain objects, its bytes verified: it was validated before it was stored."""
        n = self._version(track_id, n)
        try:
            return read_json(self._content(track_id, n))
        except LibraryError as fault:
            if fault.code is Code.ARTIFACT_DAMAGED:
                self.quarantine(self.path(track_id, n), [MapFault("$", fault.reason)])
            self.set_status(track_id, "warning")
            raise

    def _content(self, track_id: str, n: int) -> bytes:
        return read_verified(self.path(track_id, n), self.sha256(track_id, n))

    def _status(self, track_id: str, n: int) -> str:
        """Of a version's map: `ok`, `missing` or `damaged`."""
        try:
            self._content(track_id, n)
        except LibraryError as fault:
            return "missing" if fault.code is Code.ARTIFACT_NOT_FOUND else "damaged"
        return "ok"

    def sha256(self, track_id: str, n: int) -> str | None:
        """Of a version's map, as it was written; None where there is no such version."""
        sql = "SELECT sha256 FROM artefacts WHERE track_id = ? AND n = ? AND name = ?"
        row = self.db.execute(sql, (track_id, n, MAP_NAME)).fetchone()
        return row and row["sha256"]

    def _version(self, track_id: str, n: int | None) -> int:
        track = self.get(track_id)
        n = track["version"] if n is None else n
        if n is None:
            raise LibraryError(Code.VERSION_NOT_FOUND, f"{track_id} has no map yet ({track['status']})")
        if not self.db.execute("SELECT 1 FROM versions WHERE track_id = ? AND n = ?", (track_id, n)).fetchone():
            raise LibraryError(Code.VERSION_NOT_FOUND, f"{track_id} has no version {n}")
        return n

    def versions(self, track_id: str) -> list[dict[str, Any]]:
        """All versions, the newest first, with the size and number of their files."""
        self.get(track_id)
        rows = self.db.execute(
            "SELECT v.n, v.reason, v.job_id, v.engine, v.bpm, v.beats, v.created_ms, count(a.name) AS artefacts,"
            " sum(a.bytes) AS bytes FROM versions v LEFT JOIN artefacts a ON a.track_id = v.track_id AND a.n = v.n"
            " WHERE v.track_id = ? GROUP BY v.n ORDER BY v.n DESC",
            (track_id,),
        )
        return [dict(row) for row in rows]

    def artefacts(self, track_id: str, n: int | None = None) -> list[dict[str, Any]]:
        """The files of a version, of which there is one, its map: name, bytes, sha256, age, place; see `_status`."""
        n = self._version(track_id, n)
        rows = self.db.execute(
            "SELECT name, bytes, sha256, created_ms FROM artefacts WHERE track_id = ? AND n = ?", (track_id, n)
        )
        there = {"status": self._status(track_id, n), "path": str(self.path(track_id, n))}
        return [dict(row) | there for row in rows]

    def pin(self, track_id: str, pinned: bool, by: str) -> None:
        """A pinned track is never pruned."""
        self.get(track_id)
        with transaction(self.db):
            self.db.execute("UPDATE tracks SET pinned = ? WHERE id = ?", (pinned, track_id))
            self.audit(by, "track.pin" if pinned else "track.unpin", track_id, "")
            self.note(track_id)

    def audit(self, by: str, action: str, track_id: str | None, note: str) -> None:
        """Writes down who did what."""
        self.db.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?)", (self.now_ms(), by, action, track_id, note))

    def history(self, track_id: str | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """The latest entries of the audit, newest first."""
        rows = self.db.execute(
            "SELECT * FROM audit WHERE ?1 IS NULL OR track_id = ?1 ORDER BY rowid DESC LIMIT ?2", (track_id, limit)
        )
        return [dict(row) for row in rows]

    def quarantine(self, path: Path, faults: list[MapFault]) -> Path:
        """Moves a bad file aside with its faults beside it; returns where it is now."""
        aside = self.root / QUARANTINE
        aside.mkdir(parents=True, exist_ok=True)
        # All maps have one name, several may be found bad in one ms, and a clock can come by the same ms twice.
        target = next(free for ms in count(self.now_ms()) if not (free := aside / f"{ms}-{path.name}").exists())
        shutil.move(path, target)  # it may come from another file system
        write_whole(target.with_name(target.name + ".faults.txt"), "\n".join(map(str, faults)).encode())
        return target


def _override(song: GenesisMap) -> Any:
    """Who put its beats right, if somebody did."""
    return (song.notes.model_extra or {}).get("override")
