"""What a hop says about beats: probabilities, and what they weigh in the state space.

Consumes `FeatureFrame`, 100 a second; emits `Activation`, and `Evidence` for one step of the bar pointer. Any source of
activations is worth the same to the tracker as long as its probabilities are honest.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from k1edge.beat.bar_pointer import ONSET_SHARE
from k1edge.beat.network import DELAY_S, BeatNetwork
from k1edge.frames import HOPS_PER_S, FeatureFrame

BEAT_SHARE = 0.08
"""Share of steps that lie on a beat, by which an activation is divided to become a likelihood ratio."""
DOWNBEAT_SHARE = 0.25
"""Share of beats that are downbeats."""
BEAT_WEIGHT = 0.5
DOWNBEAT_WEIGHT = 0.8
"""Below 1 because neighbouring steps hear the same onset, and neighbouring beats the same music."""
LLR_LIMITS = (-1.5, 3.5)
"""One step never decides: a missing onset costs less than a heard one earns."""
NOVELTY_SHARE = 0.2
"""Of the novelty in the mean of the log-odds; the rest is the network's."""
MUSIC_WEIGHT = 0.02
"""Per step: one second of clear speech or noise outweighs e ** 3."""


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
    p = min(max(p, 1e-3), 1 - 1e-3)
    return math.log(p / (1 - p))


def evidence(heard: Activation) -> Evidence:
    """Probabilities -> log-likelihood ratios against "no beat in this step" (Bayes, with BEAT_SHARE as prior)."""
    llr = min(max(_logit(heard.beat) - _logit(BEAT_SHARE), LLR_LIMITS[0]), LLR_LIMITS[1])
    share = min(max(heard.downbeat / max(heard.beat, 1e-3), 0.02), 0.9)
    trust = DOWNBEAT_WEIGHT * heard.beat
    down = BEAT_WEIGHT * llr + trust * math.log(share / DOWNBEAT_SHARE)
    other = BEAT_WEIGHT * llr + trust * math.log((1 - share) / (1 - DOWNBEAT_SHARE))
    none = BEAT_WEIGHT * math.log1p(ONSET_SHARE * math.expm1(llr)) - MUSIC_WEIGHT * _logit(heard.music)
    return Evidence(other, down, none)


class Ears:
    """The network and the novelty as one opinion; speaks of the sound LATENCY_HOPS ago."""

    LATENCY_HOPS = DELAY_S * HOPS_PER_S

    def __init__(self) -> None:
        self._network = BeatNetwork()
        self._novelty = NoveltyActivation()
        lag = round(self.LATENCY_HOPS - NoveltyActivation.LATENCY_HOPS)
        self._late: deque[float] = deque([0.0] * lag, maxlen=lag + 1)

    def process(self, features: FeatureFrame) -> Activation:
        """Every hop; the network's part changes at every second."""
        beat, downbeat, music = map(float, self._network.process(features.bands))
        self._late.append(self._novelty.process(features).beat)
        mixed = (1 - NOVELTY_SHARE) * _logit(beat) + NOVELTY_SHARE * _logit(self._late[0])
        return Activation(1 / (1 + math.exp(-mixed)), downbeat, music)


class NoveltyActivation:
    """Beats as peaks of multi-band novelty: needs no training, knows nothing of downbeats."""

    LATENCY_HOPS = 4.0
    BAND_WEIGHTS = np.array([0.70, 0.10, 0.10, 0.10], np.float32)
    """The kick carries the beat in most music that is danced to; hats and off-beat bass must not win over it."""
    MEMORY_S = 4.0
    LEAST_SPREAD = 0.08
    """In units of novelty: the fluctuation of steady noise is never stretched to look like onsets."""
    SLOPE, MIDDLE = 1.5, 2.1
    HELD_HOPS = 5
    """An onset is sharper than the zone it is matched with."""

    def __init__(self) -> None:
        self._mean, self._square = 0.0, self.LEAST_SPREAD**2
        self._keep = math.exp(-1 / (self.MEMORY_S * HOPS_PER_S))
        self._held: deque[float] = deque(maxlen=self.HELD_HOPS)

    def process(self, features: FeatureFrame) -> Activation:
        """z-score of the weighted novelty over the last seconds -> probability of a beat."""
        novelty = float(self.BAND_WEIGHTS @ features.novelty)
        if not features.silent:
            gain = 1 - self._keep
            self._mean += gain * (novelty - self._mean)
            self._square += gain * (novelty * novelty - self._square)
        spread = max(math.sqrt(max(self._square - self._mean**2, 0.0)), self.LEAST_SPREAD)
        self._held.append(novelty)
        beat = 1 / (1 + math.exp(-self.SLOPE * ((max(self._held) - self._mean) / spread - self.MIDDLE)))
        return Activation(beat, beat * DOWNBEAT_SHARE, 0.5)
