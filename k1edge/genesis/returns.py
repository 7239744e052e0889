"""Where the bass comes back after having been gone: there a drop may begin, wherever the beat is thought to be.

Consumes `Hearing`, emits the sample at which the bass returned, NOTICED_HOPS later. Trackers slip in builds that have no
drums; the ear needs no beat to hear a kick after a second without one.

Cost: 3 us a hop.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from k1edge.frames import HOPS_PER_S
from k1edge.genesis.hearing import QUIETEST_DBFS, Hearing

GONE_S = 0.7
"""Without bass as loud as what follows: longer than from kick to kick in any dance music, shorter than two beats of it."""
RISE_DB = 6.0
SHARE_DB = -12.0
"""Of the whole sound, at least: a rumble under a chord is no return."""
NOTICED_HOPS = 2
"""From the onset to the hop in which the analysis window is full enough of it."""
RISE_HOPS = 4
"""A bass takes so long to come up: what is heard in them is not the past yet."""


class Returns:
    """Hearings in, onsets of returning bass out; one per stream."""

    def __init__(self, hop: int) -> None:
        self._hop = hop
        self._past = np.zeros(round(GONE_S * HOPS_PER_S))
        """Full scale to begin with: nothing returns that was not heard to go."""
        self._rise = deque([QUIETEST_DBFS] * RISE_HOPS)
        self._hops = 0

    def process(self, hearing: Hearing, end: int) -> int | None:
        """The onset that has just been noticed, if any."""
        past, bass = self._past, hearing.bass_dbfs
        self._hops += 1
        self._rise.append(bass)
        past[self._hops % len(past)] = self._rise.popleft()
        if hearing.silent or bass < hearing.level_dbfs + SHARE_DB or bass < np.maximum.reduce(past) + RISE_DB:
            return None
        past[:] = 0.0  # full scale: the rest of its rise is no other return
        return end - NOTICED_HOPS * self._hop
