"""Keeps count in the bar: which beat of which metre comes next, changed only after several agreeing votes.

Consumes, once a beat, the posterior's probability of each (metre, position) for the beat that is being announced; emits
`(position, beats per bar)`. Between votes it counts on from the beats that were announced, never from elapsed time.
"""

from __future__ import annotations

import numpy as np

MARGIN = 1.5
"""How many times as probable another count must be to get a vote."""
VOTES = 3
"""Beats in a row that must vote for the same count before it is taken."""
FIRST_AT = 0.35
"""Probability at which the first count is taken; below, the bar is unknown."""


class BarCount:
    """The count a listener would see: 1-2-3-4, and never 1-2-2-3."""

    def __init__(self, per_bar: np.ndarray, position: np.ndarray) -> None:
        """`per_bar`, `position`: (B,) of the state space's beats; positions from 0."""
        self._per_bar, self._position = per_bar, position
        same = per_bar[:, None] == per_bar
        self.following = same & (position == (position[:, None] + 1) % per_bar[:, None])
        self._following = self.following.argmax(axis=1)
        self._now: int | None = None
        self._rival: int | None = None
        self._votes = 0

    def next(self, believed: np.ndarray) -> tuple[int, int]:
        """`believed`: (B,) probabilities of the beat now announced. Returns (1-based position, beats per bar) or (0, 0)."""
        best = int(believed.argmax())
        if self._now is None:
            if believed[best] >= FIRST_AT * believed.sum() > 0:
                self._now = best
        else:
            self._now = int(self._following[self._now])
            self._vote(believed, best)
        return self.shown

    @property
    def shown(self) -> tuple[int, int]:
        """The count of the beat last announced."""
        if self._now is None:
            return 0, 0
        return int(self._position[self._now]) + 1, int(self._per_bar[self._now])

    def set(self, state: int) -> None:
        """The beat last announced is this one: a person said so."""
        self._now, self._rival, self._votes = state, None, 0

    def _vote(self, believed: np.ndarray, best: int) -> None:
        if best == self._now or believed[best] < MARGIN * believed[self._now]:
            self._rival, self._votes = None, 0
            return
        same = self._rival is not None and best == self._following[self._rival]
        self._rival, self._votes = best, self._votes + 1 if same else 1
        if self._votes >= VOTES:
            self.set(best)

