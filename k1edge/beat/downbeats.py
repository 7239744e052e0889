"""Hears, beat by beat, where in the bar each of them is.

Consumes beats that are over (`rows`); emits an opinion: log-weights of the beats of every metre. Each beat is described
(`sounds`) and heard by a small recurrent network, one step a beat (after Krebs, Boeck, Dorfer & Widmer, ISMIR 2016), which says
which of the places in bars of 2, 3, 4 and 5 the beat LAG before was.

What the network says it has concluded from all beats so far, so an opinion replaces the one before and is never added to it:
it is one witness, the state space the other, and the count believes their product. The network was trained on beats with the
errors of a tracker, from any beat of a bar on (scripts/train/bars.py, MODEL_CARD.md): what it says of the place it has heard,
not counted from the beginning. Cost: 70 us a beat, where nothing else uses the caches.
"""

from __future__ import annotations

import numpy as np

from k1edge.beat.bar_pointer import metre_table
from k1edge.beat.beatwise import BeatwiseNetwork
from k1edge.beat.rows import BeatRows, Begun
from k1edge.beat.sounds import BeatSounds

WEIGHTS = "downbeats.npz"
LAG = 1
"""Beats: what follows a downbeat says that it was one."""
WEIGHT = 1.4
"""Of the network's word in the product; 1 would be that of a witness who is as sure as he should be."""
FLOOR = 0.01
"""No place is less probable than this."""
HUSHED_BEATS = 128
"""For so long a person who has said where the bar begins is not argued with about that; he has said nothing of the metre."""

PER_BAR, POSITION, USUAL = metre_table()
FIRST = np.array([np.argmax(per_bar == PER_BAR) for per_bar in PER_BAR])
"""(B,) the first beat of the metre of each."""
FIRSTS, METRE = np.unique(FIRST, return_inverse=True)
"""(metres,) the first beat of each, and (B,) which of them each belongs to."""


class BarEar:
    """Hears beats in a row."""

    def __init__(self) -> None:
        self._sounds, self._network = BeatSounds(), BeatwiseNetwork(WEIGHTS)
        self.begin()

    def begin(self) -> None:
        """What comes does not follow what was."""
        self._sounds.begin()
        self._state = self._network.silence()
        self._beats = 0

    def process(self, rows: np.ndarray) -> np.ndarray | None:
        """(hops, N_COLUMNS) of the next beat, now that it is over -> (B,) log-weights of what the beat LAG before it was."""
        said = self._network.process(self._sounds.process(rows), self._state)
        self._beats += 1
        if self._beats <= LAG:
            return None
        odds = np.exp(said - said.max())
        return np.log((odds / odds.sum() + FLOOR) / (USUAL + FLOOR))


class Downbeats:
    """Of one stream; beats are known by their numbers."""

    def __init__(self) -> None:
        self._ear = BarEar()
        self.begin()

    def begin(self) -> None:
        """What comes does not follow what was."""
        self._ear.begin()
        self._said: tuple[int, np.ndarray] | None = None
        """What the ear said last, and of which beat."""
        self._hushed_until = 0

    def hear(self, begun: Begun, rows: BeatRows) -> None:
        """A beat begins, and the one before it is over."""
        if begun.first < 0:
            self.begin()
            return
        weights = self._ear.process(rows.between(begun.first, begun.end))
        self._said = None if weights is None else (begun.number - 1 - LAG, weights)

    def opinion(self, number: int) -> np.ndarray | None:
        """(B,) log-weights of what the beat of this number is in its bar, if anything is known."""
        if self._said is None:
            return None
        heard, weights = self._said
        if number < self._hushed_until:
            return WEIGHT * np.maximum.reduceat(weights, FIRSTS)[METRE]
        return WEIGHT * weights[FIRST + (POSITION - (number - heard)) % PER_BAR]

    def hush(self, number: int) -> None:
        """From the beat of this number on all places of a metre are alike, for HUSHED_BEATS or until beats begin anew."""
        self._hushed_until = number + HUSHED_BEATS
