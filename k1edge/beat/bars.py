"""Keeps count in the bar: which beat of which metre comes next, changed only after several agreeing votes.

Consumes, once a beat, the posterior's probability of each (metre, position) for the beat that is being announced; emits
`(position, beats per bar)`. Between votes it counts on from the beats of the grid, also those that nobody was told of,
never from elapsed time.
"""

from __future__ import annotations

import numpy as np

MARGIN = 10.0
"""How many times as probable another count must be to get a vote."""
VOTES = 5
"""Beats in a row that must vote for the same count before it is taken."""
FIRST_AT = 0.35
"""Probability at which the first count is taken; below, the bar is unknown."""


class BarCount:
    """The count a listener would see: 1-2-3-4, and never 1-2-2-3."""

    def __init__(self, per_bar: np.ndarray, position: np.ndarray) -> None:
        """`per_bar`, `position`: (B,) of the state space's beats; positions from 0."""
        self._per_bar, self._position = per_bar, position
        same = per_bar[:, None] == per_bar
        self._follows = same & (position == (position[:, None] + 1) % per_bar[:, None])
        self._next = self._follows.argmax(axis=1)
        self.begin()

    def begin(self) -> None:
        """Nothing is known: what was counted were other beats."""
        self._now: int | None = None
        self._rival: int | None = None
        self._votes = 0

    def next(self, last_passed: np.ndarray, beats_on: int) -> None:
        """A beat is announced, `beats_on` after the one whose (B,) probabilities are `last_passed`."""
        believed = last_passed
        for _ in range(beats_on):
            believed = believed @ self._follows
        best = int(believed.argmax())
        if self._now is not None:
            self.count_on(1)
            self._vote(believed, best)
        elif believed[best] >= FIRST_AT * believed.sum() > 0:
            self._now = best

    def count_on(self, beats: int) -> None:
        """So many more beats, announced or not, and nothing is known but that."""
        if self._now is not None:
            for _ in range(beats % int(self._per_bar[self._now])):
                self._now = int(self._next[self._now])

    def seat(self, beats_on: int) -> None:
        """The beat `beats_on` before the last announced one is a downbeat: a person said so."""
        metre = 4 if self._now is None else int(self._per_bar[self._now])
        place = beats_on % metre
        self._take(int(np.flatnonzero((self._per_bar == metre) & (self._position == place))[0]))

    @property
    def shown(self) -> tuple[int, int]:
        """The count of the beat last announced."""
        if self._now is None:
            return 0, 0
        return int(self._position[self._now]) + 1, int(self._per_bar[self._now])

    def _take(self, state: int) -> None:
        self._now, self._rival, self._votes = state, None, 0

    def _vote(self, believed: np.ndarray, best: int) -> None:
        if best == self._now or believed[best] < MARGIN * believed[self._now]:
            self._rival, self._votes = None, 0
            return
        same = self._rival is not None and best == self._next[self._rival]
        self._rival, self._votes = best, self._votes + 1 if same else 1
        if self._votes >= VOTES:
            self._take(best)

