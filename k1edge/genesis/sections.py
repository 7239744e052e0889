"""One belief over what part of the form is playing and for how long: a semi-Markov filter at beat rate.

Consumes the rows of `evidence.py` with each beat's place in the bar, emits the belief after each. A state is a label and
an age in beats. Per beat:

    predict   an age grows by one, or the section ends with a hazard that knows phrases: sections end after whole bars
              counted from their own first beat (so a tracker that is half a bar out does no harm), most of all after
              4, 8 and 16; what follows what is a table of probabilities
    update    a softmax over (stage, label), straight from the row and through a layer of rectified units, with stage =
              first beat, rest of the first bar, later; its probability over the class's share in training is the
              likelihood (hybrid HMM: Bourlard & Morgan 1994), tempered per stage, because neighbouring beats hear much
              the same

The first beat and the first bar have classes of their own, so one model weighs what a section is like against the
evidence that it has just begun. Weights are fitted by `scripts/train/sections.py` and travel with the package.

Cost: 31 us a beat.
"""

from __future__ import annotations

from importlib import resources

import numpy as np

from k1edge.genesis.evidence import BAR

LABELS = ("intro", "verse", "chorus", "build", "drop", "breakdown", "bridge", "outro")
N_LABELS = len(LABELS)
BUILD, DROP = LABELS.index("build"), LABELS.index("drop")
STAGES = ("first", "bar", "later")
MAX_BARS = 48
MAX_AGE = MAX_BARS * BAR
"""Beats; older than that a section is just old."""
HAZARD_WITHIN = 0.01
"""That a section ends within a bar of its own: for bar lines that nobody has found."""
HAZARD_RETURN = 0.25
"""That one ends where the bass returns: as after 8 bars."""
OFF_BAR = 0.3
"""Share of that hazard where the section's own bar line is none of the tracker's."""
TEMPERS = np.array([1.3, 0.5, 0.2])
"""Per stage: a first beat is heard once, the rest of a section again and again, which must not count as so much news."""
STARTS = {"intro": 0.5, "verse": 0.2}
"""What a stream begins with; the other labels share the rest."""


def stage_of(age: np.ndarray) -> np.ndarray:
    """0, 1, 2 for ages in beats."""
    return np.where(age == 0, 0, np.where(age < BAR, 1, 2))


def hazards(ends: np.ndarray, downbeat: bool) -> np.ndarray:
    """(N_LABELS, MAX_AGE) hazard at the coming beat, from (N_LABELS, MAX_BARS + 1) hazards after whole bars."""
    after = np.arange(1, MAX_AGE + 1)
    hazard = np.full((N_LABELS, MAX_AGE), HAZARD_WITHIN)
    whole = after % BAR == 0
    hazard[:, whole] = ends[:, after[whole] // BAR] * (1.0 if downbeat else OFF_BAR)
    hazard[:, : BAR - 1] = 1e-6
    return hazard


class SectionFilter:
    """Rows in, belief out; one per stream."""

    def __init__(self, weights: dict[str, np.ndarray] | None = None) -> None:
        weights = weights or packaged("sections.npz")
        self._matrix, self._bias, self._shares = weights["matrix"], weights["bias"], weights["shares"]
        self._hidden, self._hidden_bias, self._out = weights["hidden"], weights["hidden_bias"], weights["out"]
        self.follows, self._ends = weights["follows"], weights["ends"]
        self.hazards = {downbeat: hazards(self._ends, downbeat) for downbeat in (False, True)}
        """(N_LABELS, MAX_AGE) that a section ends at the coming beat, by whether it is a downbeat."""
        self._stage = stage_of(np.arange(MAX_AGE))
        self.belief = np.empty((N_LABELS, MAX_AGE))
        """(N_LABELS, MAX_AGE) probability of each label and age; adds up to 1."""
        self.restart()

    def restart(self) -> None:
        """Something new begins, after silence or speech."""
        rest = (1 - sum(STARTS.values())) / (N_LABELS - len(STARTS))
        self.belief[:] = 0.0
        self.belief[:, 0] = [STARTS.get(label, rest) for label in LABELS]

    def step(self, row: np.ndarray, downbeat: bool) -> np.ndarray:
        """The belief after one more beat."""
        belief = self.belief
        ending = belief * self.hazards[downbeat]
        belief -= ending
        oldest = belief[:, -1].copy()
        belief[:, 1:] = belief[:, :-1]
        belief[:, -1] += oldest
        belief[:, 0] = ending.sum(axis=1) @ self.follows
        belief *= self.likelihood(row)[self._stage].T
        belief /= belief.sum()
        return belief

    def glance(self, row: np.ndarray) -> np.ndarray:
        """The belief if a section might have ended just now, between two beats or on one; it is not taken over."""
        ending = self.belief * HAZARD_RETURN
        belief = self.belief - ending
        belief[:, 0] += ending.sum(axis=1) @ self.follows
        belief *= self.likelihood(row)[self._stage].T
        belief /= belief.sum()
        return belief

    def likelihood(self, row: np.ndarray) -> np.ndarray:
        """(stages, N_LABELS) how much likelier the row is there than anywhere, tempered."""
        hidden = self._hidden @ row + self._hidden_bias
        score = self._matrix @ row + self._out @ np.maximum(hidden, 0.0) + self._bias
        top = score.max()
        score -= np.log(np.exp(score - top) @ self._shares) + top
        return np.exp(score.reshape(len(STAGES), N_LABELS) * TEMPERS[:, None])

    def bars_left(self, label: int, age: int) -> tuple[int, float]:
        """(bars of BAR beats, probability): where a section of this label and age most likely ends, and how likely there."""
        done = age // BAR
        ends = self._ends[label, done + 1 :]
        if not len(ends):
            return 0, 0.0
        there = ends * np.cumprod(np.concatenate([[1.0], 1 - ends[:-1]]))
        best = int(np.argmax(there))
        return best + 1, float(there[best])


def packaged(name: str) -> dict[str, np.ndarray]:
    """The arrays of a weights file of this package."""
    with resources.files("k1edge.genesis").joinpath(name).open("rb") as file:
        return dict(np.load(file))
