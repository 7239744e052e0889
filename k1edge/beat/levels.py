"""Hears whether beats are at the level that a listener would tap.

Consumes beats that are over (`rows`); emits a verdict: that they are, or that listeners would tap twice as fast, or every
second of them, and which. A tracker cannot tell by onsets, of which all levels have their share, and what a network of frames
says of the tempo is a habit of the style. How the sounds of beats follow each other tells more: on the right beats a kick and a
snare take turns, at half of them all sound alike, and at twice as many every second is empty.

So the same music is heard by several rows of beats at once, HYPOTHESES: those that are announced, those and the places half way
between, and the even and the odd of them alone. For each of them a small recurrent network, one step a beat, says how
probable it is that these are the beats (scripts/train/levels.py, MODEL_CARD.md): it was trained on true beats, and on beats
that are too many, too few, between, or somewhere. A level is left only for one that has sounded better for a while by MARGIN
nats a beat, with what the network of frames says of the tempo. A person who has said which level it is is not argued with.

Cost: 80 us for each beat of each hypothesis, where nothing else uses the caches.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

import numpy as np

from k1edge.beat.beatwise import BeatwiseNetwork
from k1edge.beat.rows import BeatRows, Begun
from k1edge.beat.sounds import N_INPUTS, PARTS, BeatSounds
from k1edge.frames import HOPS_PER_S

WEIGHTS = "levels.npz"
N_LEVEL_INPUTS = N_INPUTS + 1
RIGHT = 0
"""Of the network's classes; the others say in which way beats are wrong, and nobody asks."""
AS_THEY_ARE = "as they are"
HYPOTHESES = {AS_THEY_ARE: 1.0, "twice": 2.0, "even": 0.5, "odd": 0.5}
"""By how much each is faster than the beats that are announced."""
TEMPO_BEATS, USUAL_BPM, TEMPO_SCALE = 5, 110.0, 1.5
UNSURE_BEATS = 6
"""From so few nothing is concluded."""
LEAST_LOG = -5.0
"""One beat never decides."""
MEMORY_S, LEAST_S = 12.0, 8.0
"""Verdicts are means of so long, and of at least so long."""
MARGIN, VIEW_WEIGHT = 1.5, 1.0
SAME_LENGTH, STRANGE_BEATS = 1.3, 3
"""Ratio of the lengths of two beats of one level, and after how many of another length in a row it is another level."""


class LevelSounds:
    """What `BeatSounds` says, and how fast beats are: the median of the last TEMPO_BEATS."""

    def __init__(self) -> None:
        self._sounds = BeatSounds()
        self._lengths: deque[int] = deque(maxlen=TEMPO_BEATS)

    @property
    def bpm(self) -> float:
        """Of what was heard last; at least one beat must have been."""
        return 60 * HOPS_PER_S / sorted(self._lengths)[len(self._lengths) // 2]

    def process(self, rows: np.ndarray) -> np.ndarray:
        """(hops, N_COLUMNS) of a beat -> (N_LEVEL_INPUTS,)."""
        self._lengths.append(len(rows))
        return np.append(self._sounds.process(rows), np.float32(TEMPO_SCALE * math.log2(self.bpm / USUAL_BPM)))


class LevelEar:
    """Hears the beats of one hypothesis."""

    def __init__(self, network: BeatwiseNetwork) -> None:
        self._network, self._state = network, network.silence()
        self.sounds, self.beats = LevelSounds(), 0

    def process(self, rows: np.ndarray) -> float | None:
        """(hops, N_COLUMNS) of the next beat, now that it is over -> log-probability that these are the beats, if known."""
        said = self._network.process(self.sounds.process(rows), self._state)
        self.beats += 1
        if self.beats <= UNSURE_BEATS:
            return None
        said = said - said.max()
        return max(float(said[RIGHT]) - math.log(float(np.exp(said).sum())), LEAST_LOG)


class Hypothesis:
    """One row of beats, and how well it has sounded."""

    def __init__(self, network: BeatwiseNetwork) -> None:
        self.ear = LevelEar(network)
        self.score = self.seconds = 0.0
        """Mean logarithm of its probability, and of how long that is the mean."""

    def hear(self, rows: np.ndarray) -> None:
        """A beat of it is over."""
        said = self.ear.process(rows)
        if said is not None:
            length_s = len(rows) / HOPS_PER_S
            self.seconds += length_s
            self.score += (said - self.score) * length_s / min(self.seconds, MEMORY_S)


class Levels:
    """Of one stream; beats are known by their numbers."""

    def __init__(self, tempo_min_bpm: float, tempo_max_bpm: float) -> None:
        self._range_bpm = tempo_min_bpm * 0.97, tempo_max_bpm * 1.03
        self._network = BeatwiseNetwork(WEIGHTS)
        self.begin()

    def begin(self) -> None:
        """What comes does not follow what was."""
        self._rows = {name: Hypothesis(self._network) for name in HYPOTHESES}
        self._first, self._strange = -1, 0
        """The row with which the beat before the last began; beats in a row that are too long or too short."""

    def hear(self, begun: Begun, rows: BeatRows) -> None:
        """A beat begins, and the one before it is over."""
        first, end = begun.first, begun.end
        if first < 0:
            self.begin()
            return
        length = end - first
        if self._is_strange(length):
            return
        self._rows[AS_THEY_ARE].hear(rows.between(first, end))
        bpm = self._bpm
        if length >= 2 * PARTS and self._allows(2 * bpm):
            for half in (rows.between(first, first + length // 2), rows.between(first + length // 2, end)):
                self._rows["twice"].hear(half)
        if self._first >= 0 and self._allows(bpm / 2):
            self._rows["odd" if begun.number % 2 else "even"].hear(rows.between(self._first, end))
        self._first = first

    def verdict(self, view: Callable[[float], float]) -> str:
        """The hypothesis by which to go on; `view`: what else is known of a tempo in bpm, as a log-weight."""
        if not self._rows[AS_THEY_ARE].ear.beats:
            return AS_THEY_ARE
        bpm = self._bpm
        asked = {name: row for name, row in self._rows.items() if HYPOTHESES[name] == 1 or self._allows(bpm * HYPOTHESES[name])}
        if any(row.seconds < LEAST_S for row in asked.values()):
            return AS_THEY_ARE
        worth = {name: row.score + VIEW_WEIGHT * view(bpm * HYPOTHESES[name]) for name, row in asked.items()}
        best = max(worth, key=worth.__getitem__)
        return best if worth[best] > worth[AS_THEY_ARE] + MARGIN else AS_THEY_ARE

    def take(self, name: str) -> None:
        """From now on the beats of this hypothesis are those that are announced."""
        before, taken = self._rows[AS_THEY_ARE], self._rows[name]
        self.begin()
        self._rows[AS_THEY_ARE] = taken
        if name != "twice":
            self._rows["twice"] = before

    def _is_strange(self, length: int) -> bool:
        """The beat is not of this level: one or two are when another has been taken; of more, all begins anew."""
        if not self._rows[AS_THEY_ARE].ear.beats:
            return False
        ratio = length * self._bpm / (60 * HOPS_PER_S)
        self._strange = 0 if 1 / SAME_LENGTH < ratio < SAME_LENGTH else self._strange + 1
        if self._strange:
            self._first = -1
        if self._strange >= STRANGE_BEATS:
            self.begin()
        return self._strange > 0

    @property
    def _bpm(self) -> float:
        return self._rows[AS_THEY_ARE].ear.sounds.bpm

    def _allows(self, bpm: float) -> bool:
        return self._range_bpm[0] <= bpm <= self._range_bpm[1]
