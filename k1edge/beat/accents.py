"""How strong the beats at each position of the bar have been, for lights that pulse with the music.

Consumes the activation of every hop and the announced beats; answers with a strength of 0..1 per position.
"""

from __future__ import annotations

from collections import deque

from k1edge.beat.bars import LONGEST_BAR

MEMORY = 0.25
"""Weight of the newest beat: about four bars are remembered."""
AROUND_HOPS = 5
UNHEARD = 0.5


class Accents:
    """Remembers the strength of beats by their place in the bar; place 0 is "bar unknown"."""

    def __init__(self, latency_hops: float) -> None:
        self._latency = latency_hops
        self._recent: deque[float] = deque(maxlen=2 * AROUND_HOPS + 1)
        self._waiting: deque[tuple[float, int]] = deque(maxlen=8)
        self._strength = [UNHEARD] * (LONGEST_BAR + 1)

    def hear(self, now: float, beat: float) -> None:
        """Every hop: the activation, and with it the beats that have passed by now."""
        self._recent.append(beat)
        while self._waiting and self._waiting[0][0] + self._latency + AROUND_HOPS <= now:
            _, place = self._waiting.popleft()
            self._strength[place] += MEMORY * (max(self._recent) - self._strength[place])

    def expect(self, due: float, place: int) -> float:
        """A beat is announced: to be listened to when it is due. Returns the strength of its place so far."""
        self._waiting.append((due, place))
        return self._strength[place]
