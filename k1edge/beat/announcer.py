"""Turns beliefs into numbered announcements: each beat once, ahead of time, corrected rarely, never sent again.

Consumes a predicted beat time and period each hop, emits an `Announcement` when one is to be made. Times are hops, as floats.
The last announced beat is the frontier: whatever the belief does, the next beat lies at least MIN_INTERVAL of a period after
it, and no correction brings it nearer. Announcements are only made MIN_LEAD or more ahead; a beat noticed later is left out,
because light that comes late is worse than light that does not come.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from k1edge.frames import HOPS_PER_S

MIN_LEAD, LEAST_SPAN = 0.100 * HOPS_PER_S, 2.0
"""A beat is announced this early or not at all; with a lead near it, there are still LEAST_SPAN hops to do it in."""
MIN_INTERVAL = 0.60
"""Of a period; a smaller step would be seen as a double flash."""
CORRECT_FROM = 0.030 * HOPS_PER_S
"""A smaller error is not visible; a correction costs a message."""
CORRECT_UNTIL = 0.040 * HOPS_PER_S
"""A correction that comes later than this before the beat cannot reach the light in time."""
CORRECT_WITHIN = 0.25
"""Of a period: a larger move is another beat, not a correction of this one."""
MOST_CORRECTIONS = 2
STEADY_BEATS = 32
"""Over which the steady grid is fitted: 8 bars."""
LEAST_RUN = 3
STEADY_WITHIN = 0.08
"""Of a period: a beat further from the last one's grid begins a new fit."""
LONGEST_BREAK = 8
"""Beats: what comes after more is as often another piece."""


@dataclass(slots=True)
class Announcement:
    """`due` in hops."""

    number: int
    due: float
    missed: int = 0
    """Beats since the one before that nobody was told of, if the grid goes on as it was."""
    corrections: int = 0


class Announcer:
    """The frontier of announced beats."""

    def __init__(self, lead_ms: float) -> None:
        self._lead = lead_ms / 1000 * HOPS_PER_S
        self._least = min(MIN_LEAD, self._lead - LEAST_SPAN)
        self.last: Announcement | None = None
        self._before = -math.inf
        self._run: deque[float] = deque(maxlen=STEADY_BEATS)

    def process(self, now: float, target: float, period: float) -> Announcement | None:
        """`target`: any beat on the believed grid. Returns what is to be announced at this hop, if anything."""
        if self.last is not None and (corrected := self._correct(now, target, period)):
            return corrected
        before = -math.inf if self.last is None else self.last.due
        earliest = max(before + MIN_INTERVAL * period, now)
        due = target + period * -((target - earliest) // period)
        if not self._least <= due - now <= self._lead:
            return None
        number = 1 if self.last is None else self.last.number + 1
        missed = self._missed(due, period)
        if self._run and abs(due - self._run[-1] - period) > STEADY_WITHIN * period:
            self._run.clear()
        self._run.append(due)
        self.last, self._before = Announcement(number, due, missed), before
        return self.last

    def begin_run(self) -> None:
        """The beats so far are on another grid than those to come."""
        self._run.clear()

    def steady(self, least: int = LEAST_RUN) -> tuple[float, float] | None:
        """(time of the last beat, period) of the straight line through the latest regular beats; None of too few."""
        count = len(self._run)
        if count < least:
            return None
        number = np.arange(count) - (count - 1) / 2
        due = np.array(self._run)
        period = float(number @ due / (number @ number))
        return float(due.mean()) + period * (count - 1) / 2, period

    def _missed(self, due: float, period: float) -> int:
        steady = self.steady()
        if steady is None:
            return 0
        exact = (due - self.last.due) / steady[1]
        beats = round(exact)
        goes_on = abs(exact - beats) < CORRECT_WITHIN and beats == round((due - self.last.due) / period)
        return beats - 1 if goes_on and 1 < beats <= LONGEST_BREAK + 1 else 0

    def _correct(self, now: float, target: float, period: float) -> Announcement | None:
        last = self.last
        if last.corrections == MOST_CORRECTIONS or last.due < now + CORRECT_UNTIL:
            return None
        due = target + period * round((last.due - target) / period)
        earliest = max(self._before + MIN_INTERVAL * period, now + CORRECT_UNTIL)
        if not CORRECT_FROM < abs(due - last.due) < CORRECT_WITHIN * period or due < earliest:
            return None
        last.due = due
        if self._run:
            self._run[-1] = due
        last.corrections += 1
        return last
