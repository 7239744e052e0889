"""The networks by their equations in float64, with no buffer shared between frames: what the fast ones are compared with."""

from __future__ import annotations

import numpy as np


def logistic(x):
    return 1 / (1 + np.exp(-x))


def gru(weights, layer, inputs):
    """(frames, units): the states of one layer after each of its (frames, n) inputs."""
    into, again, into_bias, again_bias = (weights[f"{layer}.{part}"].astype(float) for part in (
        "into", "again", "into_bias", "again_bias"))  # fmt: skip
    state, states = np.zeros(len(again_bias) // 3), []
    for x in inputs:
        (in_reset, in_update, in_new), (reset, update, new) = (np.split(each, 3) for each in (
            into @ x + into_bias, again @ state + again_bias))  # fmt: skip
        update = logistic(in_update + update)
        state = (1 - update) * np.tanh(in_new + logistic(in_reset + reset) * new) + update * state
        states.append(state)
    return np.array(states)


def probabilities(logits):
    """Of (frames, 3 + N_TEMPI): three that are each by itself, and those of the tempi, which are one in all."""
    odds = np.exp(logits[:, 3:])
    return np.hstack([logistic(logits[:, :3]), odds / odds.sum(axis=1, keepdims=True)])
