"""The songs that are remembered: a sketch of each track's envelopes, and which of them is heard.

Consumes a library's maps, once each, and what an edge hears; emits the track that plays and where in it. Sketches lie beside
the maps, 9 KB each, since a map takes 50 ms to read. A track is told when two questions in a row, about different seconds,
find it beginning at the same moment. Cost: .5 ms for each track of about the tempo that is heard.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from k1edge.genesis.codec import BANDS, Document
from k1edge.genesis.recall import alike, at_place, envelope, sketch
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
SAME_START_S = 0.1
LEVELS = tuple(math.log2(ratio) for ratio in (1, 2, 1 / 2, 3, 1 / 3, 3 / 2, 2 / 3))
"""At which a tracker may hear the tempo of a map."""
SAME_TEMPO = math.log2(1.015)


class Memory:
    """Of one library."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._sketches: dict[str, np.ndarray | None] = {}
        """By track; None where its map's envelopes are too coarse."""
        self._found: dict[str, float] = {}
        """By the last question: where each track that it may be began, in the time of the stream, s."""

    def learn(self) -> None:
        """Sketches of tracks that are new, a few at a time; tracks that have gone are forgotten. Raises OSError."""
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
        write_whole(path, content.getvalue())
        return made

    def find(self, levels: Sequence[Sequence[int]], began_s: float, bpm: float) -> Document:
        """`levels`: (n, 3) thousandths of each band's loudest, every 20 ms, from `began_s` of a stream on. {} = unsure."""
        heard = np.array(levels, np.float32) / 1000
        before, self._found, sure = self._found, {}, {}
        for track, song in self._of_tempo(bpm):
            likeness = alike(heard, song)
            if likeness is None or likeness.correlation < LEAST or likeness.correlation - likeness.elsewhere < CLEAR:
                continue
            self._found[track] = start_s = began_s - likeness.at_s
            if abs(before.get(track, math.inf) - start_s) < SAME_START_S:
                sure[track] = likeness.correlation
        if not sure:
            return {}
        # The same song may have been caught more than once: the one that a person has put right goes first.
        track = max(sure, key=lambda each: (bool(self._library.get(each)["override"]), sure[each]))
        return {"track": track, "start_s": self._found[track], "likeness": round(sure[track], 3)}

    def likeness(self, levels: Sequence[Sequence[int]], began_s: float, track: str, *, start_s: float, bpm: float) -> float:
        """Of what is heard and a song at the place to which it has come if it began at `start_s`; 0.0 where there is none."""
        song = self._sketches.get(track)
        found = None if song is None else at_place(np.array(levels, np.float32) / 1000, song, began_s - start_s)
        return round(found or 0.0, 3)

    def _of_tempo(self, bpm: float) -> list[tuple[str, Any]]:
        rows = self._library.db.execute("SELECT id, bpm FROM tracks WHERE deleted_ms IS NULL AND bpm > 0")
        found = []
        for row in rows:
            song, octaves = self._sketches.get(row["id"]), math.log2(bpm / row["bpm"])
            if song is not None and min(abs(octaves - level) for level in LEVELS) < SAME_TEMPO:
                found.append((row["id"], song))
        return found
