"""What a hop says about beats: probabilities, and what they weigh in the state space.

Consumes `FeatureFrame`, 100 a second; emits `Heard`, and what it weighs in one step of the bar pointer. Any source of
probabilities is worth the same to the tracker as long as they are honest.
"""

from __future__ import annotations

import math
from collections import deque
from operator import mul
from typing import NamedTuple

import numpy as np

from k1edge.beat.bar_pointer import METRES, ONSET_SHARE, STEP_HOPS
from k1edge.beat.network import DELAY_S, N_TEMPI, TEMPO_RANGE_BPM, BeatNetwork
from k1edge.dsp.features import N_NOVELTY
from k1edge.frames import HOPS_PER_S, FeatureFrame

BEAT_SHARE = 0.052
"""By which an activation is divided to become a likelihood ratio: lower favours fast levels, higher slow ones."""
DOWNBEAT_LOGITS = {4: (1.2, -0.83, 0.27, -0.48), 3: (1.48, -1.52, -1.25), 2: (1.66, -1.19), 5: (1.1, -2.7, -2.2, 1.35, -0.2)}
DOWNBEAT_SPREAD = 1.4
"""What the network says of a downbeat, given a beat, at each beat of a bar, as logits: mean and spread over rendered songs."""
BEAT_WEIGHT = 0.4
DOWNBEAT_WEIGHT = 0.07
"""Below 1 because neighbouring steps hear the same onset, and neighbouring beats the same music."""
HALF_SHARE, HALF_SLOPE, HALF_LIMITS, HALF_WEIGHT = 0.05, 0.6, (-0.5, 1.5), 0.3
"""The activation that is as usual half way between beats as elsewhere between them, and how fast the ratio grows with it."""
LLR_LIMITS = (-2.0, 3.5)
"""One step never decides: a missing onset costs less than a heard one earns."""
BANDS = (0.40, 0.20, 0.20, 0.20)
"""Of all regions; the kick is the lowest alone. The kick carries the beat in most music that is danced to."""
MEMORY_S, TOP_HALF_LIFE_S = 4.0, 4.0
TOP_KEEP = 0.5 ** (1 / (TOP_HALF_LIFE_S * HOPS_PER_S))
LEAST_TOP = 0.25
"""In units of novelty, about a tenth of a drum hit: below, a band is not stretched to look like onsets."""
LEAST_SPREAD = 0.05
ONSET_LIMITS = (-0.8, 3.0)
KICK_PATTERNS = {4: (0.62, -0.45, 0.16, -0.32), 3: (0.6, -0.3, -0.3), 2: (0.4, -0.4), 5: (0.6, -0.2, -0.1, -0.1, -0.2)}
"""Low-band onset strength at each beat of the bar less its mean, in standard deviations; 4/4 measured on rendered music."""
KICK_WEIGHT = 0.35
KICKS = np.array([strength for metre, _ in METRES for strength in KICK_PATTERNS[metre]], np.float32)
EXPECTED = np.array([logit for metre, _ in METRES for logit in DOWNBEAT_LOGITS[metre]], np.float32)
TEMPO_WEIGHT, TEMPO_MEMORY_S = 1.5, 8.0
"""What the network says of the tempo counts as so many opinions, averaged over so long: longer, and the song before goes on
counting (on the tune half as one stream, 30 s cost 5 s until locked anew at the third quartile)."""
TEMPO_SMOOTHING = 2.0
"""Classes on either side that count as the same tempo: the network chooses the level, the beats the tempo."""
TEMPO_FLOOR = 0.02
MUSIC_WEIGHT = 0.02
"""Per step: one second of clear speech or noise outweighs e ** 3."""


class Activation(NamedTuple):
    """Probabilities that a beat, and a downbeat, is heard in a hop, and that there is music with a beat at all."""

    beat: float
    downbeat: float
    music: float


class Heard(NamedTuple):
    """Everything one step hears: the activation, and the standardised onset strength of all bands and of the lowest."""

    activation: Activation
    onset: float
    kick: float
    tempi: np.ndarray | None = None
    """(N_TEMPI,) the network's probabilities of its tempo classes; overwritten by the next hop."""


def logit(p: float, low: float = 1e-3, high: float = 1 - 1e-3) -> float:
    """Of a probability, which is taken to lie between `low` and `high`."""
    p = min(max(p, low), high)
    return math.log(p / (1 - p))


def downbeat_logit(beat: float, downbeat: float) -> float:
    """Probabilities of both -> of a downbeat, given that there is a beat."""
    return logit(downbeat / max(beat, 1e-3), 0.02, 0.95)


BEAT_LOGIT, HALF_LOGIT = logit(BEAT_SHARE), logit(HALF_SHARE)


def evidence(heard: Activation) -> tuple[float, float]:
    """Probabilities -> log-likelihood ratios of a beat (Bayes, with BEAT_SHARE as prior), and of N."""
    llr = min(max(logit(heard.beat) - BEAT_LOGIT, LLR_LIMITS[0]), LLR_LIMITS[1])
    none = BEAT_WEIGHT * math.log1p(ONSET_SHARE * math.expm1(llr)) - MUSIC_WEIGHT * logit(heard.music)
    return BEAT_WEIGHT * llr, none


def half_evidence(heard: Activation) -> float:
    """How much likelier it is to hear this half way between two beats than anywhere else between them, as a log-ratio."""
    llr = HALF_SLOPE * (logit(heard.beat) - HALF_LOGIT)
    return HALF_WEIGHT * min(max(llr, HALF_LIMITS[0]), HALF_LIMITS[1])


def bar_evidence(heard: Activation, kick: float) -> np.ndarray:
    """(B,) log-weights of the beats of every metre: the network's downbeats, and where kicks are usual."""
    off = downbeat_logit(heard.beat, heard.downbeat) - EXPECTED
    off *= off
    off *= -DOWNBEAT_WEIGHT * heard.beat / (2 * DOWNBEAT_SPREAD**2)
    off += KICK_WEIGHT * kick * KICKS
    return off


def near_classes(tempi_bpm: np.ndarray) -> np.ndarray:
    """(I, N_TEMPI) which of the network's tempo classes speak of each tempo, 0..1."""
    low, high = np.log(TEMPO_RANGE_BPM)
    place = (np.log(tempi_bpm) - low) / (high - low) * N_TEMPI - 0.5
    return np.clip(TEMPO_SMOOTHING + 0.5 - np.abs(place[:, None] - np.arange(N_TEMPI)), 0.0, 1.0)


class TempoEvidence:
    """The network's tempo classes as log-weights of the tempi of a state space."""

    def __init__(self, tempi_bpm: np.ndarray) -> None:
        self._steps = 0
        self._octaves = np.log2(tempi_bpm[::-1])
        self._near = near_classes(tempi_bpm).astype(np.float32)
        self._mean, self._said, self._floor = np.zeros((3, len(tempi_bpm)), np.float32)
        self._floor[:] = TEMPO_FLOOR

    def process(self, tempi: np.ndarray) -> np.ndarray:
        """One step's (N_TEMPI,) probabilities -> (I,) log-weights as they are now."""
        self._steps += 1
        gain = max(1 / self._steps, STEP_HOPS / (TEMPO_MEMORY_S * HOPS_PER_S))
        said = np.dot(self._near, tempi.astype(np.float32, copy=False), out=self._said)
        np.maximum(said, self._floor, out=said)
        np.log(said, out=said)
        np.subtract(said, self._mean, out=said)
        said *= gain
        self._mean += said
        return TEMPO_WEIGHT * self._mean

    def doubt(self, bpm: float) -> float:
        """How much less probable than the best the network thinks this tempo is, as a log-ratio: 0 or more."""
        place = len(self._octaves) - 1 - int(self._octaves.searchsorted(math.log2(bpm)))
        return float(np.maximum.reduce(self._mean) - self._mean[max(place, 0)])


class Ears:
    """The network and the novelty, both about the sound LATENCY_HOPS ago."""

    LATENCY_HOPS = DELAY_S * HOPS_PER_S

    def __init__(self) -> None:
        self._network = BeatNetwork()
        self._novelty = Novelty()
        lag = round(self.LATENCY_HOPS - Novelty.LATENCY_HOPS)
        self._late = deque([(0.0, 0.0)] * (lag + STEP_HOPS), maxlen=lag + STEP_HOPS)

    def process(self, features: FeatureFrame) -> Heard:
        """Every hop; the network speaks anew at every second, onsets are those of the last two."""
        activation = Activation(*self._network.process(features.bands).tolist())
        self._late.append(self._novelty.process(features))
        (onset, kick), (next_onset, next_kick) = self._late[0], self._late[1]
        return Heard(activation, max(onset, next_onset), max(kick, next_kick), self._network.tempi)


class Novelty:
    """Onsets of any kind, standardised: needs no training, knows nothing of beats."""

    LATENCY_HOPS = 3.0

    def __init__(self) -> None:
        self._tops = [LEAST_TOP] * N_NOVELTY
        self._all, self._kick = Standard(), Standard()

    def process(self, features: FeatureFrame) -> tuple[float, float]:
        """Onset strength of all bands and of the lowest, in standard deviations of the last seconds."""
        novelty = features.novelty.tolist()
        self._tops = tops = [max(top * TOP_KEEP, each) for top, each in zip(self._tops, novelty, strict=True)]
        if features.silent:
            return 0.0, 0.0
        shares = [each / top for each, top in zip(novelty, tops, strict=True)]
        return self._all.process(sum(map(mul, BANDS, shares))), self._kick.process(shares[0])


class Standard:
    """One quantity in standard deviations of its last seconds."""

    def __init__(self) -> None:
        self._mean, self._square = 0.0, LEAST_SPREAD**2

    def process(self, value: float) -> float:
        """Within ONSET_LIMITS."""
        gain = 1 / (MEMORY_S * HOPS_PER_S)
        self._mean += gain * (value - self._mean)
        self._square += gain * (value * value - self._square)
        spread = math.sqrt(max(self._square - self._mean**2, LEAST_SPREAD**2))
        return min(max((value - self._mean) / spread, ONSET_LIMITS[0]), ONSET_LIMITS[1])
