"""What one hop says about beats: three probabilities, and what they weigh in the state space.

Consumes `FeatureFrame`, emits `Activation`, 100 a second. Any source of activations (novelty here, a network elsewhere) is
worth the same to the tracker as long as its probabilities are honest.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from k1edge.beat.bar_pointer import ONSET_SHARE, ZONE
from k1edge.frames import HOPS_PER_S, FeatureFrame

BEAT_SHARE = 0.08
"""Share of hops that lie on a beat, by which an activation is divided to become a likelihood ratio (4-5 hops in 50)."""
DOWNBEAT_SHARE = 0.25
"""Share of beats that are downbeats."""
ZONE_WEIGHT = 1.6 / ZONE
"""Hops of one zone hear the same onset: together they count as 1.6 observations."""
LLR_LIMITS = (-1.2, 3.5)
"""One hop never decides: a missing onset costs less than a heard one earns."""


class Activation(NamedTuple):
    """Probabilities that a beat, and a downbeat, is heard in this hop; and that there is music at all."""

    beat: float
    downbeat: float
    music: float


class Evidence(NamedTuple):
    """Log-likelihood ratios for `BarPointer.step`."""

    beat: float
    downbeat: float
    none: float


def _logit(p: float) -> float:
    p = min(max(p, 1e-4), 1 - 1e-4)
    return math.log(p / (1 - p))


BASE_LOGIT = _logit(BEAT_SHARE)


def evidence(heard: Activation) -> Evidence:
    """Probabilities -> log-likelihood ratios against "no beat in this hop" (Bayes, with BEAT_SHARE as prior)."""
    llr = min(max(_logit(heard.beat) - BASE_LOGIT, LLR_LIMITS[0]), LLR_LIMITS[1])
    share = min(max(heard.downbeat / max(heard.beat, 1e-4), 0.02), 0.95)
    down = llr + math.log(share / DOWNBEAT_SHARE) * heard.beat
    other = llr + math.log((1 - share) / (1 - DOWNBEAT_SHARE)) * heard.beat
    none = math.log1p(ONSET_SHARE * math.expm1(llr))
    return Evidence(other * ZONE_WEIGHT, down * ZONE_WEIGHT, none * ZONE_WEIGHT)


class NoveltyActivation:
    """Beats as peaks of multi-band novelty: needs no training, knows nothing of downbeats."""

    BAND_WEIGHTS = np.array([0.70, 0.10, 0.10, 0.10], np.float32)
    """The kick carries the beat in most music that is danced to; hats and off-beat bass must not win over it."""
    MEMORY_S = 4.0
    LEAST_SPREAD = 0.08
    """In units of novelty: the fluctuation of steady noise is never stretched to look like onsets."""
    SLOPE, MIDDLE = 1.5, 1.9

    def __init__(self) -> None:
        self._last = (0.0, 0.0)
        self._mean, self._square = 0.0, self.LEAST_SPREAD**2
        self._keep = math.exp(-1 / (self.MEMORY_S * HOPS_PER_S))

    def process(self, features: FeatureFrame) -> Activation:
        """z-score of the weighted novelty over the last seconds -> probability of a beat."""
        if features.silent:
            return Activation(0.0, 0.0, 0.0)
        novelty = float(self.BAND_WEIGHTS @ features.novelty)
        gain = 1 - self._keep
        self._mean += gain * (novelty - self._mean)
        self._square += gain * (novelty * novelty - self._square)
        spread = max(math.sqrt(max(self._square - self._mean**2, 0.0)), self.LEAST_SPREAD)
        # An onset is sharper than the zone it is matched with: hold it for three hops.
        widened = max(novelty, *self._last)
        self._last = (self._last[1], novelty)
        beat = 1 / (1 + math.exp(-self.SLOPE * ((widened - self._mean) / spread - self.MIDDLE)))
        return Activation(beat, beat * DOWNBEAT_SHARE, 1.0)
