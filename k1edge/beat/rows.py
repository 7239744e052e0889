"""What every hop said, kept until the beat it belongs to is over.

Consumes bands and the network's word, 100 a second, and the announced beats; emits each beat as it begins, and rows of hops
between two of them, as `sounds` reads them.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

import numpy as np

from k1edge.beat.sounds import N_COLUMNS, PARTS, START_HOPS
from k1edge.dsp.features import N_BANDS
from k1edge.frames import HOPS_PER_S

LONGEST_GAP = 1.5
"""Of a period: what lies further apart are not two beats in a row."""
KEPT = 4 * HOPS_PER_S
"""Hops: longer than any beat, and than two that might be one."""


def in_a_row(hops: int, gap: float, period: float) -> bool:
    """Two beats `gap` apart, with so many hops between, follow each other."""
    return PARTS <= hops < KEPT and gap <= LONGEST_GAP * period


class Begun(NamedTuple):
    """A beat has begun, and the one before it is over."""

    number: int
    first: int
    """The row with which the one before began; -1: this one does not follow it."""
    end: int
    """The row with which this one begins."""


class BeatRows:
    """Of one stream; beats are known by their numbers. Times in hops."""

    def __init__(self) -> None:
        # Each row is written twice, KEPT apart, so that any beat lies in one piece.
        self._rows, self._row = np.zeros((2, KEPT, N_COLUMNS), np.float32), 0
        self._new = np.zeros(N_COLUMNS, np.float32)
        self._waiting: deque[tuple[int, float, float]] = deque()
        self._last = -KEPT, 0.0
        """Of the beat that sounds: which row it begins with, and when it was due."""

    def hear(self, now: float, bands: np.ndarray, said: tuple[float, float]) -> Begun | None:
        """Every hop, at its end `now`: its bands, what the network says of a beat and a downbeat -> the beat that has begun."""
        begun = None
        if self._waiting and self._waiting[0][1] + START_HOPS <= now - 0.5:
            number, due, period = self._waiting.popleft()
            (first, before), self._last = self._last, (self._row, due)
            follows = in_a_row(self._row - first, due - before, period)
            begun = Begun(number, first if follows else -1, self._row)
        new = self._new
        new[:N_BANDS] = bands
        new[N_BANDS], new[N_BANDS + 1] = said
        self._rows[:, self._row % KEPT] = new
        self._row += 1
        return begun

    def expect(self, number: int, due: float, period: float) -> None:
        """A beat is announced, or corrected."""
        if self._waiting and self._waiting[-1][0] == number:
            self._waiting.pop()
        self._waiting.append((number, due, period))

    def between(self, first: int, end: int) -> np.ndarray:
        """(end - first, N_COLUMNS) the rows of a beat; a view, and only of the last KEPT."""
        first, hops = first % KEPT, end - first
        return self._rows.reshape(-1, N_COLUMNS)[first : first + hops]
