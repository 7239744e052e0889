"""What each beat sounded like, and which of the beats before it resembles: what a bar is heard by.

Consumes the rows of a beat (bands, and what the network said of beat and downbeat, 100 a second); emits the inputs of the
ears for bars (`downbeats`) and for levels (`levels`). A beat's sound is the mean of its bands in each of PARTS equal parts. Of
the last SPAN beats in a row

    change      the sound less the mean of the SPAN beats, in GROUPS of neighbouring bands
    likeness    how far it is from each of the beats before it, beside how far it is from all of them: of the whole beat,
                and part by part
    heard       the live network's downbeat, given a beat, and its beat

Bars repeat, and begin where something changes: distances say so of any instruments, which the bands themselves do not.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from k1edge.beat.observation import downbeat_logit, logit
from k1edge.dsp.features import N_BANDS

PARTS, GROUPS, SPAN = 4, 10, 17
CHANGE = slice(0, PARTS * GROUPS)
WHOLE, BY_PARTS = slice(CHANGE.stop, CHANGE.stop + SPAN), slice(CHANGE.stop + SPAN, CHANGE.stop + 2 * SPAN)
N_INPUTS = BY_PARTS.stop + 2
"""Where each of the inputs is; the last two are what the network said."""
HEARD = 2
"""Columns behind the bands of a row: the probabilities of a beat and of a downbeat."""
N_COLUMNS = N_BANDS + HEARD
START_HOPS = 2
"""From when a beat is to when its sound begins in the bands, whose window is 50 ms."""
NEAR_HOPS = 9
"""From there on: where the network, 60 ms late, speaks of the beat's onset."""
SHARE_SCALE, BEAT_SCALE = 0.5, 0.25
LEAST = 1e-3


class BeatSounds:
    """Of one stream."""

    def __init__(self) -> None:
        self._parts = np.zeros((SPAN, PARTS, N_BANDS), np.float32)  # newest first
        self._whole = np.zeros((SPAN, N_BANDS), np.float32)
        self._count = 0

    def begin(self) -> None:
        """What comes does not follow what was."""
        self._count = 0

    def process(self, rows: np.ndarray) -> np.ndarray:
        """(hops, N_COLUMNS) of a beat, from START_HOPS after it on -> (N_INPUTS,), each about 1. At least PARTS hops."""
        edges = [len(rows) * part // PARTS for part in range(PARTS + 1)]
        self._parts[1:], self._whole[1:] = self._parts[:-1], self._whole[:-1]
        for part, (first, last) in enumerate(pairwise(edges)):
            np.divide(np.add.reduce(rows[first:last, :N_BANDS]), last - first, out=self._parts[0, part])
        np.divide(np.add.reduce(self._parts[0]), PARTS, out=self._whole[0])
        self._count = count = min(self._count + 1, SPAN)
        out = np.zeros(N_INPUTS, np.float32)
        change = self._parts[0] - np.add.reduce(self._whole[:count]) / np.float32(count)
        np.add.reduce(change.reshape(PARTS * GROUPS, -1), axis=1, out=out[CHANGE])
        out[CHANGE] *= GROUPS / N_BANDS
        _likeness(self._whole[:count], out[WHOLE])
        _likeness(self._parts.reshape(SPAN, -1)[:count], out[BY_PARTS])
        beat, downbeat = np.maximum.reduce(rows[:NEAR_HOPS, N_BANDS:]).tolist()
        out[-2:] = SHARE_SCALE * downbeat_logit(beat, downbeat), BEAT_SCALE * logit(beat)
        return out


def _likeness(sounds: np.ndarray, out: np.ndarray) -> None:
    """(beats, n) newest first -> (SPAN,) how far the newest is from each, by their mean; and the logarithm of that."""
    off = sounds[1:] - sounds[0]
    far = np.sqrt(np.einsum("bn,bn->b", off, off) / np.float32(off.shape[1]))
    mean = (float(np.add.reduce(far)) / len(far) if len(far) else 0.0) + LEAST
    np.divide(far, mean, out=out[: len(far)])
    out[: len(far)] -= 1.0
    out[-1] = 1.0 + math.log(mean)
