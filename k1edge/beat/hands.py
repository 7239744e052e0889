"""What a person may do to the beat: double, halve, nudge, tap. Each acts on the state space.

Consumes a correction and the present grid, moves the mass of a `BarPointer` accordingly. The sound goes on arguing as before
for the metrical level that a person has left, and would win it back within seconds: so that level stays refused as long as
the tempo goes on that it was left for, which is mostly the song. Corrections of the tempo also teach the prior. The ear for
levels has the same hand, and gives way to a person. Times are steps of the bar pointer.
"""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise

import numpy as np

from k1edge.beat.bar_pointer import STEPS_PER_S, BarPointer, within
from k1edge.beat.belief import Belief, Reader

CERTAINTY = 1 - 1e-6
"""Share of the belief that a correction takes: evidence for the old grid must be a million times as good to win it back, which
bare clicks are after two beats (one is worth e ** 8) and music after some bars."""
REFUSED = 20.0
"""Log-weight against the tempi of a level that was left, as `BarPointer.step` takes it: 0.4 a step, more than beats argue."""
SAME_TEMPO_OCTAVES, REFUSED_OCTAVES = 0.13, 0.25
"""+-9 % is the same tempo; what is refused is wider, or else a tempo beside the one that was left would come in its place, but
no nearer to what is held than to what was left. An octave beyond it is refused, too: who left 94 for 63 does not want 189."""
LEFT = 8.0
"""REFUSED where not a person but the ear for levels has left a level: weak enough for another song to be found at it. With
REFUSED, songs of the tune half in one stream were found later."""
FOLLOWS = 0.02
"""Share by which the held tempo follows the one that is heard, each step: a song may drift."""
RELEASED_AFTER_S = 8.0
"""Of another tempo, or of none."""
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
        self._octaves = np.log2(pointer.tempi_bpm)
        self._held, self._left, self._away = 0.0, 0.0, 0
        """Octaves: the tempo that was chosen, and the level left for it, from there; steps spent elsewhere."""
        self._place = 0
        self.refused: np.ndarray | None = None
        """(I,) log-weights against the level that was left; None when none was, or it is over."""
        self._by_person = False

    def look(self, belief: Belief | None) -> None:
        """Each step, what is believed, None while nothing is followed: the level left stays refused, or is forgiven."""
        if self.refused is None:
            return
        heard = None if belief is None else math.log2(belief.tempo_bpm)
        if heard is None or abs(heard - self._held) > SAME_TEMPO_OCTAVES:
            self._away += 1
            if self._away > RELEASED_AFTER_S * STEPS_PER_S:
                self.refused = None
            return
        self._away = 0
        self._held += FOLLOWS * (heard - self._held)
        self._refuse()

    def _hold(self, bpm: float, left: float) -> None:
        """From now on `bpm`, and not what is `left` octaves from it; 0: nothing was left."""
        self._held, self._left, self._away, self._place = math.log2(bpm), left, 0, -1
        self._refuse()

    def _refuse(self) -> None:
        place = int(np.abs(self._octaves - self._held).argmin())
        if place != self._place:
            self._place = place
            beyond = np.sign(self._left) * (self._octaves - self._octaves[place]) - abs(self._left)
            off = np.minimum(np.abs(beyond), np.abs(beyond - 1))
            reach = min(REFUSED_OCTAVES, abs(self._left) / 2)
            self.refused = np.where(off < reach, -REFUSED if self._by_person else -LEFT, 0.0).astype(np.float32)

    @property
    def taps(self) -> int:
        """Of the present series, at most TAPS_KEPT."""
        return len(self._taps)

    @property
    def person_holds(self) -> bool:
        """A person has said which level it is, and the tempo goes on."""
        return self.refused is not None and self._by_person

    def release(self) -> None:
        """The level that a person has left may be taken again."""
        self.refused = None

    def change_level(self, belief: Belief, factor: float, later: float = 0.0, *, person: bool = True) -> float | None:
        """`factor` 2 doubles the tempo, 0.5 halves it, from the next beat on or `later`. Returns the new tempo in bpm, or None
        beyond the tempo range. `person`: it is one who says so, and not the ear for levels (`levels`), which thinks again."""
        period = belief.period / factor
        if not self._allows(period):
            return None
        self._plant(period, belief.due + later, CERTAINTY)
        self._by_person = person
        self._hold(60 * STEPS_PER_S / period, -math.log2(factor))
        return 60 * STEPS_PER_S / period

    def nudge(self, belief: Belief, steps: float) -> None:
        """The grid moves later by `steps`."""
        self._plant(belief.period, belief.due + steps, CERTAINTY, self._reader.beats())

    def tap(self, at: float, now: float, belief: Belief | None) -> float | None:
        """A beat was felt at step `at`. Returns the tempo in bpm when the taps say one."""
        if self._taps and not 0 < at - self._taps[-1] < TAP_GAP_S * STEPS_PER_S:
            self._taps.clear()
        self._taps.append(at)
        period = self._tapped_period()
        if period is None:
            if belief is not None and len(self._taps) == 1:
                self._plant(belief.period, at - now, TAP_CERTAINTY, self._reader.beats())
            return None
        bpm = 60 * STEPS_PER_S / period
        elsewhere = self.is_elsewhere(bpm, belief)
        self._plant(period, at - now, CERTAINTY if elsewhere else TAP_CERTAINTY)
        self._by_person = True
        if elsewhere:
            self._hold(bpm, math.log2(belief.tempo_bpm / bpm))
        else:
            self._hold(bpm, 0.0 if self.refused is None else self._left)
        return bpm

    @staticmethod
    def is_elsewhere(bpm: float, belief: Belief | None) -> bool:
        """It is another tempo than is believed."""
        return belief is not None and abs(math.log2(belief.tempo_bpm / bpm)) > SAME_TEMPO_OCTAVES

    def _tapped_period(self) -> float | None:
        if len(self._taps) < TAPS_FOR_TEMPO:
            return None
        intervals = np.array([b - a for a, b in pairwise(self._taps)])
        period = float(np.median(intervals))
        if np.abs(intervals / period - 1).max() > TAPS_WITHIN:
            return None
        return period if self._allows(period) else None

    def _allows(self, period: float) -> bool:
        return within(period, self._pointer.periods[0], self._pointer.periods[-1])

    def _plant(self, period: float, due: float, share: float, beats: np.ndarray | None = None) -> None:
        self._pointer.plant(period, due % period, share, beats)
        self._reader.follow(period)
