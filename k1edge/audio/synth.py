"""Sounds whose truth is known exactly: clicks, four on the floor, noise, silence, hum; and an array as a source.

Emits `Sound`s: float32 mono samples with the beats that are in them, in seconds from sample 0.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from k1edge.audio import instruments
from k1edge.audio.blocks import blocks
from k1edge.frames import AudioBlock, StreamFormat

RATE_HZ = 44_100
LEAD_IN_S = 0.5
"""Silence before the first beat, so that it is an onset and not the start of the file."""


@dataclass(frozen=True, slots=True)
class Span:
    """One section of the form, labelled as in `frames.SECTION_LABELS`."""

    label: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Truth:
    """What is in a sound, exactly."""

    beats_s: np.ndarray = field(default_factory=lambda: np.empty(0))
    downbeats_s: np.ndarray = field(default_factory=lambda: np.empty(0))
    sections: tuple[Span, ...] = ()
    builds_s: tuple[float, ...] = ()
    """Where tension begins to rise, whether or not a drop follows."""
    drops_s: tuple[float, ...] = ()
    fake_drops_s: tuple[float, ...] = ()
    """Where a build ends and no drop comes."""
    bpm: float = 0.0
    """0.0 when the tempo is not constant, or there is none."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Samples and their truth."""

    samples: np.ndarray
    """(n,) float32 mono, -1..1, read-only."""
    rate_hz: int
    truth: Truth = field(default_factory=Truth)
    stereo: np.ndarray | None = None
    """(n, 2) float32, where the sound has width; `samples` is its mean."""

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.rate_hz


def _sound(samples: np.ndarray, rate_hz: int, truth: Truth | None = None) -> Sound:
    samples = samples.astype(np.float32, copy=False)
    samples.flags.writeable = False
    return Sound(samples, rate_hz, truth or Truth())


def _place(one_shot: np.ndarray, at_s: np.ndarray, out: np.ndarray, rate_hz: int, *, gain: float = 1.0) -> None:
    for start in np.round(np.asarray(at_s) * rate_hz).astype(int):
        part = one_shot[: max(0, len(out) - start)]
        out[start : start + len(part)] += part * np.float32(gain)


def _grid(bpm: float, seconds: float) -> np.ndarray:
    return np.arange(LEAD_IN_S, seconds - 0.05, 60 / bpm)


def _metrical(beats_s: np.ndarray, bpm: float) -> Truth:
    return Truth(beats_s=beats_s, downbeats_s=beats_s[::4], bpm=bpm)


def clicks_at(beats_s: np.ndarray, seconds: float, rate_hz: int = RATE_HZ, bpm: float = 0.0) -> Sound:
    """A 10 ms woodblock tick at each of the given times; every fourth is higher. `bpm`: 0.0 where they are not regular."""
    t = np.arange(round(0.03 * rate_hz)) / rate_hz
    low, high = (np.sin(2 * np.pi * f * t) * np.exp(-t / 0.006) * 0.7 for f in (1_000.0, 1_600.0))
    out = np.zeros(round(seconds * rate_hz), np.float32)
    _place(low, np.delete(beats_s, np.s_[::4]), out, rate_hz)
    _place(high, beats_s[::4], out, rate_hz)
    return _sound(out, rate_hz, _metrical(np.asarray(beats_s), bpm))


def clicks(bpm: float, seconds: float, rate_hz: int = RATE_HZ) -> Sound:
    """Ticks at a constant tempo."""
    return clicks_at(_grid(bpm, seconds), seconds, rate_hz, bpm)


def four_on_the_floor(bpm: float, seconds: float, rate_hz: int = RATE_HZ) -> Sound:
    """Kick on each beat, clap on two and four, hats between, and a bass note that changes with the bar."""
    beats_s = _grid(bpm, seconds)
    period_s = 60 / bpm
    kit = instruments.Kit()
    out = np.zeros(round(seconds * rate_hz), np.float32)
    _place(instruments.kick(kit, rate_hz), beats_s, out, rate_hz, gain=0.6)
    _place(instruments.snare(kit, rate_hz), np.sort(np.r_[beats_s[1::4], beats_s[3::4]]), out, rate_hz, gain=0.3)
    _place(instruments.hat(kit, rate_hz), beats_s + period_s / 2, out, rate_hz, gain=0.15)
    bass = instruments.Timbre(wave="saw", bright_hz=900, dark_hz=250)
    for step, semitone in enumerate((33, 29, 36, 31)):
        note = instruments.voice(bass, instruments.pitch_hz(semitone), period_s * 0.4, rate_hz)[0]
        in_bar = beats_s[(np.arange(len(beats_s)) // 4) % 4 == step]
        _place(note, in_bar + period_s / 2, out, rate_hz, gain=0.18)
    return _sound(np.tanh(out), rate_hz, _metrical(beats_s, bpm))


def silence(seconds: float, rate_hz: int = RATE_HZ) -> Sound:
    """Digital silence."""
    return _sound(np.zeros(round(seconds * rate_hz), np.float32), rate_hz)


def noise(
    seconds: float, level_dbfs: float = -20.0, colour: str = "white", rate_hz: int = RATE_HZ, *, seed: int = 0
) -> Sound:
    """White or pink noise of an RMS level; pink falls 3 dB per octave from 20 Hz."""
    slopes = {"white": np.ones_like, "pink": lambda f: np.where(f < 20, 0, 1 / np.sqrt(np.maximum(f, 20)))}
    samples = instruments.shaped_noise(seconds, rate_hz, slopes[colour], seed)
    return _sound(np.clip(samples * 10 ** (level_dbfs / 20), -1, 1), rate_hz)


def hum(seconds: float, level_dbfs: float = -40.0, mains_hz: float = 50.0) -> Sound:
    """Mains hum of an RMS level: the fundamental and its first odd and even harmonics."""
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave = sum(gain * np.sin(2 * np.pi * mains_hz * n * t) for n, gain in ((1, 1.0), (2, 0.5), (3, 0.4), (5, 0.2)))
    return _sound(wave / np.sqrt(np.mean(wave**2)) * 10 ** (level_dbfs / 20), RATE_HZ)


class SynthSource:
    """Any array of mono samples as a source."""

    def __init__(self, samples: np.ndarray, rate_hz: int, paced: bool = False, repeat: bool = False) -> None:
        """`repeat`: over and over, without end."""
        self.fmt = StreamFormat(rate_hz)
        self._samples = samples
        self._paced = paced
        self._repeat = repeat

    def __iter__(self) -> Iterator[AudioBlock]:
        chunks = itertools.repeat(self._samples) if self._repeat else (self._samples,)
        return blocks(chunks, self.fmt, self._paced)

    def close(self) -> None:
        """Nothing is held."""
