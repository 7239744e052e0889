"""The beat network that has heard the whole track: each layer of its nets runs forwards and backwards.

Consumes the bands of a `Recording`, emits what `k1edge.beat.network` does, DELAY_S late as there: (frames, 3) probabilities of
beat, downbeat and music and (frames, N_TEMPI) of the tempo. Beside the seconds before a frame it knows those that follow.

    bands of the last 4 frames -> 64 rectified features -> 2 x (GRU forwards | GRU backwards) -> logits

Several nets of one shape speak with one voice, as there: the mean of their logits.

Everything but the recurrence is a product of matrices over all frames; a step of that goes in both directions at once.
Weights, data and limits: k1edge/beat/MODEL_CARD.md. Cost: 25 us a frame for each net, and 3 KB; a long track is heard in pieces
that overlap.
"""

from __future__ import annotations

from importlib import resources

import numpy as np

from k1edge.beat.network import CONTEXT, FRAMES_PER_S, HOPS_A_FRAME, N_TEMPI, load_weights, side_by_side
from k1edge.dsp.features import N_BANDS

WEIGHTS = "hindsight.npz"
PIECE, OVERLAP = 300 * FRAMES_PER_S, 15 * FRAMES_PER_S
"""Frames that are heard at once, and those on either side that are heard along with them."""
PARTS = ("into", "again", "into_bias", "again_bias")


class Hindsight:
    """Bands of a track in, probabilities out."""

    def __init__(self, weights: dict[str, np.ndarray] | None = None) -> None:
        """`weights`: of one net or of several; None: those of the package."""
        weights = weights or load_weights(resources.files(__package__).joinpath(WEIGHTS))
        if weights["front"].ndim == 2:
            weights = side_by_side([weights])
        self._nets = [{name: array[n] for name, array in weights.items()} for n in range(len(weights["front"]))]

    def hear(self, bands: np.ndarray) -> np.ndarray:
        """(hops, N_BANDS) -> (frames, 3 + N_TEMPI) probabilities; frame n is that of hop HOPS_A_FRAME * n."""
        frames = bands[::HOPS_A_FRAME]
        said = np.empty((len(frames), 3 + N_TEMPI), np.float32)
        for first in range(0, len(frames), PIECE):
            before = max(first - OVERLAP, 0)
            part = frames[before : first + PIECE + OVERLAP].astype(np.float32)
            piece = sum(_logits(net, part) for net in self._nets) / len(self._nets)
            said[first : first + PIECE] = piece[first - before :][:PIECE]
        return _probabilities(said)


def _logits(weights: dict[str, np.ndarray], bands: np.ndarray) -> np.ndarray:
    """(frames, N_BANDS) -> (frames, 3 + N_TEMPI) of one net."""
    frames = len(bands)
    padded = np.pad(bands, ((CONTEXT - 1, 0), (0, 0)))
    slots = weights["front"].reshape(-1, CONTEXT, N_BANDS)
    x = sum(padded[slot : slot + frames] @ slots[:, slot].T for slot in range(CONTEXT))
    x = np.maximum(x + weights["front_bias"], 0.0)
    for layer in ("gru1", "gru2"):
        x = _both_ways([[weights[f"{layer}.{way}{part}"] for way in ("", "back.")] for part in PARTS], x)
    return x @ weights["head"].T + weights["head_bias"]


def _both_ways(weights: list[list[np.ndarray]], x: np.ndarray) -> np.ndarray:
    """(frames, inputs) -> (frames, 2 H) states of a GRU that runs forwards, and of one that runs backwards."""
    into, again, into_bias, again_bias = map(np.stack, weights)
    size = again.shape[2]
    for array in (into, again, into_bias, again_bias):
        array[:, : 2 * size] *= 0.5  # logistic(x) = tanh(x / 2) / 2 + 1 / 2
    from_input = np.stack([x @ into[0].T, x[::-1] @ into[1].T], axis=1) + into_bias
    from_input[:, :, : 2 * size] += again_bias[:, : 2 * size]
    candidate_bias = again_bias[:, 2 * size :].copy()
    states = np.empty((len(x), 2, size), np.float32)
    state = np.zeros((2, size), np.float32)
    from_state = np.empty((2, 3 * size, 1), np.float32)
    gates_again, candidate_again = from_state[:, : 2 * size, 0], from_state[:, 2 * size :, 0]
    gates = np.empty((2, 2 * size), np.float32)
    reset, update = gates[:, :size], gates[:, size:]
    for given, out in zip(from_input, states, strict=True):
        np.matmul(again, state[:, :, None], out=from_state)
        np.add(given[:, : 2 * size], gates_again, out=gates)
        np.tanh(gates, out=gates)
        gates *= 0.5
        gates += 0.5
        candidate_again += candidate_bias
        candidate_again *= reset
        candidate_again += given[:, 2 * size :]
        np.tanh(candidate_again, out=candidate_again)
        np.subtract(state, candidate_again, out=out)
        out *= update
        out += candidate_again
        state = out
    return np.concatenate([states[:, 0], states[::-1, 1]], axis=1)


def _probabilities(logits: np.ndarray) -> np.ndarray:
    """In place: logistic of the first three, softmax of the tempi."""
    logits[:, :3] = 0.5 + 0.5 * np.tanh(0.5 * logits[:, :3])
    tempi = logits[:, 3:]
    np.exp(tempi - tempi.max(axis=1, keepdims=True), out=tempi)
    tempi /= tempi.sum(axis=1, keepdims=True)
    return logits
