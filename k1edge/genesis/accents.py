"""Whether the accents that are heard are like those of a map, on its beats and half way between.

Beats alone do not tell a map that is half a beat out, the sound does. Consumes the novelty of each hop with its place in the
song, where the map is believed to have its beats. Cost: 4 us a hop.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import sqrt

import numpy as np

from k1edge.frames import StreamFormat
from k1edge.genesis.course import Course
from k1edge.genesis.score import NEAR, NO_ACCENT, Accent

LATENCY_HOPS = 3
"""From an attack to the peak of its novelty: the window must have filled."""
BEATS = 16


class Accents:
    """Of one map, where it is believed to lie in a stream."""

    def __init__(self, course: Course, fmt: StreamFormat) -> None:
        self._course, self._latency = course, LATENCY_HOPS * fmt.hop
        self._beat = -1
        self._on, self._off = NO_ACCENT, NO_ACCENT
        """The highest novelty of lows and highs on this beat, and half way to the next."""
        self._compared: deque[tuple[float, float, float]] = deque(maxlen=BEATS)
        """Products of what is heard and what is stored, and their squares."""

    def hear(self, novelty: np.ndarray, at: int) -> None:
        """The novelty of a hop that ends at this sample of the song."""
        at -= self._latency
        before, period = self._course.interval(at)
        phase = (at - self._course.dues[before]) / period
        beat = before + (phase > 1 - NEAR)
        if beat != self._beat:
            self._compare()
            self._beat, self._on, self._off = beat, NO_ACCENT, NO_ACCENT
        if abs(phase - 0.5) <= NEAR:
            self._off = _higher(self._off, novelty)
        elif abs(phase - round(phase)) <= NEAR:
            self._on = _higher(self._on, novelty)

    @property
    def likeness(self) -> float:
        """-1..1 over the last BEATS; 0 before them, and where nothing is heard or known."""
        if len(self._compared) < BEATS:
            return 0.0
        both, heard, stored = map(sum, zip(*self._compared, strict=True))
        return both / sqrt(heard * stored) if heard * stored > 0 else 0.0

    def _compare(self) -> None:
        if not 0 <= self._beat < len(self._course.accents):
            return
        stored = self._course.accents[self._beat]
        heard = [on - off for on, off in zip(self._on, self._off, strict=True)]
        self._compared.append((_product(heard, stored), _product(heard, heard), _product(stored, stored)))


def _higher(peaks: Sequence[float], novelty: np.ndarray) -> Accent:
    return max(peaks[0], float(novelty[0])), max(peaks[1], float(novelty[-1]))


def _product(a: Sequence[float], b: Sequence[float]) -> float:
    return a[0] * b[0] + a[1] * b[1]
