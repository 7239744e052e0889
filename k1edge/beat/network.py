"""A small causal recurrent network that hears beats, downbeats, and whether there is music with a beat at all.

Consumes `FeatureFrame.bands`, one hop at a time; emits three probabilities and a distribution over tempi, anew on every second
hop (FRAMES_PER_S).

    bands of the last 4 frames (80 ms) -> 64 rectified features -> GRU -> GRU -> 3 logistic outputs, softmax over 36 tempi

Several nets of one shape may hear side by side, each with its own state, and speak with one voice, the mean of their logits:
every array of weights then has a leading axis.

Trained with its targets DELAY_S late: what it says at a hop's end is about the sound DELAY_S before, so that it has heard the
whole of an attack. Weights, data and limits: MODEL_CARD.md; how it was trained: scripts/train. GRU: Cho et al., EMNLP 2014.

Cost: about 21 us a frame and 15 for each further net, nothing allocated; 1.8 ms per second of audio for the two
that are shipped, on a 2.6 GHz x86-64 core.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable

import numpy as np

from k1edge.dsp.features import N_BANDS
from k1edge.frames import HOPS_PER_S

HOPS_A_FRAME = 2
"""A frame of the network is every second hop: half the cost, and beats placed to 10 ms still."""
FRAMES_PER_S = HOPS_PER_S // HOPS_A_FRAME
DELAY_S = 0.060
"""Outputs speak of the sound this long before the end of the hop: constant, to be subtracted."""
CONTEXT = 4
"""Frames the first layer sees at once: the rise of an onset."""
BEAT, DOWNBEAT, MUSIC = 0, 1, 2
TEMPO_RANGE_BPM, N_TEMPI = (40.0, 240.0), 36
"""The tempo classes are log-spaced, 5 % wide."""
WEIGHTS, SCALE = "network.npz", ".scale"
ARRAYS = ("_rows", "_recent", "_output")
MEMORY = (*ARRAYS, "_hops")
"""Of a BeatNetwork: all that is not weights, and all views are of these."""


def load_weights(file: Traversable | None = None) -> dict[str, np.ndarray]:
    """The weights of a file, by default those of the package, as float32. Names as in scripts/train/model.py.

    An array of whole numbers is stored with `<name>.scale`, which says what 1 stands for in each of its rows.
    """
    with (file or resources.files(__package__).joinpath(WEIGHTS)).open("rb") as opened, np.load(opened) as stored:
        weights = {name: stored[name].astype(np.float32) for name in stored.files}
    for scale in [name for name in weights if name.endswith(SCALE)]:
        weights[scale.removesuffix(SCALE)] *= weights.pop(scale)[..., None]
    return weights


@cache
def fingerprint() -> int:
    """Of the package's weights; never 0."""
    return zlib.crc32(resources.files(__package__).joinpath(WEIGHTS).read_bytes()) or 1


def side_by_side(nets: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The weights of several nets of one shape as those of one network."""
    return {name: np.stack([net[name] for net in nets]) for name in nets[0]}


class Gru:
    """One recurrent layer of all nets. Its input, the number 1 and its state (H, nets) are the rows of one array.

    As logistic(x) = (1 + tanh(x / 2)) / 2, the candidate tanh(a + logistic(r) b) is tanh(a + b / 2 + tanh(r / 2) b / 2): the
    products of 3 H rows of weights with the input and with the state make what is needed, halved, with the biases.
    """

    def __init__(self, weights: dict[str, np.ndarray], layer: str, rows: np.ndarray) -> None:
        into, again = weights[f"{layer}.into"], weights[f"{layer}.again"]
        nets, size, inputs = len(into), again.shape[2], into.shape[2]
        heard = np.dstack([into, weights[f"{layer}.into_bias"]])
        heard[:, : 2 * size] *= 0.5
        kept = 0.5 * np.dstack([weights[f"{layer}.again_bias"], again])
        # Each column in one piece: the product is then a third cheaper.
        self._heard, self._kept = (np.ascontiguousarray(each.swapaxes(1, 2)).swapaxes(1, 2) for each in (heard, kept))
        self._input, self._before = rows[: inputs + 1].T[..., None], rows[inputs:].T[..., None]
        sums = np.empty((2, 3 * size, nets), np.float32)
        self._from_input, self._from_state = sums.swapaxes(1, 2)[..., None]
        self._sums, self._remembered = sums.reshape(2, -1)
        self._reset, self._update, self._candidate = self._sums.reshape(3, -1)
        self._gates, self._again = self._sums[: 2 * size * nets], self._remembered[2 * size * nets :]
        self._state, self._half = rows[inputs + 1 :].reshape(-1), np.full(size * nets, 0.5, np.float32)

    def process(self) -> None:
        """Overwrites the state in the rows with the next."""
        np.matmul(self._heard, self._input, out=self._from_input)
        np.matmul(self._kept, self._before, out=self._from_state)
        np.add(self._sums, self._remembered, out=self._sums)
        np.tanh(self._gates, out=self._gates)
        again, candidate, update = self._again, self._candidate, self._update
        np.multiply(again, self._reset, out=again)
        np.add(candidate, again, out=candidate)
        np.tanh(candidate, out=candidate)
        np.multiply(update, self._half, out=update)
        np.add(update, self._half, out=update)
        np.subtract(self._state, candidate, out=again)
        np.multiply(again, update, out=again)
        np.add(candidate, again, out=self._state)


class BeatNetwork:
    """Bands in, probabilities out; one per stream."""

    def __init__(self, weights: dict[str, np.ndarray] | None = None) -> None:
        """`weights`: of one net or of several; None: those of the package."""
        self._packaged = fingerprint() if weights is None else 0
        weights = weights or load_weights()
        if weights["front"].ndim == 2:
            weights = side_by_side([weights])
        nets, local, _ = weights["front"].shape
        size = weights["gru1.again"].shape[2]
        rows = np.zeros((local + 1 + size + 1 + size, nets), np.float32)  # features, 1, first layer's state, 1, second's
        rows[[local, -size - 1]] = 1.0
        self._layers = Gru(weights, "gru1", rows[: -size - 1]), Gru(weights, "gru2", rows[local + 1 :])
        self._rows, self._features = rows.reshape(-1), rows[:local].reshape(-1)
        self._front = weights["front"].swapaxes(0, 1).reshape(local * nets, -1)
        self._front_bias, self._zero = weights["front_bias"].T.reshape(-1), np.zeros(local * nets, np.float32)
        head = np.zeros((3 + N_TEMPI, *rows.shape), np.float32)
        head[:, -size - 1 :] = np.dstack([weights["head_bias"], weights["head"]]).transpose(1, 2, 0) / nets
        head[:3] *= 0.5  # the logistic as in Gru
        self._head = head.reshape(len(head), -1)
        # Each frame is written twice, CONTEXT slots apart, so that the last CONTEXT frames always lie in one piece, in order.
        self._recent = np.zeros((2 * CONTEXT, N_BANDS), np.float32)
        self._windows = [self._recent[slot + 1 : slot + 1 + CONTEXT].reshape(-1) for slot in range(CONTEXT)]
        self._output = np.zeros(3 + N_TEMPI, np.float32)
        self._output[3:] = 1 / N_TEMPI
        self._logistic, self._softmax = self._output[:3], self._output[3:]
        self._half = np.full(3, 0.5, np.float32)
        self.heard, self.tempi = self._logistic.view(), self._softmax.view()
        """`tempi`: (N_TEMPI,) probability of each tempo class, slowest first; read-only, changes as `heard` does."""
        self.heard.flags.writeable = self.tempi.flags.writeable = False
        self._hops = 0

    def __getstate__(self) -> dict[str, object]:
        """Without the weights where they are those of the package: the rest of it is a hundredth of their size."""
        state = vars(self)
        return {name: state[name] for name in ("_packaged", *MEMORY)} if self._packaged else state

    def __setstate__(self, state: dict[str, object]) -> None:
        if not state["_packaged"]:
            vars(self).update(state)
            return
        if state["_packaged"] != fingerprint():
            raise ValueError("it was made with another beat network")
        self.__init__()
        for name in ARRAYS:
            getattr(self, name)[:] = state[name]
        self._hops = state["_hops"]

    def process(self, bands: np.ndarray) -> np.ndarray:
        """One hop's (N_BANDS,) bands -> (3,) probabilities of beat, downbeat and music, DELAY_S ago.

        A downbeat is a beat too: beat >= downbeat but for the network's error. Changes on every second call, the first
        among them; read-only, and overwritten then.
        """
        frame, off = divmod(self._hops, HOPS_A_FRAME)
        self._hops += 1
        if off:
            return self.heard
        slot = frame % CONTEXT
        self._recent[slot] = self._recent[slot + CONTEXT] = bands
        x = np.dot(self._front, self._windows[slot], out=self._features)
        np.add(x, self._front_bias, out=x)
        np.maximum(x, self._zero, out=x)
        for layer in self._layers:
            layer.process()
        np.dot(self._head, self._rows, out=self._output)
        heard, tempi = self._logistic, self._softmax
        np.tanh(heard, out=heard)
        np.multiply(heard, self._half, out=heard)
        np.add(heard, self._half, out=heard)
        np.subtract(tempi, np.maximum.reduce(tempi), out=tempi)
        np.exp(tempi, out=tempi)
        np.divide(tempi, np.add.reduce(tempi), out=tempi)
        return self.heard
