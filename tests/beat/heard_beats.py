"""Beats of sounds of our own, as a tracker announces and hears them."""

from __future__ import annotations

import numpy as np

from k1edge.beat.sounds import START_HOPS
from k1edge.dsp.features import N_BANDS

PERIOD = 50
SOUNDS = np.random.default_rng(8).uniform(0.0, 4.0, (16, N_BANDS)).astype(np.float32)
NOTHING = (0.05, 0.01)


def hear_beats(rows, sounds, *listeners, first=1, start=0, period=PERIOD):
    """One sound a beat, from hop `start`; the beats are announced 15 hops ahead and numbered from `first`. Returns the last."""
    for n in range(len(sounds) * period):
        if (n + 15) % period == 0:
            rows.expect(first + (n + 15) // period, start + n + 15, period)
        begun = rows.hear(start + n + 1, sounds[max(n - START_HOPS, 0) // period], NOTHING)
        if begun is not None:
            for hear in listeners:
                hear(begun, rows)
    return first + len(sounds) - 1
