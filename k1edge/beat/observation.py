"""What a hop says about beats: probabilities, and what they weigh in the state space.

Consumes `FeatureFrame`, 100 a second; emits `Activation` and onset strength, and `Evidence` for one step of the bar pointer. Any source of
probabilities is worth the same to the tracker as long as they are honest.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

from k1edge.beat.bar_pointer import ONSET_SHARE, STEP_HOPS
from k1edge.beat.network import DELAY_S, BeatNetwork
from k1edge.dsp.features import N_NOVELTY
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
BAND_WEIGHTS = np.array([0.40, 0.20, 0.20, 0.20], np.float32)
"""The kick carries the beat in most music that is danced to."""
MEMORY_S, TOP_HALF_LIFE_S = 4.0, 4.0
TOP_KEEP = np.float32(0.5 ** (1 / (TOP_HALF_LIFE_S * HOPS_PER_S)))
LEAST_TOP = 0.25
"""In units of novelty, about a tenth of a drum hit: below, a band is not stretched to look like onsets."""
LEAST_SPREAD = 0.05
ONSET_LIMITS = (-0.8, 3.0)
MUSIC_WEIGHT = 0.02
"""Per step: one second of clear speech or noise outweighs e ** 3."""


class Activation(NamedTuple):
    """Probabilities that a beat, and a downbeat, is heard in a hop, and that there is music with a beat at all."""

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


class _Neutral:
    def process(self, bands):
        return BEAT_SHARE, BEAT_SHARE * DOWNBEAT_SHARE, 0.5


TRAINED = False
"""Until the weights are worth hearing, onsets alone decide."""


def _network():
    return BeatNetwork() if TRAINED else _Neutral()


class Ears:
    """The network and the novelty, both about the sound LATENCY_HOPS ago."""

    LATENCY_HOPS = DELAY_S * HOPS_PER_S

    def __init__(self) -> None:
        self._network = _network()
        self._novelty = Novelty()
        lag = round(self.LATENCY_HOPS - Novelty.LATENCY_HOPS)
        self._onsets: deque[float] = deque([0.0] * (lag + STEP_HOPS), maxlen=lag + STEP_HOPS)
        self._lows: deque[float] = deque([0.0] * (lag + STEP_HOPS), maxlen=lag + STEP_HOPS)

    def process(self, features: FeatureFrame) -> tuple[Activation, float]:
        """Every hop: what the network says, anew at every second, and the onset strength z of the last step."""
        heard = Activation(*map(float, self._network.process(features.bands)))
        self._onsets.append(self._novelty.process(features))
        self._lows.append(self._novelty.low)
        self.accent = max(self._lows[0], self._lows[1])
        return heard, max(self._onsets[0], self._onsets[1])


class Novelty:
    """Onsets of any kind, standardised: needs no training, knows nothing of beats."""

    LATENCY_HOPS = 3.0

    def __init__(self) -> None:
        self._top = np.full(N_NOVELTY, LEAST_TOP, np.float32)
        self._mean, self._square = 0.0, LEAST_SPREAD**2
        self.low = 0.0
        self._lm, self._ls = 0.0, LEAST_SPREAD**2

    def process(self, features: FeatureFrame) -> float:
        """Onset strength of one hop in standard deviations of the last seconds, within ONSET_LIMITS."""
        self._top *= TOP_KEEP
        np.maximum(self._top, features.novelty, out=self._top)
        if features.silent:
            self.low = 0.0
            return 0.0
        relative = features.novelty / self._top
        self.low = float(relative[0])
        novelty = float(BAND_WEIGHTS @ relative)
        self._mean += (novelty - self._mean) / (MEMORY_S * HOPS_PER_S)
        self._square += (novelty * novelty - self._square) / (MEMORY_S * HOPS_PER_S)
        spread = max(math.sqrt(max(self._square - self._mean**2, 0.0)), LEAST_SPREAD)
        self._lm += (self.low - self._lm) / (MEMORY_S * HOPS_PER_S)
        self._ls += (self.low * self.low - self._ls) / (MEMORY_S * HOPS_PER_S)
        self.low = min(max((self.low - self._lm) / max(math.sqrt(max(self._ls - self._lm**2, 0.0)), LEAST_SPREAD), ONSET_LIMITS[0]), ONSET_LIMITS[1])
        return min(max((novelty - self._mean) / spread, ONSET_LIMITS[0]), ONSET_LIMITS[1])
