"""What a light needs of a stored map to play by it: beats, sections and moments, and of the envelopes the accents.

Consumes a `GenesisMap`, emits a `Score`, and the score as plain JSON objects and back: 20 KB for a song of four minutes, where
the map has 2 MB and takes 50 ms to read. Times are ms from the start of the audio.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from k1edge.genesis.codec import BANDS, Document
from k1edge.genesis.document import Annotations, GenesisMap

AUDIBLE = 0.01
"""Intensity of an envelope from which there is something to hear."""
Accent = tuple[float, float]
"""By how much the bass, and the highs, rise more on a beat than half way to the next."""
NO_ACCENT: Accent = (0.0, 0.0)
NEAR = 0.15
"""Of the period: what belongs to a beat, and to the middle between two."""


@dataclass(frozen=True, slots=True)
class Score:
    """One song to play by."""

    beats_ms: list[float]
    downbeats_ms: list[float]
    strengths: list[float]
    sections: list[tuple[float, str]]
    """(start, label), in order."""
    moments: list[tuple[float, str, float]]
    """(time, kind, confidence), in order."""
    sound_ms: float = 0.0
    """Where the song is first heard: a file may begin with silence."""
    accents: list[Accent] = field(default_factory=list)
    """Of each beat; [] = not known."""


def score_of(song: GenesisMap) -> Score:
    """The score of a map."""
    rhythm, notes = song.layers.rhythm, song.notes
    return Score(
        list(rhythm.beat_grid_ms),
        list(rhythm.downbeat_ms),
        rhythm.beat_strength or [1.0] * len(rhythm.beat_grid_ms),
        [(section.start_ms, section.label) for section in notes.sections or []],
        sorted(_moments(notes)),
        _first_sound(song),
        stored_accents(rhythm.beat_grid_ms, [_envelope(song, band) for band in ("bass", "highs")]),
    )


def plain_score(score: Score) -> Document:
    """As plain JSON objects."""
    return {name: getattr(score, name) for name in Score.__slots__}


def read_score(document: Any) -> Score:
    """From plain objects that `plain_score` made."""
    rows = {name: [tuple(row) for row in document.get(name, ())] for name in ("sections", "moments", "accents")}
    return Score(**document | rows)


def _envelope(song: GenesisMap, band: str) -> tuple[list[float], list[float]]:
    points = getattr(song.layers.frequency, band)
    return [point["time_ms"] for point in points], [point["intensity"] for point in points]


def _moments(notes: Annotations) -> list[tuple[float, str, float]]:
    found = [(drop.at_ms, "drop", drop.confidence) for drop in notes.drops or []]
    for kind, spans in (("build", notes.builds), ("breakdown", notes.breakdowns)):
        found += [(span.start_ms, kind, span.confidence or 0.5) for span in spans or []]
    return found


def _first_sound(song: GenesisMap) -> float:
    heard = (at_ms for band in BANDS for at_ms, level in zip(*_envelope(song, band), strict=True) if level >= AUDIBLE)
    return min(heard, default=0.0)


def stored_accents(beats_ms: list[float], envelopes: list[tuple[list[float], list[float]]]) -> list[Accent]:
    """(beats,) of a map; `envelopes`: the times and intensities of its bass and its highs."""
    if len(beats_ms) < 2:
        return [NO_ACCENT] * len(beats_ms)
    bands = [_contrasts(np.array(beats_ms), np.array(at_ms), np.array(intensity)) for at_ms, intensity in envelopes]
    return list(zip(*(band.round(2).tolist() for band in bands), strict=True))


def _contrasts(beats: np.ndarray, at_ms: np.ndarray, intensity: np.ndarray) -> np.ndarray:
    """(beats,) the highest rise near each, less that half way to the next."""
    rises = np.maximum(np.diff(intensity, prepend=intensity[0]), 0.0)
    periods = np.diff(beats, append=2 * beats[-1] - beats[-2])
    edges = beats[:, None] + periods[:, None] * (-NEAR, NEAR, 0.5 - NEAR, 0.5 + NEAR)
    bounds = np.minimum(np.searchsorted(at_ms, edges.ravel()), len(rises) - 1)
    highest = np.maximum.reduceat(rises, bounds)
    highest[:-1][bounds[:-1] == bounds[1:]] = 0.0  # without a point there, the next one is taken
    return highest[0::4] - highest[2::4]
