"""Which of a track's beats a listener would tap: those of the most probable path, or others among their halves.

Consumes evidence and the steps of the path's beats; emits the steps of the beats to tap. As live (`k1edge.beat.levels`),
several rows of beats are heard at once; with the whole track in view each beat is judged by its neighbourhood, REACH_S to
either side.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from k1edge.analysis.path import Tempi
from k1edge.analysis.witnesses import Evidence
from k1edge.beat.bar_pointer import STEPS_PER_S, within
from k1edge.beat.beatwise import BeatwiseNetwork
from k1edge.beat.levels import HYPOTHESES, WEIGHTS, LevelEar, Row
from k1edge.beat.rows import in_a_row

REACH_S = 40.0
MARGIN, VIEW_WEIGHT = 4.0, 1.0
"""By how much the log-odds of another level must be better; what the view of the tempo counts beside the ear."""
FEWEST = 16
"""Beats of which a level can be told."""


def tapped(steps: np.ndarray, evidence: Evidence, tempi: Tempi, views: np.ndarray) -> np.ndarray:
    """(n,) steps of beats -> (m,) of those to tap. `views`: (n, TEMPI) of `tempi` at the beats."""
    if len(steps) < FEWEST:
        return steps
    worth = np.array([_mean_around(_heard(row, steps, evidence), steps)
                      + VIEW_WEIGHT * _viewed(steps, row.faster, tempi, views) for row in HYPOTHESES.values()])  # fmt: skip
    best = worth.argmax(axis=0)
    chosen = np.where(np.isfinite(worth[0]) & (worth.max(axis=0) > worth[0] + MARGIN), best, 0)
    halves = np.arange(2 * len(steps) - 1)
    waits = np.array([row.wait(halves) for row in HYPOTHESES.values()])
    begin = halves[waits[chosen[halves // 2], halves] == 0]
    return np.interp(begin / 2, np.arange(len(steps)), steps).astype(int)


def _viewed(steps: np.ndarray, faster: float, tempi: Tempi, views: np.ndarray) -> np.ndarray:
    """(beats,) the view of so many times the tempo at each beat; -inf where that is out of the range."""
    periods = np.gradient(steps) / faster
    near = np.abs(np.log(periods[:, None] / tempi.periods)).argmin(axis=1)
    inside = within(periods, tempi.periods.min(), tempi.periods.max())
    return np.where(inside, views[np.arange(len(steps)), near], -np.inf)


def _heard(row: Row, steps: np.ndarray, evidence: Evidence) -> np.ndarray:
    """(beats,) what the ear says of the hypothesis at each beat of the path; nan where nothing."""
    at, told = np.arange(len(steps)), np.arange(row.first, 2 * len(steps) - 1, row.halves) / 2
    network = BeatwiseNetwork(WEIGHTS)
    ear, before, said = LevelEar(network), len(evidence.rows), np.full(len(steps), np.nan)
    for n, (first, end) in enumerate(pairwise(evidence.rows_at(np.interp(told, at, steps)))):
        if in_a_row(end - first, end - first, before):
            odds = ear.process(evidence.rows[first:end])
            if odds is not None:
                said[int(told[n]) : int(np.ceil(told[n + 1]))] = odds
        else:
            ear = LevelEar(network)
        before = end - first
    return said


def _mean_around(said: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(beats,) mean of what was said within REACH_S; -inf where nothing was."""
    known = np.isfinite(said)
    sums, counts = (np.append(0.0, np.cumsum(x)) for x in (np.where(known, said, 0.0), known))
    reach = REACH_S * STEPS_PER_S
    first, end = np.searchsorted(steps, steps - reach, "left"), np.searchsorted(steps, steps + reach, "right")
    count = counts[end] - counts[first]
    return np.where(count > 0, (sums[end] - sums[first]) / np.maximum(count, 1), -np.inf)
