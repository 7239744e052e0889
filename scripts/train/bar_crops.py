"""Cuts pieces into training crops for the network that hears bars: beats with a tracker's errors, as it would hear them.

Consumes rows (what `k1edge.beat.sounds` reads) and true beats; emits inputs (beats, N_INPUTS) and which beat of a bar each is.
The errors: off by some ms, at half or twice the level, on the off-beat, one missing; and another colour, and noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from k1edge.beat.bar_pointer import metre_table
from k1edge.beat.levels import LevelSounds
from k1edge.beat.sounds import N_INPUTS, PARTS, START_HOPS, BeatSounds
from k1edge.dsp.features import N_BANDS
from k1edge.frames import HOPS_PER_S

LEVELS = {"half": 0.12, "double": 0.08, "off": 0.05}
"""Shares of crops whose beats are at another level, or between."""
JITTER_S, SHIFT_S = 0.012, 0.010
MISSING = 0.2
"""Share of crops in which one beat is missing."""
BEGINS_WITHIN = 9
"""Beats: a crop begins on any of its first beats at least, as pieces begin with a downbeat and a tracker locks on any beat."""
COLOUR, NOISE = 0.3, 0.6
"""Standard deviation of the logarithm of a band's gain, and the most of the noise, in units of the bands."""
PER_BAR, POSITION, _ = metre_table()
N_PLACES = len(PER_BAR)
FIRSTS = {int(metre): int(np.argmax(metre == PER_BAR)) for metre in np.unique(PER_BAR)}
ALSO = {6: 3, 8: 4}
"""Bars of six and eight, where beats are half as long as they should be, are two of these."""


@dataclass(frozen=True)
class Piece:
    """(hops, N_COLUMNS) rows as `BeatSounds` reads them; beats (n, 2): time_s, downbeat."""

    rows: np.ndarray
    beats: np.ndarray


def with_errors(rng: np.random.Generator, beats: np.ndarray) -> np.ndarray:
    """(n, 2) beats as a tracker might have them."""
    chance = rng.random()
    if chance < LEVELS["half"]:
        beats = beats[rng.integers(2) :: 2]
    elif chance < LEVELS["half"] + LEVELS["double"]:
        between = np.stack([(beats[1:, 0] + beats[:-1, 0]) / 2, np.zeros(len(beats) - 1)], axis=1)
        beats = np.stack([beats[:-1], between], axis=1).reshape(-1, 2)
    elif chance < sum(LEVELS.values()):
        beats = np.stack([(beats[1:, 0] + beats[:-1, 0]) / 2, beats[:-1, 1]], axis=1)
    beats = beats.copy()
    beats[:, 0] += rng.normal(0, JITTER_S, len(beats)) + rng.normal(0, SHIFT_S)
    if rng.random() < MISSING and len(beats) > 8:
        beats = np.delete(beats, rng.integers(2, len(beats) - 2), axis=0)
    return beats


def coloured(rng: np.random.Generator, rows: np.ndarray) -> np.ndarray:
    """Rows as through other loudspeakers, in another room: bands weaker or stronger than they were, and noise in all."""
    curve = np.interp(np.arange(N_BANDS), np.linspace(0, N_BANDS - 1, 6), rng.normal(0, COLOUR, 6))
    noise = rng.uniform(0, NOISE) * np.abs(rng.standard_normal((len(rows), N_BANDS), np.float32))
    return np.hstack([rows[:, :N_BANDS] * np.exp(curve, dtype=np.float32) + noise, rows[:, N_BANDS:]])


def inputs(rng: np.random.Generator, piece: Piece, times_s: np.ndarray, sounds: BeatSounds | LevelSounds) -> np.ndarray:
    """(n,) beats -> (n - 1, inputs) of all of them but the last, as `sounds` describes them."""
    edges = np.clip(np.round(times_s * HOPS_PER_S).astype(int) + START_HOPS, 0, len(piece.rows) - PARTS)
    rows = coloured(rng, piece.rows[edges[0] : edges[-1] + PARTS].astype(np.float32))
    edges -= edges[0]
    return np.array([sounds.process(rows[a : max(b, a + PARTS)]) for a, b in pairwise(edges)])


def places(down: np.ndarray) -> np.ndarray:
    """(n,) downbeats -> (n,) which of the beats of `metre_table` each is, -1 where it is none of them.

    What lies before the first bar and after the last is taken for bars of the same length.
    """
    out, ones = np.full(len(down), -1), np.flatnonzero(down > 0.5)
    if len(ones) < 2:
        return out
    lengths = np.diff(ones)
    firsts, lengths = np.r_[ones[0] - lengths[0], ones], np.r_[lengths[0], lengths, lengths[-1]]
    for first, length in zip(firsts.tolist(), lengths.tolist(), strict=True):
        metre = ALSO.get(length, length)
        if metre in FIRSTS:
            at = np.arange(max(first, 0), min(first + length, len(down)))
            out[at] = FIRSTS[metre] + (at - first) % metre
    return out


def crop(rng: np.random.Generator, piece: Piece, beats: int) -> tuple[np.ndarray, np.ndarray]:
    """(beats, N_INPUTS), (beats,) which beat of a metre each is, -1 where that is not known or there is none."""
    told = with_errors(rng, piece.beats)
    place = places(told[:, 1])
    first = rng.integers(min(max(len(told) - beats, BEGINS_WITHIN), len(told)))
    told = told[first : first + beats + 1]
    x, y = np.zeros((beats, N_INPUTS), np.float32), np.full(beats, -1)
    if len(told) > 1:
        found = inputs(rng, piece, told[:, 0], BeatSounds())
        x[: len(found)], y[: len(found)] = found, place[first:][: len(found)]
    return x, y
