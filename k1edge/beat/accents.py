"""How strong beats have been: by place in the bar, for lights that pulse with the music, and against the times between them.

Consumes the network's beat probability of every hop and the announced beats; holds `on` and `between`, what was heard at
the last beats and half way between them, and a strength of 0..1 for each place in the bar.
"""

from __future__ import annotations

from collections import deque

LONGEST_BAR = 8
MEMORY = 0.25
"""Weight of the newest beat: about four bars are remembered for a place, one for `on` and `between`."""
AROUND_HOPS = 4
KEPT_HOPS = 128
"""More than the slowest period."""
UNHEARD = 0.5


class Accents:
    """Place 0 is "bar unknown"."""

    def __init__(self, latency_hops: float) -> None:
        self._latency = latency_hops
        self._recent: deque[float] = deque([0.0] * KEPT_HOPS, maxlen=KEPT_HOPS)
        self._waiting: deque[tuple[float, float, int]] = deque(maxlen=8)
        self._strength = [UNHEARD] * (LONGEST_BAR + 1)
        self.on, self.between = UNHEARD, UNHEARD

    def hear(self, now: float, beat: float) -> None:
        """Every hop: the probability of a beat, and with it the beats that have passed by now."""
        self._recent.append(beat)
        while self._waiting and self._waiting[0][0] + self._latency + AROUND_HOPS <= now:
            due, period, place = self._waiting.popleft()
            ago = round(now - due - self._latency)
            on, between = self._strongest(ago), self._strongest(ago + round(period / 2))
            self._strength[place] += MEMORY * (on - self._strength[place])
            self.on += MEMORY * (on - self.on)
            self.between += MEMORY * (between - self.between)

    def expect(self, due: float, period: float, place: int) -> float:
        """A beat is announced: to be listened to when it is due. Returns the strength of its place so far."""
        self._waiting.append((due, period, place))
        return self._strength[place]

    def _strongest(self, hops_ago: int) -> float:
        last = max(KEPT_HOPS - 1 - hops_ago + AROUND_HOPS, 0)
        first = max(last - 2 * AROUND_HOPS, 0)
        return max(self._recent[i] for i in range(first, last + 1))
