"""Reads one answer out of the posterior: which tempo, when the next beat is due, where in the bar, how sure.

Consumes `BarPointer`, emits `Belief` for a hop. The posterior holds many metrical levels at once; the answer follows one
of them and changes only when another is clearly more probable (hysteresis), so that light does not flap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from k1edge.beat.bar_pointer import BEAT_AGE, TEMPI, BarPointer
from k1edge.frames import HOPS_PER_S

NEIGHBOURS = 4
"""Tempi on either side that count as the same: +-9 %."""
LEVEL_MARGIN = 2.5
"""Another tempo must be this many times as probable before it is followed."""
PHASE_MARGIN = 2.5
WITHIN = 5
"""Hops round a peak that belong to the same predicted beat (half of 70 ms and the tracker's own jitter)."""


@dataclass(frozen=True, slots=True)
class Belief:
    """In hops from now, s and probabilities."""

    tempo_bpm: float
    period: float
    due: float
    """Hops from now to the next beat of the followed level; may be slightly negative at the beat itself."""
    mass: float
    """Probability of a beat of this level within +-WITHIN hops of `due`."""
    none: float


class Reader:
    """Follows one metrical level and phase of a `BarPointer`."""

    def __init__(self, pointer: BarPointer) -> None:
        self._pointer = pointer
        self._window = np.ones(2 * NEIGHBOURS + 1)
        after = pointer.ages[:, None] - BEAT_AGE
        left = np.where(after < 0, -after, pointer.periods - after)
        self._left = np.clip(np.round(left).astype(np.intp), 0, None)
        self._exact = left
        self._bins = int(self._left.max()) + 1
        self._tempo = None

    def follow(self, tempo: int | None) -> None:
        """Follow the level nearest this tempo index from now on; None: whichever is most probable."""
        self._tempo = tempo

    def read(self, expected: float | None) -> Belief | None:
        """`expected`: hops to the next beat on the present grid, if there is one. None when all mass is on "no beat"."""
        pointer = self._pointer
        tempi = pointer.tempo_masses()
        total = float(tempi.sum())
        if total < 1e-6:
            return None
        near = self._level(tempi)
        masses = pointer.recent()[:, near]
        left = np.bincount(self._left[:, near].ravel(), masses.ravel(), minlength=self._bins)
        centre = self._peak(left, expected)
        inside = np.abs(self._exact[:, near] - centre) <= WITHIN
        weights = masses * inside
        mass = float(weights.sum())
        period = float(np.exp((tempi[near] @ np.log(pointer.periods[near])) / tempi[near].sum()))
        due = float((weights * self._exact[:, near]).sum()) / mass if mass else centre
        return Belief(60 * HOPS_PER_S / period, period, due, mass * pointer.scale, pointer.none)

    def _level(self, tempi: np.ndarray) -> slice:
        clustered = np.convolve(tempi, self._window, "same")
        best = int(clustered.argmax())
        held = self._tempo
        if held is not None:
            lo, hi = max(held - 2, 0), min(held + 3, TEMPI)
            held = lo + int(tempi[lo:hi].argmax())
            if clustered[best] < LEVEL_MARGIN * clustered[held]:
                best = held
        self._tempo = best
        return slice(max(best - NEIGHBOURS, 0), min(best + NEIGHBOURS + 1, TEMPI))

    def _peak(self, left: np.ndarray, expected: float | None) -> float:
        smooth = np.convolve(left, np.ones(7), "same")
        best = int(smooth.argmax())
        if expected is not None:
            held = min(max(round(expected), 0), self._bins - 1)
            lo = max(held - WITHIN, 0)
            local = lo + int(smooth[lo : held + WITHIN + 1].argmax())
            if smooth[best] < PHASE_MARGIN * smooth[local]:
                best = local
        return float(best)
