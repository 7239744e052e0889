"""Hears whether beats are at the level that a listener would tap.

Consumes beats that are over (`rows`); emits a verdict: that they are, or that listeners would tap twice as fast, or every
second of them, or every third half of them (6/8 that is followed as 3/4), and which. A tracker cannot tell by onsets, of which
all levels have their share, and what a network of frames says of the tempo is a habit of the style. How the sounds of beats
follow each other tells more: on the right beats a kick and a snare take turns, at half of them all sound alike, and at twice as
many every second is empty.

So the same music is heard by several rows of beats at once, HYPOTHESES. For each of them a small recurrent network, one step a
beat, says how probable it is that these are the beats (scripts/train/levels.py, MODEL_CARD.md): it was trained on true beats,
and on beats that are too many, too few, between, or somewhere. A level is left only for one whose log-odds have been better
for a while by MARGIN, with what the network of frames says of the tempo: where one is sure and the other is not likely. A
person who has said which level it is is not argued with.

Cost: 80 us for each beat of each hypothesis, where nothing else uses the caches; on most music, of one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from k1edge.beat.bar_pointer import within
from k1edge.beat.beatwise import BeatwiseNetwork
from k1edge.beat.observation import logit
from k1edge.beat.rows import BeatRows, Begun
from k1edge.beat.sounds import N_INPUTS, BeatSounds
from k1edge.frames import HOPS_PER_S

WEIGHTS = "levels.npz"
N_LEVEL_INPUTS = N_INPUTS + 1
RIGHT = 0
"""Of the network's classes; the others say in which way beats are wrong, and nobody asks."""


class Row(NamedTuple):
    """Beats among the halves of those that are announced; half 2 n is the beat number n itself."""

    halves: int
    """That each of its beats lasts."""
    first: int
    """One of its beats begins with this half."""

    @property
    def faster(self) -> float:
        """Than the beats that are announced."""
        return 2 / self.halves

    def wait(self, half: int | np.ndarray) -> int | np.ndarray:
        """Halves from this one to the next with which a beat of the row begins."""
        return (self.first - half) % self.halves


AS_THEY_ARE = "as they are"
HYPOTHESES = {AS_THEY_ARE: Row(2, 0), "twice": Row(1, 0), "even": Row(4, 0), "odd": Row(4, 2),
              "thirds": Row(3, 0), "thirds from 1": Row(3, 1), "thirds from 2": Row(3, 2)}  # fmt: skip
TEMPO_BEATS, USUAL_BPM, TEMPO_SCALE = 5, 110.0, 1.5
UNSURE_BEATS = 6
"""From so few nothing is concluded."""
SUREST = 0.982
"""No row is believed more than this of one beat, nor less than the rest: one never decides."""
MEMORY_S, LEAST_S = 12.0, 8.0
"""Verdicts are means of so long, and of at least so long."""
MARGIN, VIEW_WEIGHT = 3.5, 1.0
"""Of log-odds; what the network of frames says counts once."""
SURE = 2.0
"""Log-odds above which the beats announced are right, and no others are asked about: they could hardly win."""
LONGEST = 4
"""Halves of the longest row."""
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
        """(hops, N_COLUMNS) of the next beat, now that it is over -> log-odds that these are the beats, if known."""
        said = self._network.process(self.sounds.process(rows), self._state)
        self.beats += 1
        if self.beats <= UNSURE_BEATS:
            return None
        odds = np.exp(said - said.max())
        return logit(float(odds[RIGHT] / odds.sum()), 1 - SUREST, SUREST)


class Hypothesis:
    """One row of beats, and how well it has sounded."""

    def __init__(self, network: BeatwiseNetwork) -> None:
        self.ear = LevelEar(network)
        self.score = self.seconds = 0.0
        """Mean log-odds that these are the beats, and of how long that is the mean."""

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
        self._range_bpm = tempo_min_bpm, tempo_max_bpm
        self._network = BeatwiseNetwork(WEIGHTS)
        self.begin()

    def begin(self) -> None:
        """What comes does not follow what was."""
        self._rows = {AS_THEY_ARE: Hypothesis(self._network)}
        self._edges: dict[int, int] = {}
        """The row with which each of the last halves begins."""
        self._strange = 0
        """Beats in a row that are too long or too short."""

    def hear(self, begun: Begun, rows: BeatRows) -> None:
        """A beat begins, and the one before it is over."""
        first, end = begun.first, begun.end
        if first < 0:
            self.begin()
            return
        if self._is_strange(end - first):
            return
        told, last = self._rows[AS_THEY_ARE], 2 * begun.number
        told.hear(rows.between(first, end))
        self._edges |= {last - 2: first, last - 1: (first + end) // 2, last: end}
        if told.seconds > LEAST_S and told.score > SURE:
            self._rows = {AS_THEY_ARE: told}
        else:
            self._ask_others(last, rows)
        self._edges = {half: at for half, at in self._edges.items() if half > last - LONGEST}

    def verdict(self, view: Callable[[float], float]) -> str:
        """The hypothesis by which to go on; `view`: what else is known of a tempo in bpm, as a log-weight."""
        if not self._rows[AS_THEY_ARE].ear.beats:
            return AS_THEY_ARE
        asked = {name: row for name, row in HYPOTHESES.items() if name == AS_THEY_ARE or self._asks_about(row)}
        if any(name not in self._rows or self._rows[name].seconds < LEAST_S for name in asked):
            return AS_THEY_ARE
        bpm = self._bpm
        worth = {name: self._rows[name].score + VIEW_WEIGHT * view(bpm * row.faster) for name, row in asked.items()}
        best = max(worth, key=worth.__getitem__)
        return best if worth[best] > worth[AS_THEY_ARE] + MARGIN else AS_THEY_ARE

    def take(self, name: str) -> None:
        """From now on the beats of this hypothesis are those that are announced."""
        taken = self._rows[name]
        self.begin()
        self._rows[AS_THEY_ARE] = taken

    def _ask_others(self, last: int, rows: BeatRows) -> None:
        """All rows but that of the announced beats hear what of theirs has ended with this half, or the one before."""
        for half in (last - 1, last):
            for name, row in HYPOTHESES.items():
                before = self._edges.get(half - row.halves)
                if name != AS_THEY_ARE and before is not None and not row.wait(half) and self._asks_about(row):
                    if name not in self._rows:
                        self._rows[name] = Hypothesis(self._network)
                    self._rows[name].hear(rows.between(before, self._edges[half]))

    def _is_strange(self, length: int) -> bool:
        """The beat is not of this level: one or two are when another has been taken; of more, all begins anew."""
        if not self._rows[AS_THEY_ARE].ear.beats:
            return False
        ratio = length * self._bpm / (60 * HOPS_PER_S)
        self._strange = 0 if 1 / SAME_LENGTH < ratio < SAME_LENGTH else self._strange + 1
        if self._strange:
            self._edges = {}
        if self._strange >= STRANGE_BEATS:
            self.begin()
        return self._strange > 0

    @property
    def _bpm(self) -> float:
        return self._rows[AS_THEY_ARE].ear.sounds.bpm

    def _asks_about(self, row: Row) -> bool:
        return within(self._bpm * row.faster, *self._range_bpm)
