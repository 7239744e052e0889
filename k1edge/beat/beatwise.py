"""A small recurrent network that takes one step a beat.

Consumes what a beat sounded like (`sounds`), emits logits. Several nets side by side, of which the mean speaks:

    inputs -> rectified features -> GRU -> logits

The state is the caller's, so that one network may follow several rows of beats. Cost: 26 us a beat, where nothing else uses
the caches.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

import numpy as np

from k1edge.beat.network import Gru, load_weights


@cache
def _weights(name: str) -> dict[str, np.ndarray]:
    return load_weights(resources.files(__package__).joinpath(name))


class BeatwiseNetwork:
    """The weights of the package's file of this name, and room to work in."""

    def __init__(self, name: str) -> None:
        self._name, weights = name, _weights(name)
        nets, self._local, _ = weights["front"].shape
        size = weights["gru.again"].shape[2]
        self._rows = np.zeros((self._local + 1 + size, nets), np.float32)  # features, 1, state
        self._rows[self._local] = 1.0
        self._gru = Gru(weights, "gru", self._rows)

    def __getstate__(self) -> tuple[str, tuple[int, ...]]:
        """Without the weights: they are those of the package."""
        return self._name, self._rows.shape

    def __setstate__(self, kept: tuple[str, tuple[int, ...]]) -> None:
        name, shape = kept
        self.__init__(name)
        if self._rows.shape != shape:
            raise ValueError(f"it was made with another network for {name.partition('.')[0]}")

    def silence(self) -> np.ndarray:
        """(H, nets) the state of one that has heard nothing."""
        return np.zeros_like(self._rows[self._local + 1 :])

    def process(self, inputs: np.ndarray, state: np.ndarray) -> np.ndarray:
        """(inputs,) of a beat that is over, and the `state`, which is overwritten with the next -> (classes,) logits."""
        weights, rows = _weights(self._name), self._rows
        rows[self._local + 1 :] = state
        rows[: self._local] = np.maximum(weights["front"] @ inputs + weights["front_bias"], 0.0).T
        self._gru.process()
        state[:] = rows[self._local + 1 :]
        return (np.matmul(weights["head"], state.T[..., None])[..., 0] + weights["head_bias"]).mean(axis=0)
