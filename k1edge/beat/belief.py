"""Reads one answer out of the posterior: which tempo, when the next beat is due, where in the bar, how sure.

Consumes `BarPointer`, emits `Belief`. The posterior holds many metrical levels at once; the answer follows one of them and
changes only when another is clearly more probable (hysteresis), so that light does not flap. Times are steps from now.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from k1edge.beat.bar_pointer import BEAT_AGE, STEPS_PER_S, TEMPI, BarPointer

NEIGHBOURS = 4
"""Tempi on either side that count as the same: +-9 %."""
LEVEL_MARGIN = 6.0
"""Another tempo must be this many times as probable before it is followed."""
PHASE_MARGIN, FAR, MOST_NEWS = 2.0, 0.2, 5.0
"""The same for where the beats are: at once for a place near the one that is held, and for one further off than FAR of a
period by the log-ratio's mean over a beat. Where every second pulse is followed, each speaks for its own phase when it sounds:
who went with the last one would always wait for the other, and announce neither."""
WITHIN = 2.5
"""Steps round a peak that belong to the same predicted beat: +-50 ms."""
SMOOTHING = np.ones(3)
ALTERNATIVES = 3


@dataclass(frozen=True, slots=True)
class Belief:
    """Of the followed level; probabilities, and times in steps."""

    period: float
    due: float
    """To the next beat."""
    mass: float
    """Probability that a beat of this level comes within WITHIN of `due`."""
    none: float

    @property
    def tempo_bpm(self) -> float:
        return 60 * STEPS_PER_S / self.period


class Reader:
    """Follows one metrical level and phase of a `BarPointer`."""

    def __init__(self, pointer: BarPointer) -> None:
        self._pointer = pointer
        after = pointer.ages[:, None] - BEAT_AGE
        self._left = np.where(after < 0, -after, np.maximum(pointer.periods - after, 0.0))
        self._bin = np.round(self._left).astype(np.intp)
        self._bins = int(self._bin.max()) + 1
        self._log_periods = np.log(pointer.periods)
        self._cluster = np.ones(2 * NEIGHBOURS + 1)
        self._tempo: int | None = None
        self._tempi = np.zeros(TEMPI)
        self._near, self._inside = slice(0), np.empty(0)
        self._places = np.arange(self._bins)
        self._rival, self._read_at = 0.0, 0
        """How much more probable a phase far from the held one is, as a log-ratio, and the step of the last reading."""

    def follow(self, period: float) -> None:
        """Follow the level of this period, in steps, from now on."""
        self._tempo = int(np.abs(self._log_periods - np.log(period)).argmin())

    def read(self, expected: float | None) -> Belief | None:
        """`expected`: time to the next beat as it was read last, if it is to be held. None when all mass is on "no beat"."""
        pointer = self._pointer
        self._tempi = tempi = pointer.tempo_masses()
        if pointer.none > 1 - 1e-6:
            return None
        self._near, goes_on = self._level(tempi)
        near = self._near
        masses, left = pointer.recent()[:, near], self._left[:, near]
        smooth = np.convolve(np.bincount(self._bin[:, near].ravel(), masses.ravel(), self._bins), SMOOTHING, "same")
        if expected is None or not goes_on:  # the beats of another level are none of this one's
            self._rival, self._read_at, centre = 0.0, pointer.steps, float(smooth.argmax())
        else:
            centre = self._peak(smooth, expected, pointer.periods[self._tempo])
        # A beat that some states have just passed and others have not yet is one beat.
        off = left - centre
        off -= pointer.periods[near] * np.round(off / pointer.periods[near])
        self._inside = np.abs(off) <= WITHIN
        weights = masses * self._inside
        mass = float(weights.sum())
        period = float(np.exp(tempi[near] @ self._log_periods[near] / tempi[near].sum()))
        due = centre + float(np.vdot(weights, off)) / mass if mass else centre
        return Belief(period, due, mass * pointer.scale, pointer.none)

    def beats(self) -> np.ndarray:
        """(B,) how probable each beat of each metre is to be the one last passed, at the phase last read."""
        return self._pointer.beats(self._near, self._inside.astype(np.float32))

    def alternatives(self) -> tuple[tuple[float, float], ...]:
        """(bpm, probability) of other levels, most probable first, as of the last reading."""
        left, found = self._tempi.copy(), []
        left[self._near] = 0.0
        for _ in range(ALTERNATIVES):
            best = int(left.argmax())
            near = slice(max(best - NEIGHBOURS, 0), best + NEIGHBOURS + 1)
            probability = float(left[near].sum())
            if probability < 0.02:
                break
            found.append((float(self._pointer.tempi_bpm[best]), probability))
            left[near] = 0.0
        return tuple(sorted(found, key=lambda other: -other[1]))

    def _level(self, tempi: np.ndarray) -> tuple[slice, bool]:
        """Of the tempi that are followed, and whether they are those of the last reading."""
        clustered = np.convolve(tempi, self._cluster, "same")
        best, held = int(clustered.argmax()), self._tempo
        if held is not None:
            low = max(held - 2, 0)
            held = low + int(tempi[low : held + 3].argmax())
            if clustered[best] < LEVEL_MARGIN * clustered[held]:
                best = held
        self._tempo = best
        goes_on = held is not None and abs(best - held) <= NEIGHBOURS
        return slice(max(best - NEIGHBOURS, 0), min(best + NEIGHBOURS + 1, TEMPI)), goes_on

    def _peak(self, smooth: np.ndarray, expected: float, period: float) -> float:
        held = min(max(round(expected), 0), self._bins - 1)
        low, best = max(held - 2, 0), int(smooth.argmax())
        held = low + int(smooth[low : held + 3].argmax())
        off = (self._places - held) / period
        far = np.abs(off - np.rint(off)) > FAR
        news = math.log((smooth[far].max(initial=0.0) + 1e-30) / (smooth[held] + 1e-30))
        steps, self._read_at = self._pointer.steps - self._read_at, self._pointer.steps
        self._rival += (min(max(news, -MOST_NEWS), MOST_NEWS) - self._rival) * min(steps / period, 1.0)
        if not far[best]:
            return float(best if smooth[best] >= PHASE_MARGIN * smooth[held] else held)
        if self._rival < math.log(PHASE_MARGIN):
            return float(held)
        self._rival = -self._rival
        return float(best)
