"""Cuts pieces into training crops for the network that hears levels: beats as they are, and beats as they are not.

Consumes rows and true beats; emits inputs (beats, N_LEVEL_INPUTS) and in which way the beats of the crop are wrong.
"""

from __future__ import annotations

import numpy as np
from bar_crops import BEGINS_WITHIN, JITTER_S, MISSING, SHIFT_S, Piece, inputs

from k1edge.beat.levels import N_LEVEL_INPUTS, RIGHT, LevelSounds

CLASSES = {"right": 0.34, "double": 0.17, "half": 0.18, "off": 0.12, "triple": 0.04, "three halves": 0.05,
           "two thirds": 0.04, "a third": 0.02, "lost": 0.04}  # fmt: skip
"""How often a crop is of each: at a multiple of the tempo, on the off-beat, or anywhere."""
NAMES, SHARES = list(CLASSES), np.array(list(CLASSES.values()))
TEMPI_BPM = 54.0, 217.0
"""The tracker's range, and a little: beats of other tempi are never asked about."""
OFF_OFF_BEATS = (0.65, 0.25, 0.05)
"""Shares of the off-beats that are those of the beat; of twice the tempo; of half of it, first and second."""
SPEEDS = 0.5, 2.0
STRETCH = 0.8, 1.25
"""Pieces are played slower or faster: no style keeps to a tempo."""
FEWEST, UNSURE = 6, 2
"""Beats of a crop, and those from which nothing can be known."""

assert NAMES[RIGHT] == "right"


def divided(times_s: np.ndarray, by: int) -> np.ndarray:
    """(n,) beats -> all of them and the places that divide each into `by` equal parts."""
    return np.interp(np.arange((len(times_s) - 1) * by + 1) / by, np.arange(len(times_s)), times_s)


def as_another(rng: np.random.Generator, times_s: np.ndarray, name: str) -> np.ndarray:
    """(n,) beats -> beats that are wrong in the way of this name."""
    if name == "double":
        return divided(times_s, 2)
    if name == "half":
        return times_s[rng.integers(2) :: 2]
    if name == "off":
        kind = rng.choice(4, p=(*OFF_OFF_BEATS, 1 - sum(OFF_OFF_BEATS)))
        quarters = divided(times_s, 4)
        return [quarters[2::4], quarters[1::2], quarters[1::4], quarters[3::4]][kind]
    if name == "triple":
        return divided(times_s, 3)
    if name == "three halves":
        return divided(times_s, 3)[rng.integers(2) :: 2]
    if name == "two thirds":
        return divided(times_s, 2)[rng.integers(3) :: 3]
    if name == "a third":
        return times_s[rng.integers(3) :: 3]
    if name == "lost":
        step = np.exp(rng.uniform(*np.log(SPEEDS)))
        return np.interp(np.arange(rng.random(), len(times_s) - 1, step), np.arange(len(times_s)), times_s)
    return times_s


def stretched(rng: np.random.Generator, piece: Piece) -> Piece:
    """The piece at another speed within STRETCH."""
    speed = np.exp(rng.uniform(*np.log(STRETCH)))
    hops = np.arange(0, len(piece.rows) - 1, speed).round().astype(int)
    return Piece(piece.rows[hops], piece.beats / (speed, 1.0))


def drawn(rng: np.random.Generator, times_s: np.ndarray) -> tuple[int, np.ndarray]:
    """One of the CLASSES that the tempo range allows, and the beats as they are then."""
    while True:
        label = int(rng.choice(len(SHARES), p=SHARES))
        told = as_another(rng, times_s, NAMES[label])
        if label == RIGHT or (len(told) >= FEWEST and TEMPI_BPM[0] <= 60 / np.median(np.diff(told)) <= TEMPI_BPM[1]):
            return label, told


def crop(rng: np.random.Generator, piece: Piece, beats: int) -> tuple[np.ndarray, np.ndarray]:
    """(beats, N_LEVEL_INPUTS), (beats,) the class of the crop, -1 where it cannot be known yet or there is no beat."""
    piece = stretched(rng, piece)
    label, told = drawn(rng, piece.beats[:, 0])
    told = np.sort(told + rng.normal(0, JITTER_S, len(told)) + rng.normal(0, SHIFT_S))
    first = rng.integers(min(max(len(told) - beats, BEGINS_WITHIN), len(told)))
    told = told[first : first + beats + 1]
    if rng.random() < MISSING and len(told) > 2 * FEWEST:
        told = np.delete(told, rng.integers(2, len(told) - 2))
    x, y = np.zeros((beats, N_LEVEL_INPUTS), np.float32), np.full(beats, -1)
    if len(told) > 1:
        found = inputs(rng, piece, told, LevelSounds())
        x[: len(found)], y[UNSURE : len(found)] = found, label
    return x, y
