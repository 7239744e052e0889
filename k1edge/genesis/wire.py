"""What is on the wire: music, speech, silence or noise, with a confidence.

Consumes `FeatureFrame`, `Hearing` and `BeatState`, emits `Wire`, 100 a second, decided five times a second. Looks
back WINDOW_S: speech stops and starts several times a second and holds no pitch, noise does neither, music keeps
pitches or a beat. Eleven such measures and their squares go into a linear softmax (fitted by
`scripts/train/wire.py`), the odds of a locked beat that is heard count for music on top, and a filter keeps the answer until
another has been likelier for a while.

Cost: 3 us a hop, 150 us each fifth of a second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.fft  # which numpy loads at its first use, in the middle of a hop

from k1edge.frames import HOPS_PER_S, BeatState, FeatureFrame
from k1edge.genesis.hearing import N_GROUPS, Hearing
from k1edge.genesis.sections import packaged

SAMPLE_HOPS = 4
WINDOW_S = 3.0
ROWS = round(WINDOW_S * HOPS_PER_S / SAMPLE_HOPS)
DECIDE_HOPS = 20
DIP_DB = 10.0
SYLLABLES_HZ = (2.5, 8.0)
LOWEST_DBFS = -75.0
LOWEST_POWER = 1e-9
STATES = ("music", "speech", "noise")
MUSIC, _, NOISE = range(len(STATES))
START = np.array([0.5, 0.25, 0.25])
SILENT_HOPS = 100
"""Longer than the pauses of a speaker."""
ROWS_NEEDED = 38
"""A second and a half, before the first answer."""
BEGINNING = 3
"""Rows: that something begins after a silence is no onset in it, or all that hums and hisses would have had one."""
TEMPER = 0.35
"""Windows overlap 15 times: each is so much less news."""
SWITCH = np.array([0.004, 0.02, 0.02])
"""Chance, at each decision, that what is on the wire has just changed: music goes on for hours, and its quiet parts pass."""
SWITCH_AT = 0.7
SURE, MOST_SURE = 0.85, 0.95
"""Of a beat that is heard, whose log-odds count for music: not against clapping in which somebody may hear a beat, whose
confidence is about a half. One that is SURE outweighs what sounds like noise: kick and hats alone sound like nothing else."""
MOST_NOISE = math.log(SURE / (1 - SURE))
CONFIDENCE_STEP = 0.1
N_COLUMNS = 1 + N_GROUPS + 12 + 3


@cache
def _syllable_filter(n: int) -> tuple[np.ndarray, slice]:
    """(n,) window, and the bins of its spectrum in which syllables show."""
    hz = np.fft.rfftfreq(n, SAMPLE_HOPS / HOPS_PER_S)
    return np.hanning(n), slice(*np.searchsorted(hz, SYLLABLES_HZ).tolist())


def _median(values: np.ndarray) -> float:
    ordered, n = np.sort(values), len(values)
    return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2


def clues(rows: np.ndarray) -> np.ndarray:
    """(11,) measures of (n, N_COLUMNS) rows of level, groups in dB, chroma, percussive share, voiced dB, novelty."""
    level, groups, chroma = rows[:, 0], rows[:, 1 : 1 + N_GROUPS], rows[:, 1 + N_GROUPS : 13 + N_GROUPS]
    mean = level.mean()
    window, bins = _syllable_filter(len(level))
    spectrum = np.abs(np.fft.rfft((level - mean) * window)) ** 2
    syllables = spectrum[bins].sum() / (spectrum[1:].sum() + 1e-6)
    lag = 5
    norm = np.sqrt((chroma**2).sum(axis=1)) + 1e-6
    held = ((chroma[lag:] * chroma[:-lag]).sum(axis=1) / (norm[lag:] * norm[:-lag])).mean()
    whole, novelty = chroma.mean(axis=0), rows[:, -1]
    return np.array([
        np.log10(level.std() + 0.1),
        (level < mean - DIP_DB).mean(),
        np.log10(groups.std(axis=0).mean() + 0.1),
        syllables,
        held,
        whole.max() / (whole.mean() + 1e-6) / 3,
        rows[:, -3].mean(),
        (rows[:, -2] - level).mean() / 10,
        (groups[:, :2].max(axis=1) - level).mean() / 20,
        np.log10(novelty.mean() + 0.01),
        np.log10((novelty.max() + 0.01) / (_median(novelty) + 0.01)),
    ])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Wire:
    """What is on the wire."""

    state: str
    """music, speech, silence or noise."""
    confidence: float
    since: int


class WireWatch:
    """Features, hearing and beats in, `Wire` out; one per stream."""

    def __init__(self) -> None:
        weights = packaged("wire.npz")
        self._matrix, self._bias = weights["matrix"], weights["bias"]
        self.rows = np.zeros((ROWS, N_COLUMNS))
        """What was heard in the last WINDOW_S, newest last, of which `known` rows are."""
        self.known = self._hops = self._silent_hops = 0
        self._novelty = 0.0
        self._belief = START.copy()
        self._wire = Wire("silence", 1.0, 0)

    def process(self, features: FeatureFrame, hearing: Hearing, beat: BeatState, *, builds: bool = False) -> Wire:
        """What is on the wire after one hop. `builds`: what sounds like noise may be a riser."""
        self.remember(features, hearing)
        self._silent_hops = self._silent_hops + 1 if features.silent else 0
        if self._silent_hops >= SILENT_HOPS:
            self.known = 0
            self._belief[:] = START
            return self._say("silence", 1.0, features.end)
        if self._hops % DECIDE_HOPS == 0 and self.known >= ROWS_NEEDED:
            self._decide(beat, builds)
            best = int(self._belief.argmax())
            if self._belief[best] > SWITCH_AT:
                return self._say(STATES[best], float(self._belief[best]), features.end)
        return self._wire

    def remember(self, features: FeatureFrame, hearing: Hearing) -> bool:
        """Takes in one hop; True when that made a row."""
        self._hops += 1
        self._novelty = max(self._novelty, sum(features.novelty.tolist()))
        if self._hops % SAMPLE_HOPS:
            return False
        rows = self.rows
        rows[:-1] = rows[1:]
        row = rows[-1]
        row[0] = max(hearing.level_dbfs, LOWEST_DBFS)
        row[1 : 1 + N_GROUPS] = 10 * np.log10(np.maximum(hearing.groups, LOWEST_POWER))
        row[1 + N_GROUPS : 13 + N_GROUPS] = features.chroma
        novelty = self._novelty if self.known >= BEGINNING else 0.0
        row[-3:] = hearing.percussive, max(hearing.voiced_dbfs, LOWEST_DBFS), novelty
        self._novelty = 0.0
        self.known = min(self.known + 1, ROWS)
        return True

    def _decide(self, beat: BeatState, builds: bool) -> None:
        measured = clues(self.rows[ROWS - self.known :])
        score = TEMPER * (self._matrix @ np.concatenate([measured, measured**2]) + self._bias)
        is_heard = beat.lock and not beat.coasting
        most = 0.0 if builds and is_heard else MOST_NOISE
        score[NOISE] = min(score[NOISE], score[MUSIC] + most)
        if is_heard:
            sure = min(max(beat.confidence, 0.5), MOST_SURE)
            score[MUSIC] += math.log(sure / (1 - sure))
        left = self._belief * SWITCH
        self._belief += left.sum() / len(STATES) - left
        self._belief *= np.exp(score - score.max())
        self._belief /= self._belief.sum()

    def _say(self, state: str, confidence: float, end: int) -> Wire:
        if state != self._wire.state:
            self._wire = Wire(state, confidence, end)
        elif abs(confidence - self._wire.confidence) > CONFIDENCE_STEP:
            self._wire = Wire(state, confidence, self._wire.since)
        return self._wire
