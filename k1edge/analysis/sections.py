"""The sections of a song: the most probable path through the live engine's own model of form, with all of the song in view.

Consumes the rows of the beats, emits sections in beats. The live filter (`genesis.sections`) adds up all that may have happened
so far; here one path over (label, age) is chosen for the whole song (Viterbi, IEEE T-IT 1967), so that a section is named by
all of itself and by what follows. Cost: 100 us a beat.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from k1edge.genesis.evidence import BAR
from k1edge.genesis.sections import LABELS, MAX_AGE, N_LABELS, STAGES, SectionFilter, stage_of

NEVER, EPSILON = -1e30, 1e-12
SUREST = 0.98
"""The highest confidence: the rest is for music of a kind that the model was never taught."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Beats `first` to before `last`."""

    first: int
    last: int
    label: str
    confidence: float


def decode(rows: np.ndarray, heard: np.ndarray, is_down: np.ndarray) -> list[Stretch]:
    """(beats, N_ROW) rows, (beats,) whether there is one, (beats,) downbeats -> the sections of all beats, in order."""
    model, stages = SectionFilter(), stage_of(np.arange(MAX_AGE))
    says = np.zeros((len(rows), len(STAGES), N_LABELS))
    for n in np.flatnonzero(heard):
        says[n] = np.log(model.likelihood(rows[n]) + EPSILON)
    score = np.where(model.belief > 0, np.log(np.maximum(model.belief, EPSILON)), NEVER)
    begun = np.zeros((N_LABELS, MAX_AGE), int)
    came = np.zeros((len(rows), N_LABELS, 2), int)
    for n in range(len(rows)):
        if n:
            score, begun, came[n] = _step(model, score, begun, (n, bool(is_down[n])))
        score += says[n, stages].T
    return _traced(model, says, came, (score, begun))


def _step(model: SectionFilter, score: np.ndarray, begun: np.ndarray, beat: tuple[int, bool]):
    """All paths one beat on: their scores, where their sections began, and whence each new one came: (label, its beginning)."""
    number, is_down = beat
    hazard, every = model.hazards[is_down], np.arange(N_LABELS)
    ending = score + np.log(hazard + EPSILON)
    age = ending.argmax(axis=1)
    entered = ending[every, age][:, None] + np.log(model.follows + EPSILON)
    origin = entered.argmax(axis=0)
    staying = score + np.log1p(-np.minimum(hazard, 1 - EPSILON))
    longest = np.where(staying[:, -1] > staying[:, -2], MAX_AGE - 1, MAX_AGE - 2)
    moved = np.column_stack([entered[origin, every], staying[:, :-2], staying[every, longest]])
    began = np.column_stack([np.full(N_LABELS, number), begun[:, :-2], begun[every, longest]])
    return moved, began, np.column_stack([origin, begun[origin, age[origin]]])


def _traced(model: SectionFilter, says: np.ndarray, came: np.ndarray, last: tuple[np.ndarray, np.ndarray]) -> list[Stretch]:
    score, begun = last
    label, age = np.unravel_index(score.argmax(), score.shape)
    first, end, path = int(begun[label, age]), len(says), []
    while True:
        path.append((first, end, int(label)))
        if not first:
            break
        end = first
        label, first = came[first, label].tolist()
    path.reverse()
    before = [None, *(label for _, _, label in path)]
    return [
        Stretch(first, end, LABELS[label], _confidence(model, says[first:end], label, previous))
        for (first, end, label), previous in zip(path, before, strict=False)
    ]


def _confidence(model: SectionFilter, says: np.ndarray, label: int, before: int | None) -> float:
    """How much better this name fits the stretch than the others do; a bar counts as one witness, its beats hear the same.

    On the arrangements of seeds 50-57 it is right as often as it says (0.86 said, 0.88 right).
    """
    fits = says[np.arange(len(says)), stage_of(np.arange(len(says)))].sum(axis=0)
    if before is not None:
        fits = fits + np.log(model.follows[before] + EPSILON)
    shares = np.exp((fits - fits.max()) / max(len(says) / BAR, 1.0))
    return min(float(shares[label] / shares.sum()), SUREST)
