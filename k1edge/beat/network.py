"""A small causal recurrent network that hears beats, downbeats, and whether there is music with a beat at all.

Consumes `FeatureFrame.bands`, one hop at a time; emits three probabilities and a distribution over tempi, anew on every second
hop (FRAMES_PER_S).

    bands of the last 4 frames (80 ms) -> 64 rectified features -> GRU -> GRU -> 3 logistic outputs, softmax over 36 tempi

Trained with its targets DELAY_S late: what it says at a hop's end is about the sound DELAY_S before, so that it has heard the
whole of an attack. Weights, data and limits: MODEL_CARD.md; how it was trained: scripts/train. GRU: Cho et al., EMNLP 2014.

Cost: about 35 us a frame, nothing allocated; 1.8 ms per second of audio on a 2.6 GHz x86-64 core.
"""

from __future__ import annotations

from importlib import resources

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
WEIGHTS = "network.npz"


def load_weights() -> dict[str, np.ndarray]:
    """The weights shipped with the package, as float32. Names as in scripts/train/model.py."""
    with resources.files(__package__).joinpath(WEIGHTS).open("rb") as file, np.load(file) as stored:
        return {name: np.ascontiguousarray(stored[name], np.float32) for name in stored.files}


class _Gru:
    """One recurrent layer; its state is `state` (H,) float32."""

    def __init__(self, weights: dict[str, np.ndarray], layer: str) -> None:
        self._into, self._again = weights[f"{layer}.into"].copy(), weights[f"{layer}.again"].copy()
        self._into_bias, self._again_bias = weights[f"{layer}.into_bias"].copy(), weights[f"{layer}.again_bias"].copy()
        size = len(self._again_bias) // 3
        for array in (self._into, self._again, self._into_bias, self._again_bias):
            array[: 2 * size] *= 0.5  # logistic(x) = tanh(x / 2) / 2 + 1 / 2
        self.state = np.zeros(size, np.float32)
        self._from_input, self._from_state = np.empty(3 * size, np.float32), np.empty(3 * size, np.float32)
        self._gates = self._from_input[: 2 * size]
        self._reset, self._update = self._gates[:size], self._gates[size:]
        self._candidate = self._from_input[2 * size :]
        self._gates_again, self._candidate_again = self._from_state[: 2 * size], self._from_state[2 * size :]

    def process(self, x: np.ndarray) -> np.ndarray:
        """(inputs,) -> (H,), the new state, overwritten by the next call."""
        np.dot(self._into, x, out=self._from_input)
        np.add(self._from_input, self._into_bias, out=self._from_input)
        np.dot(self._again, self.state, out=self._from_state)
        np.add(self._from_state, self._again_bias, out=self._from_state)
        np.add(self._gates, self._gates_again, out=self._gates)
        np.tanh(self._gates, out=self._gates)
        np.multiply(self._gates, 0.5, out=self._gates)
        np.add(self._gates, 0.5, out=self._gates)
        np.multiply(self._candidate_again, self._reset, out=self._candidate_again)
        np.add(self._candidate, self._candidate_again, out=self._candidate)
        np.tanh(self._candidate, out=self._candidate)
        np.subtract(self.state, self._candidate, out=self.state)
        np.multiply(self.state, self._update, out=self.state)
        np.add(self.state, self._candidate, out=self.state)
        return self.state


class BeatNetwork:
    """Bands in, probabilities out; one per stream."""

    FRAMES_PER_S = FRAMES_PER_S
    DELAY_S = DELAY_S

    def __init__(self, weights: dict[str, np.ndarray] | None = None) -> None:
        weights = weights or load_weights()
        self._front, self._front_bias = weights["front"], weights["front_bias"]
        self._head, self._head_bias = weights["head"].copy(), weights["head_bias"].copy()
        self._head[:3] *= 0.5  # the logistic as above
        self._head_bias[:3] *= 0.5
        self._layers = (_Gru(weights, "gru1"), _Gru(weights, "gru2"))
        # Each frame is written twice, CONTEXT slots apart, so that the last CONTEXT frames always lie in one piece, in order.
        self._recent = np.zeros((2 * CONTEXT, N_BANDS), np.float32)
        self._windows = [self._recent[slot + 1 : slot + 1 + CONTEXT].reshape(-1) for slot in range(CONTEXT)]
        self._local = np.empty(len(self._front), np.float32)
        self._output = np.zeros(3 + N_TEMPI, np.float32)
        self._output[3:] = 1 / N_TEMPI
        self._logistic, self._softmax = self._output[:3], self._output[3:]
        self.heard, self.tempi = self._logistic.view(), self._softmax.view()
        """`tempi`: (N_TEMPI,) probability of each tempo class, slowest first; read-only, changes as `heard` does."""
        self.heard.flags.writeable = self.tempi.flags.writeable = False
        self._hops = 0

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
        x = np.dot(self._front, self._windows[slot], out=self._local)
        np.add(x, self._front_bias, out=x)
        np.maximum(x, 0.0, out=x)
        for layer in self._layers:
            x = layer.process(x)
        out = np.dot(self._head, x, out=self._output)
        np.add(out, self._head_bias, out=out)
        out = np.tanh(self._logistic, out=self._logistic)
        np.multiply(out, 0.5, out=out)
        np.add(out, 0.5, out=out)
        tempi = self._softmax
        np.subtract(tempi, tempi.max(), out=tempi)
        np.exp(tempi, out=tempi)
        np.divide(tempi, tempi.sum(), out=tempi)
        return self.heard
