"""Which of the beats flash: all of them, or every other one of a tempo that is faster than light may flash.

Consumes announcements with the tempo, says of each whether it is shown. Pure. Three flashes a second are all there may be
(`genesis/limiter.py`), which is 180 beats a minute. Of a faster tempo the limiter would let three beats of four through and a
light that stumbles; shown on the first and third beat of the bar, in half time, it goes on as evenly as before.
"""

from __future__ import annotations

from k1edge.frames import BeatEvent

FASTEST_BPM = 180.0
"""The limiter's three flashes a second."""
SLOWEST_HALVED_BPM = 174.0
"""Below it all beats flash again: a tempo that wavers about the limit changes nothing."""


class Pulse:
    """Of one edge: its K1s flash with each other."""

    def __init__(self) -> None:
        self._halved = False

    def shows(self, event: BeatEvent, bpm: float, beats_per_bar: int) -> bool:
        """Whether this beat flashes; asked once for each announcement and each correction."""
        self._halved = bpm > (SLOWEST_HALVED_BPM if self._halved else FASTEST_BPM)
        if not self._halved:
            return True
        if event.in_bar == 0:
            return event.number % 2 == 0
        # The last beat of an odd bar would be followed by the downbeat, as fast as what is avoided.
        return event.in_bar % 2 == 1 and event.in_bar < max(beats_per_bar, 2)
