"""What the library can be asked, whoever asks: a verb and arguments in, an answer out.

Consumes plain arguments as a request brings them (validated for type and range by the contract), emits plain objects below
REPLY_BYTES, or `LibraryError`. Knows nothing of MQTT. Answers that need a whole map are kept, so that a thousand clients
asking for one song cost one reading.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from k1edge.genesis.codec import BANDS, Document, strongest, write_json
from k1edge.genesis.document import VERSION, encode
from k1edge.genesis.faults import MapError
from k1edge.genesis.score import plain_score, score_of
from k1edge.library import revisions, upkeep
from k1edge.library.door import RECALL
from k1edge.library.errors import Code, LibraryError
from k1edge.library.jobs import DEFAULT_PRIORITY, Jobs
from k1edge.library.memory import Memory
from k1edge.library.search import Query
from k1edge.library.store import Library

REPLY_BYTES = 120_000
"""Leaves room for the envelope of a message of 128 KB."""
ENVELOPE_POINTS = 400
"""Per band, of a reply: what a screen can show; a caller may ask for more."""
KEPT_BYTES = 5_000_000
"""Of answers, as they are sent; in memory it is some five times that. One without envelopes takes about 10 KB."""


class Verbs:
    """All verbs over one library and its queue."""

    def __init__(self, library: Library, jobs: Jobs) -> None:
        self._library, self._jobs = library, jobs
        self.memory = Memory(library)
        self._kept: OrderedDict[tuple, tuple[Document, int]] = OrderedDict()
        self._kept_bytes = 0
        self._verbs: dict[str, Callable[..., Any]] = {
            "track.list": self._track_list,
            "track.get": self._track_get,
            "track.import": self._track_import,
            "track.delete": self._track_delete,
            "track.restore": self._track_restore,
            "track.pin": self._track_pin,
            "version.list": self._version_list,
            "version.diff": self._version_diff,
            "version.promote": self._version_promote,
            "beats.override": self._beats_override,
            "job.list": self._job_list,
            "job.retry": lambda caller, job: self._jobs.retry(job),
            "job.cancel": lambda caller, job: self._jobs.cancel(job),
            "artefact.list": self._artefact_list,
            "bundle.get": self._bundle_get,
            "deploy": self._deploy,
            "deploy.stop": lambda caller: {},
            RECALL: self._recall,
            "log.tail": self._log_tail,
            "storage.usage": lambda caller: upkeep.usage(self._library),
        }

    def answer(self, verb: str, args: Document, caller: str = "") -> Document:
        """Does what is asked; raises `LibraryError`."""
        if verb not in self._verbs:
            raise LibraryError(Code.INVALID_REQUEST, f"the library has no verb {verb!r}")
        try:
            return self._verbs[verb](caller=caller or "anonymous", **args)
        except (TypeError, OverflowError) as fault:
            raise LibraryError(Code.INVALID_REQUEST, f"{verb}: {fault}") from None
        except MapError as error:
            raise LibraryError(Code.INVALID_REQUEST, "; ".join(map(str, error.faults[:3]))) from None

    def _track_list(self, caller: str, **query: Any) -> Document:
        page = self._library.search(Query(**query))
        tracks = _fitting(page.tracks)
        return {"tracks": tracks, "total": page.total, "offset": query.get("offset", 0), "returned": len(tracks)}

    def _track_get(
        self,
        caller: str,
        track: str,
        *,
        version: int | None = None,
        layers: list[str] | tuple[str, ...] = ("rhythm", "annotations"),
        from_ms: float = 0.0,
        to_ms: float = float("inf"),
        points: int = ENVELOPE_POINTS,
    ) -> Document:
        summary = self._library.get(track)
        n = version or summary["version"]
        if n is None:
            return {"track": summary, "version": None, "layers": {}}
        # By what is in it: a track that was purged and came back counts its versions from 1 again.
        key = (track, n, self._library.sha256(track, n), *sorted(layers), from_ms, to_ms, points)
        if key not in self._kept:
            self._keep(key, *self._excerpt(track, n, tuple(layers), (from_ms, to_ms, points)))
        self._kept.move_to_end(key)
        return {"track": summary, "version": n} | self._kept[key][0]

    def _keep(self, key: tuple, answer: Document, size: int) -> None:
        self._kept[key] = answer, size
        self._kept_bytes += size
        while self._kept_bytes > KEPT_BYTES:
            _, (_, freed) = self._kept.popitem(last=False)
            self._kept_bytes -= freed

    def _excerpt(self, track: str, n: int, layers: tuple[str, ...], window: tuple[float, float, int]) -> tuple[Document, int]:
        """What was asked for, and how many bytes it takes."""
        song = self._library.document(track, n)
        first_ms, last_ms, points = window
        found = {name: song["layers"][name] for name in layers if name in song["layers"]}
        if "rhythm" in found:
            found["rhythm"] = _rhythm_within(found["rhythm"], first_ms, last_ms)
        while True:
            if "frequency" in found:
                bands = song["layers"]["frequency"]
                found["frequency"] = {name: _thinned(bands[name], first_ms, last_ms, points) for name in BANDS}
            answer = {"metadata": song["metadata"], "global_metrics": song["global_metrics"], "layers": found}
            size = len(write_json(answer))
            if size <= REPLY_BYTES:
                return answer, size
            if "frequency" not in found or points <= 1:
                raise LibraryError(Code.INVALID_REQUEST, "the answer is too long: ask for fewer layers, or from_ms .. to_ms")
            points //= 2

    def _track_import(self, caller: str, path: str, priority: int = DEFAULT_PRIORITY, **told: Any) -> Document:
        job = self._jobs.submit(path, priority, **told)
        self._library.audit(caller, "track.import", job["track_id"], path[:200])
        return {"track": job["track_id"], "job": job["id"], "state": job["state"], "position": job["position"]}

    def _track_delete(self, caller: str, track: str) -> Document:
        return {"track": track, "restorable_until_ms": upkeep.delete(self._library, track, caller)}

    def _track_restore(self, caller: str, track: str) -> Document:
        upkeep.restore(self._library, track, caller)
        return {"track": track}

    def _track_pin(self, caller: str, track: str, pinned: bool = True) -> Document:
        self._library.pin(track, pinned, caller)
        return {"track": track, "pinned": pinned}

    def _version_list(self, caller: str, track: str) -> Document:
        current = self._library.get(track)["version"]
        return {"track": track, "current": current, "versions": _fitting(self._library.versions(track))}

    def _version_diff(self, caller: str, track: str, old: int, new: int) -> Document:
        return {"track": track, "old": old, "new": new} | revisions.diff(self._library, track, old, new)

    def _version_promote(self, caller: str, track: str, version: int) -> Document:
        revisions.promote(self._library, track, version, caller)
        return {"track": track, "current": version}

    def _beats_override(
        self,
        caller: str,
        track: str,
        *,
        edited_by: str = "",
        note: str = "",
        beats: list[float] | None = None,
        ops: list[Document] | None = None,
    ) -> Document:
        """`beats` are seconds, as editors of beats have always sent them; operations say ms in their keys."""
        by, beats_ms = edited_by or caller, None if beats is None else [round(beat * 1000, 3) for beat in beats]
        n = revisions.override(self._library, track, by=by, note=note, beats_ms=beats_ms, ops=ops)
        return {"track": track, "version": n}

    def _job_list(self, caller: str, state: str | None = None, limit: int = 50, offset: int = 0) -> Document:
        return {"jobs": _fitting(self._jobs.list(state, limit, offset)), "offset": offset} | self._jobs.counts()

    def _artefact_list(self, caller: str, track: str, version: int | None = None) -> Document:
        return {"track": track, "artefacts": self._library.artefacts(track, version)}

    def _bundle_get(self, caller: str, track: str, version: int | None = None) -> Document:
        """What a deployment would send; firmware a K1 needs and how it copes are unknown to the edge, and said so."""
        song = self._library.read(track, version)
        n = version or self._library.get(track)["version"]
        return {
            "manifest": {
                "bundle_version": "1.0.0",
                "map_version": f"v{VERSION}",
                "checksum_sha256": song.metadata.hashes.map_sha256,
                "firmware_min_version": None,
                "required_nodes": [],
            },
            "map_bytes": len(encode(song)),
            "path": str(self._library.path(track, n)),
            "runtime_estimate": None,
        }

    def _deploy(self, caller: str, track: str, version: int | None = None, start_at_ms: float | None = None) -> Document:
        """The score that the edge is to play by."""
        found = self._library.read(track, version)
        n = version or self._library.get(track)["version"]
        self._library.audit(caller, "deploy", track, f"v{n}")
        score = plain_score(score_of(found))
        if len(json.dumps(score)) > REPLY_BYTES:
            score["accents"] = []  # a set is led through without them
        if len(json.dumps(score)) > REPLY_BYTES:
            raise LibraryError(Code.DEPLOYMENT_FAILED, f"{track} has too many beats to be played by")
        metrics = {"bpm": found.global_metrics.bpm, "beats": len(score["beats_ms"])}
        return {"track": track, "version": n, "map_sha256": found.metadata.hashes.map_sha256, "score": score} | metrics

    def _recall(self, caller: str, **heard: Any) -> Document:
        """The score of the song that is heard, and when it began; {} while none is sure. Of one that is led by already, whether
        that still is the song."""
        if "track" in heard:
            return self.memory.check(**heard)
        found = self.memory.find(**heard)
        return found and self._deploy(caller, found["track"]) | found

    def _log_tail(self, caller: str, job: str | None = None, track: str | None = None, limit: int = 50) -> Document:
        if job is not None:
            return {"job": job, "lines": self._jobs.get(job)["log_tail"]}
        return {"entries": _fitting(self._library.history(track, limit))}


def _fitting(rows: list[Document]) -> list[Document]:
    """As many of the rows, from the first, as a reply can hold."""
    used = 0
    for count, row in enumerate(rows):
        used += len(json.dumps(row, ensure_ascii=False).encode()) + 2
        if used > REPLY_BYTES - 1_000:
            return rows[:count]
    return rows


def _rhythm_within(rhythm: Document, first_ms: float, last_ms: float) -> Document:
    found = {
        name: [at_ms for at_ms in rhythm[name] if first_ms <= at_ms <= last_ms]
        for name in ("beat_grid_ms", "downbeat_ms", "onset_times_ms")
        if name in rhythm
    }
    if rhythm.get("beat_strength"):
        beats = zip(rhythm["beat_grid_ms"], rhythm["beat_strength"], strict=True)
        found["beat_strength"] = [strength for at_ms, strength in beats if first_ms <= at_ms <= last_ms]
    return found


def _thinned(points: list[Document], first_ms: float, last_ms: float, most: int) -> list[Document]:
    inside = [point for point in points if first_ms <= point["time_ms"] <= last_ms]
    return strongest(inside, math.ceil(len(inside) / max(most, 1)) or 1)
