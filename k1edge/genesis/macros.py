"""The five controls a K1 understands, from what the ear separated.

Consumes `Hearing`, emits `Macros` (each 0..1), 100 a second. Levels are scaled as loudness is felt: 10 dB less is
half as much (Stevens 1955). Each has its own slow peak as the reference, so a quiet venue and a loud one look alike;
the references freeze while the line is silent, so hiss is never amplified into a dance.

Cost: about 6 us a hop.
"""

from __future__ import annotations

import math

from k1edge.frames import HOPS_PER_S, Macros
from k1edge.genesis.hearing import Hearing

GAIN_RISE_S = 0.5
GAIN_FALL_DB_PER_S = 0.25
"""Forgets a chorus (6 dB louder) over about half a minute: a breakdown stays visibly quieter."""
GAIN_START_DBFS = -40.0
BASS_HEADROOM_DB = 14.0
VOICE_HEADROOM_DB = 10.0
"""A part this far below the whole is absent, not to be amplified to full scale."""
RISE_S, FALL_S = 0.04, 0.25
SLOW_S = 0.6
BRIGHTNESS_HZ = (300.0, 6_000.0)
PERCUSSIVE_SHARE = (0.35, 0.85)
"""Measured: sustained chords give 0.3, drum loops 0.8 and more."""
NOTHING = (0.0,) * 5


def _coefficient(seconds: float) -> float:
    return 1 - math.exp(-1 / (seconds * HOPS_PER_S))


def _clip(x: float) -> float:
    return 0.0 if x < 0.0 else 1.0 if x > 1.0 else x


class _Reference:
    """A slow peak in dB that freezes in silence."""

    def __init__(self) -> None:
        self.dbfs = GAIN_START_DBFS
        self._rise = _coefficient(GAIN_RISE_S)

    def follow(self, level_dbfs: float, lowest_dbfs: float) -> None:
        gap = max(level_dbfs, lowest_dbfs) - self.dbfs
        self.dbfs += self._rise * gap if gap > 0 else max(gap, -GAIN_FALL_DB_PER_S / HOPS_PER_S)


class _Smooth:
    """One-pole follower with its own rise and fall."""

    def __init__(self, rise_s: float, fall_s: float) -> None:
        self._rise, self._fall = _coefficient(rise_s), _coefficient(fall_s)
        self.value = 0.0

    def follow(self, x: float) -> float:
        self.value += (self._rise if x > self.value else self._fall) * (x - self.value)
        return _clip(self.value)


class MacroMeter:
    """Hearing in, macros out; one per stream."""

    def __init__(self) -> None:
        self._whole, self._bass, self._voice = _Reference(), _Reference(), _Reference()
        self._energy, self._bass_weight = _Smooth(RISE_S, FALL_S), _Smooth(RISE_S, FALL_S)
        self._vocal, self._percussive = _Smooth(SLOW_S, SLOW_S), _Smooth(RISE_S, SLOW_S)
        self._brightness = _Smooth(FALL_S, SLOW_S)

    def process(self, hearing: Hearing) -> Macros:
        """One set of macros for one hop."""
        if hearing.silent:
            return self._smoothed(NOTHING)
        level, struck, whole, bass, voice = hearing.level_dbfs, hearing.percussive, self._whole, self._bass, self._voice
        whole.follow(level, GAIN_START_DBFS)
        bass.follow(hearing.bass_dbfs, whole.dbfs - BASS_HEADROOM_DB)
        voice.follow(hearing.voiced_dbfs, whole.dbfs - VOICE_HEADROOM_DB)
        low, high = BRIGHTNESS_HZ
        soft, hard = PERCUSSIVE_SHARE
        loudness = 2 ** ((level - whole.dbfs) / 10)
        return self._smoothed((
            loudness,
            2 ** ((hearing.voiced_dbfs - voice.dbfs) / 10) * (1 - struck),
            2 ** ((hearing.bass_dbfs - bass.dbfs) / 10),
            _clip((struck - soft) / (hard - soft)) * loudness,
            math.log(max(hearing.centroid_hz, low) / low) / math.log(high / low),
        ))

    def _smoothed(self, raw: tuple[float, float, float, float, float]) -> Macros:
        energy, vocal, bass, percussive, brightness = raw
        return Macros(
            self._energy.follow(energy),
            self._vocal.follow(vocal),
            self._bass_weight.follow(bass),
            self._percussive.follow(percussive),
            self._brightness.follow(brightness),
        )
