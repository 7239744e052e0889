"""Plays samples through features and a tracker, as the pipeline does, and says what was announced."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from k1edge.audio import instruments
from k1edge.beat.tracker import make_tracker
from k1edge.config import BeatSettings
from k1edge.dsp.features import FeatureExtractor
from k1edge.frames import AudioBlock, BeatEvent, BeatState, StreamFormat
from k1edge.live import checkpoint

RATE_HZ = 44_100


@dataclass(frozen=True)
class Heard:
    """Everything a tracker said of one stream."""

    states: list[BeatState]
    fmt: StreamFormat

    @property
    def lines(self) -> list[tuple[float, BeatEvent]]:
        """(announced_s, event), corrections included."""
        return [(self.fmt.seconds(s.end), s.announced) for s in self.states if s.announced]

    @property
    def due_s(self) -> np.ndarray:
        """Final due time of each number."""
        return np.array(list({e.number: self.fmt.seconds(e.due) for _, e in self.lines}.values()))

    def due_between(self, first_s: float, last_s: float) -> np.ndarray:
        due = self.due_s
        return due[(due >= first_s) & (due < last_s)]

    def at(self, seconds: float) -> BeatState:
        return self.states[min(round(seconds * 100), len(self.states) - 1)]


class Player:
    """One stream that can be played in pieces, with hands on the tracker between."""

    def __init__(self, rate_hz: int = RATE_HZ, prior=None, **settings) -> None:
        self.fmt = StreamFormat(rate_hz)
        self._features = FeatureExtractor(self.fmt)
        self.tracker = make_tracker(BeatSettings(**settings), self.fmt, prior)
        self.heard = Heard([], self.fmt)
        self.at = 0

    def play(self, samples: np.ndarray) -> Heard:
        hop = self.fmt.hop
        for first in range(0, len(samples) - hop + 1, hop):
            block = AudioBlock(samples[first : first + hop], self.at, 0)
            self.heard.states.append(self.tracker.process(block, self._features.process(block)))
            self.at += hop
        return self.heard

    def twin(self) -> Player:
        """Another that has heard the same, and goes on by itself."""
        twin = copy.copy(self)
        twin._features, twin.tracker = checkpoint.loads(checkpoint.dumps((self._features, self.tracker)))
        twin.heard = Heard([*self.heard.states], self.fmt)
        return twin

    def lose(self, hops: int) -> None:
        """That many hops never arrive."""
        self.at += hops * self.fmt.hop


def play(samples: np.ndarray, rate_hz: int = RATE_HZ, **settings) -> Heard:
    return Player(rate_hz, **settings).play(samples)


def errors_s(due_s: np.ndarray, truth_s: np.ndarray) -> np.ndarray:
    """How much later than the nearest true beat each is; negative when earlier."""
    return np.array([d - truth_s[np.abs(truth_s - d).argmin()] for d in due_s])


def hit_share(due_s: np.ndarray, truth_s: np.ndarray, within_s: float = 0.07) -> float:
    """Share of the true beats that have an announced one near."""
    return float(np.mean([np.abs(due_s - t).min() <= within_s for t in truth_s])) if len(due_s) else 0.0


def kit_at(seconds: float, *parts: tuple[np.ndarray, np.ndarray, float], rate_hz: int = RATE_HZ) -> np.ndarray:
    """Each part is (one shot, times, gain)."""
    out = np.zeros(round(seconds * rate_hz), np.float32)
    for shot, times_s, gain in parts:
        for start in np.round(np.asarray(times_s) * rate_hz).astype(int):
            piece = shot[: max(len(out) - start, 0)]
            out[start : start + len(piece)] += piece * np.float32(gain)
    return out


def kick() -> np.ndarray:
    return instruments.kick(instruments.Kit(), RATE_HZ)


def hat() -> np.ndarray:
    return instruments.hat(instruments.Kit(), RATE_HZ)


def snare() -> np.ndarray:
    return instruments.snare(instruments.Kit(), RATE_HZ)


def babble(seconds: float, seed: int = 7) -> np.ndarray:
    """What speech is to a beat tracker: voiced and unvoiced syllables of 80-350 ms with irregular gaps and pauses."""
    rng = np.random.default_rng(seed)
    out = np.zeros(round(seconds * RATE_HZ), np.float32)
    at_s = 0.3
    while at_s < seconds - 0.5:
        length = round(rng.uniform(0.08, 0.35) * RATE_HZ)
        t = np.arange(length) / RATE_HZ
        pitch_hz = rng.uniform(95, 180) * (1 + 0.1 * np.sin(2 * np.pi * rng.uniform(1, 4) * t))
        phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
        voiced = sum(np.sin(n * phase) / n for n in range(1, 18))
        syllable = voiced if rng.random() < 0.7 else np.diff(rng.standard_normal(length + 1))
        start = round(at_s * RATE_HZ)
        out[start : start + length] += (syllable * np.hanning(length) * rng.uniform(0.05, 0.15)).astype(np.float32)
        at_s += length / RATE_HZ + rng.exponential(0.06) + (rng.random() < 0.12) * rng.uniform(0.2, 0.9)
    return out
