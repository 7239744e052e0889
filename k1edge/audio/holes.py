"""Finds audio that was lost without a word: the monotonic clock went on and the samples did not.

Consumes the arrival of each hop, emits how many hops are missing before it (nearly always 0). ALSA reports an overrun of its
own buffer, but not what a USB bus or a hub loses.

    lag = arrival - hops received * 10 ms

Waiting, scheduling and bursts only ever add to the lag of some hops and the next ones catch up; a hole adds to all that
follow. So the lag's lower envelope, the minimum over SETTLE hops, is compared with what it was before: a hole is a rise of a
whole hop or more that CONFIRMATIONS envelopes in a row agree upon. After a reported overflow one short envelope is enough.
Costs two comparisons per hop.
"""

from __future__ import annotations

from collections import deque

from k1edge.frames import HOP_NS

SETTLE = 50
"""Hops per envelope: in half a second even a busy machine once delivers a hop promptly."""
SETTLE_AFTER_OVERFLOW = 5
CONFIRMATIONS = 3
AGREEMENT_NS = 3_000_000
"""Envelopes of a hole agree within this; those of a machine gasping for time do not."""
UNREST = 4
"""A rise counts only if it is this many times what envelopes have varied by lately (median above minimum)."""
WARM_UP = 4
"""Envelopes after the start, during which sound servers still change their buffering."""
REFERENCE = 20
"""Past envelopes to compare with, 10 s: short enough that a sound card 200 ppm off drifts only 2 ms."""
NEVER_NS = 1 << 62


class HoleFinder:
    """One per stream."""

    def __init__(self) -> None:
        self._hops = 0
        self._began_ns: int | None = None
        self._minimum_ns = NEVER_NS
        self._left = SETTLE
        self._envelopes: deque[int] = deque(maxlen=REFERENCE + CONFIRMATIONS)
        self._overflowed = False
        self._until_warm = WARM_UP

    def skip(self, hops: int) -> None:
        """So many came and were passed over."""
        self._hops += hops

    def observe(self, arrived_ns: int, overflowed: bool) -> int:
        """Hops to skip before this one: 0, or the whole hops that the clock says are missing."""
        if self._began_ns is None:
            self._began_ns = arrived_ns
        if overflowed:
            if self._minimum_ns < NEVER_NS and not self._overflowed:
                self._envelopes.append(self._minimum_ns)
            self._minimum_ns, self._left, self._overflowed = NEVER_NS, SETTLE_AFTER_OVERFLOW, True
        lag_ns = arrived_ns - self._began_ns - self._hops * HOP_NS
        self._hops += 1
        self._minimum_ns = min(self._minimum_ns, lag_ns)
        self._left -= 1
        if self._left:
            return 0
        missing = self._missing()
        self._hops += missing
        return missing

    def _missing(self) -> int:
        """One more envelope is complete: the hops that are missing by it, and by those before it if that is asked."""
        needed = 1 if self._overflowed else CONFIRMATIONS
        self._envelopes.append(self._minimum_ns)
        self._minimum_ns, self._left, self._overflowed = NEVER_NS, SETTLE, False
        if self._until_warm and needed == CONFIRMATIONS:
            self._until_warm -= 1
            if not self._until_warm:
                self._envelopes.clear()
            return 0
        known = list(self._envelopes)
        before, recent = sorted(known[:-needed]), known[-needed:]
        if not before or max(recent) - min(recent) > AGREEMENT_NS:
            return 0
        rise_ns, unrest_ns = min(recent) - before[0], before[len(before) // 2] - before[0]
        missing = rise_ns // HOP_NS
        if missing <= 0 or (needed > 1 and rise_ns < UNREST * unrest_ns):
            return 0
        for back in range(1, needed + 1):
            self._envelopes[-back] -= missing * HOP_NS
        return missing
