"""Fits the confidence: from the signs the tracker had when it announced a beat, the probability that the beat was right.

Logistic regression by iteratively reweighted least squares, each item counted alike; prints what `k1edge/beat/lock.py` carries.
"""

from __future__ import annotations

import numpy as np
from _beat_metrics import Run, judged

RIDGE = 1.0
"""Keeps the weights of signs that say the same from running away."""
STEPS = 30


def fit(signs: np.ndarray, right: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(signs,) weights; `signs` (beats, signs), `right` (beats,) of 0 or 1, `weight` (beats,)."""
    weights = np.zeros(signs.shape[1])
    for _ in range(STEPS):
        said = 1 / (1 + np.exp(-signs @ weights))
        curvature = signs.T @ (signs * (weight * said * (1 - said))[:, None]) + RIDGE * np.eye(len(weights))
        weights += np.linalg.solve(curvature, signs.T @ (weight * (right - said)) - RIDGE * weights)
    return weights


def calibrate(truths_s: list[np.ndarray], runs: list[Run]) -> tuple[float, ...]:
    """The weights for all beats of some items."""
    rows, right, weight = [], [], []
    for truth_s, run in zip(truths_s, runs, strict=True):
        beats = judged(truth_s, run)
        for beat, hit in beats:
            rows.append(beat.signs)
            right.append(hit)
            weight.append(100 / len(beats))
    return tuple(round(float(w), 3) for w in fit(np.array(rows), np.array(right, float), np.array(weight)))
