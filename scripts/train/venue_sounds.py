"""Sounds of a venue that are no music: what an open microphone, a cable or somebody who tests the line brings.

Emits (n,) samples at RATE_HZ of any level; each draws its particulars from the generator that it is given.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.signal import butter, chirp, sosfilt

from k1edge.audio.synth import RATE_HZ

SECONDS = 12
SIZE = SECONDS * RATE_HZ
T = np.arange(SIZE) / RATE_HZ


def _hiss(rng: np.random.Generator, low_hz: float, high_hz: float, size: int = SIZE) -> np.ndarray:
    return sosfilt(butter(2, [low_hz, high_hz], "band", fs=RATE_HZ, output="sos"), rng.standard_normal(size))


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Of numbers that are judged by their ratio."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def _at_random(rng: np.random.Generator, per_s: float) -> np.ndarray:
    return rng.uniform(0, SECONDS, round(SECONDS * per_s))


def _scatter(rng: np.random.Generator, sounds: list[np.ndarray], at_s: np.ndarray) -> np.ndarray:
    """One of the sounds at each of the times, as loud as it happens to be."""
    out = np.zeros(SIZE)
    for start in (at_s[(at_s >= 0) & (at_s < SECONDS - 1)] * RATE_HZ).astype(int):
        sound = sounds[rng.integers(len(sounds))]
        out[start : start + len(sound)] += rng.exponential() * sound
    return out


def _ring(seconds: float, decay_s: float, *hz: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return sum(np.sin(2 * np.pi * f * t) for f in hz) * np.exp(-t / decay_s)


def _swell(depth: float, hz: float) -> np.ndarray:
    return 1 + depth * np.sin(2 * np.pi * hz * T)


def _buzz(phase: np.ndarray, harmonics: np.ndarray) -> np.ndarray:
    return sum(strength * np.sin(number * phase) for number, strength in enumerate(harmonics, 1))


def applause(rng: np.random.Generator) -> np.ndarray:
    """Fifteen to three hundred people, each with a pace of their own; some cheer."""
    claps = []
    for low_hz in rng.uniform(500, 1_200, 40):
        decay = np.exp(-np.arange(2_000) / RATE_HZ / rng.uniform(0.003, 0.012))
        claps.append(_hiss(rng, low_hz, low_hz * rng.uniform(2, 5), 2_000) * decay)
    periods_s = rng.uniform(0.2, 0.32, round(_between(rng, 15, 300)))
    at_s = np.concatenate([rng.uniform() + np.cumsum(rng.normal(period, 0.06 * period, 60)) for period in periods_s])
    clapped, voices = _scatter(rng, claps, at_s), _hiss(rng, 300, 3_500)
    return clapped / clapped.std() + rng.uniform(0, 2) * voices / voices.std()


def rain(rng: np.random.Generator) -> np.ndarray:
    """On a roof, drops to downpour."""
    drops = [_ring(0.02, 0.004, hz) for hz in rng.uniform(1_500, 8_000, 40)]
    return 0.3 * _hiss(rng, 1_000, 12_000) + _scatter(rng, drops, _at_random(rng, _between(rng, 20, 500)))


def motor(rng: np.random.Generator) -> np.ndarray:
    """A vacuum cleaner that goes to and fro."""
    knots = np.arange(0, SECONDS + 1, 0.6)
    hz, swell = (np.interp(T, knots, rng.normal(mean, spread, len(knots))) for mean, spread in ((200, 4), (1, 0.3)))
    return swell * (0.5 * _buzz(2 * np.pi * np.cumsum(hz) / RATE_HZ, 1 / np.arange(1, 9)) + 2 * _hiss(rng, 300, 6_000))


def fan(rng: np.random.Generator) -> np.ndarray:
    """Air that flutters."""
    return _hiss(rng, 60, rng.uniform(1_000, 6_000)) * _swell(rng.uniform(0.1, 0.9), rng.uniform(0.5, 12))


def generator(rng: np.random.Generator) -> np.ndarray:
    """A machine that hums, and breathes."""
    hum = _buzz(np.pi * rng.uniform(40, 130) * T, rng.uniform(0, 1, 12) / np.arange(1, 13))
    return hum * _swell(rng.uniform(0, 0.5), rng.uniform(0.5, 4)) + rng.uniform(0.02, 0.3) * rng.standard_normal(SIZE)


def crackle(rng: np.random.Generator) -> np.ndarray:
    """A bad contact."""
    clicks = [rng.standard_normal(130) * np.exp(-np.arange(130) / 44) for _ in range(40)]
    return _scatter(rng, clicks, _at_random(rng, _between(rng, 4, 200))) + 3e-4 * rng.standard_normal(SIZE)


def tone(rng: np.random.Generator) -> np.ndarray:
    """Of somebody who tests the line; every second one sweeps."""
    if rng.integers(2):
        return np.sin(2 * np.pi * _between(rng, 40, 8_000) * T)
    length_s = rng.uniform(3, SECONDS)
    return chirp(T % length_s, 20, length_s, 20_000, "logarithmic")


def glasses(rng: np.random.Generator) -> np.ndarray:
    """Over a murmur."""
    clinks = [_ring(0.5, 0.08, *rng.uniform(2_000, 7_000, 3)) for _ in range(20)]
    return _scatter(rng, clinks, _at_random(rng, rng.uniform(1, 5))) + 0.5 * _hiss(rng, 200, 3_000)


def babble(rng: np.random.Generator, voices: list[np.ndarray]) -> np.ndarray:
    """Five to twenty-five people at once, each in turn silent."""
    turns = np.repeat(rng.uniform(size=(25, SECONDS // 2)) < 0.6, 2 * RATE_HZ, axis=1) * rng.uniform(0.4, 1, (25, 1))
    chosen = [np.roll(voices[rng.integers(len(voices))], rng.integers(SIZE)) for _ in range(rng.integers(5, 26))]
    return sum(turn * np.resize(voice, SIZE) for turn, voice in zip(turns, chosen, strict=False))


def roughened(music: np.ndarray, seed: int) -> np.ndarray:
    """With rain or hiss over it, or through the filter of a DJ."""
    rng, kind = np.random.default_rng(seed), seed % 3
    if kind == 2:
        return sosfilt(butter(2, _between(rng, 800, 3_000), "high", fs=RATE_HZ, output="sos"), music)
    over = np.resize(rain(rng) if kind else _hiss(rng, 100, 10_000), len(music))
    return music + 10 ** (rng.uniform(-16, -6) / 20) * music.std() / over.std() * over


SOUNDS: tuple[Callable[[np.random.Generator], np.ndarray], ...] = (
    applause, rain, motor, fan, generator, crackle, tone, glasses,
)  # fmt: skip
