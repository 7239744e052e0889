"""The songs that are remembered: a sketch of each track's envelopes, and which of them is heard.

Consumes a library's maps, once each, and what an edge hears; emits the track that plays and where in it. Sketches lie beside
the maps, 9 KB each, since a map takes 50 ms to read. A track is told when two questions in a row, about different seconds,
find it at places that follow from each other. How fast it is played is known from the tempo. Cost: .5 ms for each track that
is compared, those of the nearest tempo first.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from k1edge.genesis.alignment import SPEEDS
from k1edge.genesis.codec import BANDS, Document
from k1edge.genesis.recall import alike, at_place, at_speed, envelope, sketch
from k1edge.library.errors import LibraryError
from k1edge.library.store import Library
from k1edge.whole import write_whole

NAME = "sketch.npy"
MOST_TRACKS = 2_000
"""Those that were changed last: 18 MB."""
LEARNED_AT_ONCE = 4
LEAST, CLEAR = 0.85, 0.05
"""Correlation from which it is the song, and how much better than at other places in it: of windows of 10 s on the tune half,
70 % were told so, all of them rightly (216 windows among 38 songs, and loops; see `genesis/recall.py`)."""
MOST_COMPARED = 400
"""In one question: .2 s, or a second on a small machine."""
SAME_PLACE_S = 0.15
LEVELS = tuple(math.log2(ratio) for ratio in (1, 2, 1 / 2, 3, 1 / 3, 3 / 2, 2 / 3))
"""At which a tracker may hear the tempo of a map."""


SAME_SPEED, FASTEST = (math.log2(1 + share) for share in SPEEDS)


class _Place(NamedTuple):
    """In a song, of a moment of the stream."""

    began_s: float
    at_s: float
    speed: float

    def after(self, began_s: float) -> float:
        """Where the song has come to at another moment."""
        return self.at_s + (began_s - self.began_s) * self.speed


class Memory:
    """Of one library."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._sketches: dict[str, np.ndarray | None] = {}
        """By track; None where its map's envelopes are too coarse."""
        self._found: dict[str, _Place] = {}
        """By the last question: each track that it may be."""

    def learn(self) -> None:
        """Sketches of tracks that are new, a few at a time; tracks that have gone are forgotten."""
        sql = "SELECT id FROM tracks WHERE version IS NOT NULL AND deleted_ms IS NULL ORDER BY updated_ms DESC LIMIT ?"
        there = [row["id"] for row in self._library.db.execute(sql, (MOST_TRACKS,))]
        self._sketches = {track: self._sketches[track] for track in there if track in self._sketches}
        for track in [track for track in there if track not in self._sketches][:LEARNED_AT_ONCE]:
            self._sketches[track] = self._sketch(track)

    def _sketch(self, track: str) -> np.ndarray | None:
        path = self._library.root / "maps" / track / NAME
        with contextlib.suppress(OSError, ValueError, EOFError):
            return np.load(path)
        try:
            bands = self._library.document(track)["layers"]["frequency"]
        except LibraryError:
            return None
        points = ([(point["time_ms"], point["intensity"]) for point in bands[name]] for name in BANDS)
        levels = envelope([tuple(zip(*each, strict=True)) or ((), ()) for each in points])
        if levels is None:
            return None
        made = sketch(levels)
        content = io.BytesIO()
        np.save(content, made)
        with contextlib.suppress(OSError):  # it is made again at the next start
            write_whole(path, content.getvalue())
        return made

    def find(self, levels: Sequence[Sequence[int]], began_s: float, bpm: float) -> Document:
        """`levels`: (n, 3) thousandths of each band's loudest, every 20 ms, from `began_s` of a stream on. {} = unsure."""
        heard = np.array(levels, np.float32) / 1000
        before, self._found, sure = self._found, {}, {}
        for track, speed in self._of_tempo(bpm):
            likeness = alike(at_speed(heard, speed), self._sketches[track])
            if likeness is None or likeness.correlation < max(LEAST, sure.get(track, 0.0)):
                continue
            if likeness.correlation - likeness.elsewhere < CLEAR:
                continue
            self._found[track] = _Place(began_s, likeness.at_s, speed)
            if track in before and abs(before[track].after(began_s) - likeness.at_s) < SAME_PLACE_S:
                sure[track] = likeness.correlation
        if not sure:
            return {}
        # The same song may have been caught more than once: the one that a person has put right goes first.
        track = max(sure, key=lambda each: (bool(self._library.get(each)["override"]), sure[each]))
        place = self._found[track]
        start_s = began_s - place.at_s / place.speed
        return {"track": track, "start_s": start_s, "speed": place.speed, "likeness": round(sure[track], 3)}

    def check(self, levels: Sequence[Sequence[int]], began_s: float, track: str, *, start_s: float, speed: float) -> Document:
        """How like a song, where it is by now if it began at `start_s`, is what is heard; and how much further it has come."""
        song, at_s = self._sketches.get(track), (began_s - start_s) * speed
        found = None if song is None else at_place(at_speed(np.array(levels, np.float32) / 1000, speed), song, at_s)
        if found is None:
            return {"still": 0.0, "ahead_s": 0.0}
        return {"still": round(found.correlation, 3), "ahead_s": round(found.at_s - at_s, 4)}

    def _of_tempo(self, bpm: float) -> list[tuple[str, float]]:
        """Tracks that this may be, and how fast it is played then, those of the nearest tempo first. Where that is another, it
        may only be so here."""
        found = []
        for row in self._library.db.execute("SELECT id, bpm FROM tracks WHERE deleted_ms IS NULL AND bpm > 0"):
            if self._sketches.get(row["id"]) is None:
                continue
            octaves = min((math.log2(bpm / row["bpm"]) - level for level in LEVELS), key=abs)
            if abs(octaves) < FASTEST:
                speeds = (1.0, 2.0**octaves) if abs(octaves) > SAME_SPEED else (1.0,)
                found += [(abs(octaves), row["id"], speed) for speed in speeds]
        return [(track, speed) for _, track, speed in sorted(found)[:MOST_COMPARED]]
