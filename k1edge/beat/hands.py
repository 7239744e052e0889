"""What a person may do to the beat: double, halve, nudge, "this is one", tap. Each acts on the state space.

Consumes a correction and the present grid, moves the mass of a `BarPointer` accordingly; the evidence that follows may move
it again, but has to be strong. Corrections of the tempo also teach the prior. Times are steps of the bar pointer.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise

import numpy as np

from k1edge.beat.bar_pointer import STEPS_PER_S, BarPointer
from k1edge.beat.belief import Belief, Reader

CERTAINTY = 1 - 1e-6
"""Share of the belief that a correction takes: evidence for the old grid must be a million times as good to win it back, which
bare clicks are after two beats (one is worth e ** 8) and music after some bars, if ever."""
TAP_CERTAINTY = 0.99
TAPS_KEPT = 5
TAP_GAP_S = 2.5
"""A longer pause begins a new series."""
TAPS_FOR_TEMPO = 3
TAPS_WITHIN = 0.20
"""Of their median interval: less regular taps say nothing about tempo."""


class Hands:
    """Acts on the posterior on behalf of a person."""

    def __init__(self, pointer: BarPointer, reader: Reader) -> None:
        self._pointer, self._reader = pointer, reader
        self._taps: deque[float] = deque(maxlen=TAPS_KEPT)

    def change_level(self, belief: Belief, factor: float) -> float | None:
        """`factor` 2 doubles the tempo, 0.5 halves it. Returns the new tempo in bpm, or None beyond the tempo range."""
        period = belief.period / factor
        if not self._pointer.periods[0] * 0.97 <= period <= self._pointer.periods[-1] * 1.03:
            return None
        self._plant(period, belief.due, CERTAINTY)
        return 60 * STEPS_PER_S / period

    def nudge(self, belief: Belief, steps: float) -> None:
        """The grid moves later by `steps`."""
        self._plant(belief.period, belief.due + steps, CERTAINTY, self._reader.beats())

    def this_is_one(self) -> None:
        """The beat nearest to now begins a bar."""
        self._pointer.seat()

    def tap(self, at: float, now: float, belief: Belief | None) -> float | None:
        """A beat was felt at step `at`. Returns the tempo in bpm when the taps say one."""
        if self._taps and not 0 < at - self._taps[-1] < TAP_GAP_S * STEPS_PER_S:
            self._taps.clear()
        self._taps.append(at)
        period = self._tapped_period()
        if period is not None:
            self._plant(period, at - now, TAP_CERTAINTY)
            return 60 * STEPS_PER_S / period
        if belief is not None and len(self._taps) == 1:
            self._plant(belief.period, at - now, TAP_CERTAINTY, self._reader.beats())
        return None

    def _tapped_period(self) -> float | None:
        if len(self._taps) < TAPS_FOR_TEMPO:
            return None
        intervals = np.array([b - a for a, b in pairwise(self._taps)])
        period = float(np.median(intervals))
        if np.abs(intervals / period - 1).max() > TAPS_WITHIN:
            return None
        inside = self._pointer.periods[0] * 0.97 <= period <= self._pointer.periods[-1] * 1.03
        return period if inside else None

    def _plant(self, period: float, due: float, share: float, beats: np.ndarray | None = None) -> None:
        self._pointer.plant(period, due % period, share, beats)
        self._reader.follow(period)
