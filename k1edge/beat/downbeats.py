"""Hears, beat by beat, where in the bar each of them is.

Consumes what every hop said, and the announced beats; emits an opinion: log-weights of the beats of every metre. Each beat that
is over is described (`sounds`) and heard by a small recurrent network, one step a beat (after Krebs, Boeck, Dorfer & Widmer,
ISMIR 2016):

    N_INPUTS -> 48 rectified features -> GRU 48 -> softmax over the places in bars of 2, 3, 4 and 5, of the beat LAG before

What the network says it has concluded from all beats so far, so an opinion replaces the one before and is never added to it:
it is one witness, the state space the other, and the count believes their product. The network was trained on beats with the
errors of a tracker, from any beat of a bar on (scripts/train/bars.py, MODEL_CARD.md): what it says of the place it has heard,
not counted from the beginning. Cost: 1 us a hop, 70 us a beat, where nothing else uses the caches.
"""

from __future__ import annotations

from collections import deque
from functools import cache
from importlib import resources

import numpy as np

from k1edge.beat.bar_pointer import metre_table
from k1edge.beat.network import Gru, load_weights
from k1edge.beat.sounds import N_COLUMNS, PARTS, START_HOPS, BeatSounds
from k1edge.dsp.features import N_BANDS
from k1edge.frames import HOPS_PER_S

WEIGHTS = "downbeats.npz"
LAG = 1
"""Beats: what follows a downbeat says that it was one."""
WEIGHT = 1.4
"""Of the network's word in the product; 1 would be that of a witness who is as sure as he should be."""
FLOOR = 0.01
"""No place is less probable than this."""
HUSHED_BEATS = 128
"""For so long a person who has said where the bar begins is not argued with."""
LONGEST_GAP = 1.5
"""Of a period: what lies further apart are not two beats in a row."""
KEPT = 4 * HOPS_PER_S
"""Hops: longer than any beat."""


@cache
def _weights() -> dict[str, np.ndarray]:
    return load_weights(resources.files(__package__).joinpath(WEIGHTS))


PER_BAR, POSITION, USUAL = metre_table()
FIRST = np.array([np.argmax(per_bar == PER_BAR) for per_bar in PER_BAR])
"""(B,) the first beat of the metre of each."""


class DownbeatNetwork:
    """One step a beat; the mean of the logits of some nets side by side."""

    def __init__(self) -> None:
        weights = _weights()
        nets, self._local, _ = weights["front"].shape
        size = weights["gru.again"].shape[2]
        self._rows = np.zeros((self._local + 1 + size, nets), np.float32)  # features, 1, state
        self._gru = Gru(weights, "gru", self._rows)
        self.begin()

    def __getstate__(self) -> np.ndarray:
        """Without the weights: they are those of the package."""
        return self._rows

    def __setstate__(self, rows: np.ndarray) -> None:
        self.__init__()
        if rows.shape != self._rows.shape:
            raise ValueError("it was made with another network for bars")
        self._rows[:] = rows

    def begin(self) -> None:
        """Nothing has been heard."""
        self._rows[:] = 0.0
        self._rows[self._local] = 1.0

    def process(self, inputs: np.ndarray) -> np.ndarray:
        """(N_INPUTS,) of a beat that is over -> (B,) probabilities of what the beat LAG before it was."""
        weights = _weights()
        features = weights["front"] @ inputs + weights["front_bias"]
        self._rows[: self._local] = np.maximum(features, 0.0).T
        self._gru.process()
        said = np.matmul(weights["head"], self._rows[self._local + 1 :].T[..., None])[..., 0] + weights["head_bias"]
        odds = np.exp(said.mean(axis=0) - said.mean(axis=0).max())
        return odds / odds.sum()


class BarEar:
    """Hears beats in a row."""

    def __init__(self) -> None:
        self._sounds, self._network = BeatSounds(), DownbeatNetwork()
        self._beats = 0

    def begin(self) -> None:
        """What comes does not follow what was."""
        self._sounds.begin()
        self._network.begin()
        self._beats = 0

    def process(self, rows: np.ndarray) -> np.ndarray | None:
        """(hops, N_COLUMNS) of the next beat, now that it is over -> (B,) log-weights of what the beat LAG before it was."""
        places = self._network.process(self._sounds.process(rows))
        self._beats += 1
        return np.log((places + FLOOR) / (USUAL + FLOOR)) if self._beats > LAG else None


class Downbeats:
    """Of one stream; beats are known by their numbers. Times in hops."""

    def __init__(self) -> None:
        self._ear = BarEar()
        # Each row is written twice, KEPT apart, so that any beat lies in one piece.
        self._rows, self._row = np.zeros((2, KEPT, N_COLUMNS), np.float32), 0
        self._new = np.zeros(N_COLUMNS, np.float32)
        self._waiting: deque[tuple[int, float, float]] = deque()
        self._last: tuple[int, float, int] | None = None
        """Of the beat that sounds: number, due, and which row it begins with."""
        self._said: tuple[int, np.ndarray] | None = None
        """What the ear said last, and of which beat."""
        self._hushed_until = 0

    def hear(self, now: float, bands: np.ndarray, said: tuple[float, float]) -> None:
        """Every hop, at its end `now`: its bands, and what the network says of a beat and a downbeat."""
        while self._waiting and self._waiting[0][1] + START_HOPS <= now - 0.5:
            self._begin(*self._waiting.popleft())
        new = self._new
        new[:N_BANDS] = bands
        new[N_BANDS], new[N_BANDS + 1] = said
        self._rows[:, self._row % KEPT] = new
        self._row += 1

    def expect(self, number: int, due: float, period: float) -> None:
        """A beat is announced, or corrected."""
        if self._waiting and self._waiting[-1][0] == number:
            self._waiting.pop()
        self._waiting.append((number, due, period))

    def opinion(self, number: int) -> np.ndarray | None:
        """(B,) log-weights of what the beat of this number is in its bar, if anything is known."""
        if self._said is None or number < self._hushed_until:
            return None
        heard, weights = self._said
        return WEIGHT * weights[FIRST + (POSITION - (number - heard)) % PER_BAR]

    def hush(self, number: int) -> None:
        """From the beat of this number on nothing is said for HUSHED_BEATS, or until beats begin anew."""
        self._hushed_until = number + HUSHED_BEATS

    def _begin(self, number: int, due: float, period: float) -> None:
        """A beat begins, and the one before it is over."""
        last, self._last = self._last, (number, due, self._row)
        hops = 0 if last is None else self._row - last[2]
        if not PARTS <= hops < KEPT or due - last[1] > LONGEST_GAP * period:
            self._ear.begin()
            self._said, self._hushed_until = None, 0
            return
        first = last[2] % KEPT
        weights = self._ear.process(self._rows.reshape(-1, N_COLUMNS)[first : first + hops])
        self._said = None if weights is None else (last[0] - LAG, weights)
