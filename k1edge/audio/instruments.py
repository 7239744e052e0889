"""Drums, voices and effects made from arithmetic alone: what the demo song and the random arrangements are played on.

Emits float32 one-shots: drums and effects (n,), sustained voices (2, n) for left and right; peaks near 1. Every tone is
band-limited (drawn from its harmonics), so nothing aliases at 44.1 or 48 kHz. The same arguments give the same samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

TABLE = 4096
"""Samples in one drawn cycle: linear reading between them keeps errors below -80 dB."""
FADE_S = 0.003
"""Ends of every note: short enough to stay crisp, long enough not to click."""
IMPACT_SEED, RISER_SEED = 5, 6
RISER_HZ = (350.0, 800.0, 1_800.0, 4_000.0, 8_500.0)
RISER_LOOP = 2**17


@dataclass(frozen=True, slots=True)
class Kit:
    """One drum kit: how its drums are tuned and how long they ring."""

    kick_hz: float = 48.0
    kick_sweep_hz: float = 210.0
    kick_s: float = 0.32
    kick_drive: float = 1.6
    snare_hz: float = 186.0
    snare_noise: float = 0.75
    snare_s: float = 0.2
    clap: bool = True
    hat_hz: float = 7_500.0
    hat_s: float = 0.035
    open_hat_s: float = 0.16
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Timbre:
    """One tonal voice: harmonics, how bright it starts and stays, detuned unison, and its shape in time."""

    wave: str = "saw"
    """saw | square | triangle | sine | organ | bell."""
    bright_hz: float = 6_000.0
    dark_hz: float = 900.0
    bright_s: float = 0.12
    """Time constant from bright to dark: the filter envelope."""
    voices: int = 1
    detune: float = 0.006
    attack_s: float = 0.004
    decay_s: float = 0.3
    sustain: float = 0.7
    release_s: float = 0.06


def _time(seconds: float, rate_hz: int) -> np.ndarray:
    return np.arange(round(seconds * rate_hz), dtype=np.float32) / np.float32(rate_hz)


def faded(samples: np.ndarray, rate_hz: int, fade_in: bool = False) -> np.ndarray:
    """The same sound with its last (and first) 3 ms drawn to zero, in place."""
    n = min(round(FADE_S * rate_hz), samples.shape[-1] // 2)
    ramp = np.linspace(0, 1, n, dtype=np.float32)
    samples[..., samples.shape[-1] - n :] *= ramp[::-1]
    if fade_in:
        samples[..., :n] *= ramp
    return samples


def peaked(samples: np.ndarray) -> np.ndarray:
    """Scaled to a peak of 1."""
    return (samples / max(float(np.abs(samples).max()), 1e-9)).astype(np.float32)


def shaped_noise(seconds: float, rate_hz: int, gain_at: Callable[[np.ndarray], np.ndarray], seed: int) -> np.ndarray:
    """(n,) noise whose spectrum follows `gain_at(freqs_hz)`, RMS 1; made in double precision so that it repeats."""
    wanted = round(seconds * rate_hz)
    size = 1 << (wanted - 1).bit_length()  # a length the transform is quick at; the rest is cut off
    noise = np.random.default_rng(seed).standard_normal(size)
    spectrum = np.fft.rfft(noise) * gain_at(np.fft.rfftfreq(size, 1 / rate_hz))
    shaped = np.fft.irfft(spectrum, size)[:wanted]
    return (shaped / max(float(np.sqrt(np.mean(shaped**2))), 1e-12)).astype(np.float32)


def _band(low_hz: float, high_hz: float) -> Callable[[np.ndarray], np.ndarray]:
    def gain_at(freqs_hz: np.ndarray) -> np.ndarray:
        f = np.maximum(freqs_hz, 1.0)
        return 1 / np.sqrt(1 + (low_hz / f) ** 8) / np.sqrt(1 + (f / high_hz) ** 8)

    return gain_at


def kick(kit: Kit, rate_hz: int) -> np.ndarray:
    """A sine that falls into its pitch, driven a little, with a short beater click."""
    t = _time(kit.kick_s, rate_hz)
    fall_s = 0.028
    phase = kit.kick_hz * t + kit.kick_sweep_hz * fall_s * (1 - np.exp(-t / fall_s))
    ringing = np.exp(-t / (kit.kick_s * 0.42))
    body = np.tanh(kit.kick_drive * np.sin(2 * np.pi * phase)) * ringing
    # A falling sine is not symmetric: without this a row of kicks would shift the whole song off zero.
    pedestal = ringing * (1 - np.exp(-t / 0.003))
    body -= pedestal * (body.sum() / pedestal.sum())
    click = shaped_noise(kit.kick_s, rate_hz, _band(1_500, 9_000), kit.seed) * np.exp(-t / 0.0025)
    return faded(peaked(body + 0.09 * click), rate_hz)


def snare(kit: Kit, rate_hz: int) -> np.ndarray:
    """Two drum-head modes under rattling wires; or a hand clap, which is four quick slaps and a tail."""
    t = _time(kit.snare_s + 0.1, rate_hz)
    if kit.clap:
        noise = shaped_noise(kit.snare_s + 0.1, rate_hz, _band(900, 5_500), kit.seed + 1)
        slaps = sum(np.where(t >= at, np.exp(-(t - at).clip(0) / 0.004), 0) for at in (0.0, 0.009, 0.019))
        tail = np.where(t >= 0.028, np.exp(-(t - 0.028).clip(0) / (kit.snare_s * 0.35)), 0)
        return faded(peaked(noise * (0.7 * slaps + tail)), rate_hz)
    modes = np.sin(2 * np.pi * kit.snare_hz * t) + 0.6 * np.sin(2 * np.pi * kit.snare_hz * 1.78 * t)
    wires = shaped_noise(kit.snare_s + 0.1, rate_hz, _band(1_200, 11_000), kit.seed + 1)
    head = (1 - kit.snare_noise) * modes * np.exp(-t / 0.055)
    return faded(peaked(head + 0.4 * kit.snare_noise * wires * np.exp(-t / (kit.snare_s * 0.4))), rate_hz)


def hat(kit: Kit, rate_hz: int, is_open: bool = False) -> np.ndarray:
    """Bright noise, closed (a tick) or open (a sizzle)."""
    decay_s = kit.open_hat_s if is_open else kit.hat_s
    t = _time(decay_s * 5, rate_hz)
    noise = shaped_noise(decay_s * 5, rate_hz, _band(kit.hat_hz, 16_000), kit.seed + 2 + is_open)
    return faded(peaked(noise * np.exp(-t / decay_s) * (1 - np.exp(-t / 0.0008))), rate_hz)


def crash(kit: Kit, rate_hz: int) -> np.ndarray:
    """A cymbal that marks a new section."""
    t = _time(2.2, rate_hz)
    noise = shaped_noise(2.2, rate_hz, _band(3_800, 15_000), kit.seed + 4)
    return faded(peaked(noise * (0.75 * np.exp(-t / 0.5) + 0.25 * np.exp(-t / 0.04))), rate_hz)


def tom(pitch_hz: float, rate_hz: int) -> np.ndarray:
    """A round drum for fills."""
    t = _time(0.3, rate_hz)
    phase = pitch_hz * (t + 0.012 * (1 - np.exp(-t / 0.02)))
    return faded(peaked(np.sin(2 * np.pi * phase) * np.exp(-t / 0.09) * (1 - np.exp(-t / 0.001))), rate_hz)


def impact(rate_hz: int) -> np.ndarray:
    """The boom under the first beat of a drop."""
    t = _time(2.0, rate_hz)
    phase = 36 * t + 60 * 0.12 * (1 - np.exp(-t / 0.12))
    boom = np.sin(2 * np.pi * phase) * np.exp(-t / 0.55)
    dust = shaped_noise(2.0, rate_hz, _band(200, 2_500), IMPACT_SEED) * np.exp(-t / 0.3)
    return faded(peaked(boom + 0.16 * dust), rate_hz)


def riser(seconds: float, rate_hz: int) -> np.ndarray:
    """Noise that climbs from dark to bright and from nothing to loud: tension before a drop."""
    t = _time(seconds, rate_hz) / np.float32(seconds)
    at = t * (len(RISER_HZ) - 1)
    rising = np.zeros_like(t)
    for number, centre_hz in enumerate(RISER_HZ):
        # Noise of this length ends where it began, so it can be repeated without a seam.
        loop = shaped_noise(RISER_LOOP / rate_hz, rate_hz, _band(centre_hz / 1.6, centre_hz * 1.6), RISER_SEED + number)
        rising += np.resize(loop, len(t)) * np.exp(-((at - number) ** 2) / 0.9)
    return faded(peaked(rising * t**1.7), rate_hz)


def _harmonics(wave: str, count: int) -> np.ndarray:
    n = np.arange(1, count + 1)
    odd = n % 2 == 1
    match wave:
        case "saw":
            return 1 / n
        case "square":
            return odd / n
        case "triangle":
            return odd * np.where(n % 4 == 1, 1.0, -1.0) / n**2
        case "sine":
            return (n == 1).astype(float)
        case "organ":
            return np.isin(n, (1, 2, 3, 4, 6, 8)) / np.sqrt(n)
        case "bell":
            return np.isin(n, (1, 3, 7, 10)) / n
    raise ValueError(f"no wave is called {wave!r}")


def _cycle(wave: str, pitch_hz: float, cutoff_hz: float, rate_hz: int) -> np.ndarray:
    """(TABLE + 1,) one cycle from all harmonics below 20 kHz or Nyquist, behind a 12 dB/octave low-pass."""
    count = max(1, min(int(min(20_000, rate_hz * 0.46) / pitch_hz), TABLE // 4))
    n = np.arange(1, count + 1)
    spectrum = np.zeros(TABLE // 2 + 1, complex)
    spectrum[1 : count + 1] = -1j * _harmonics(wave, count) / (1 + (n * pitch_hz / cutoff_hz) ** 2)
    cycle = np.fft.irfft(spectrum * TABLE / 2, TABLE)
    return np.append(cycle, cycle[0]).astype(np.float32)


def _read(cycle: np.ndarray, pitch_hz: float, size: int, at: tuple[float, int]) -> np.ndarray:
    """(size,) the cycle read at a pitch from the start phase `at[0]`, linearly between samples."""
    start, rate_hz = at
    position = (np.arange(size) * (pitch_hz / rate_hz) + start) % 1.0 * TABLE
    whole = position.astype(np.int32)
    below = cycle[whole]
    return below + (cycle[whole + 1] - below) * (position - whole).astype(np.float32)


def _envelope(timbre: Timbre, size: int, rate_hz: int) -> np.ndarray:
    t = np.arange(size, dtype=np.float32) / np.float32(rate_hz)
    level = timbre.sustain + (1 - timbre.sustain) * np.exp(-t / timbre.decay_s)
    left_s = size / rate_hz - t
    return level * np.minimum(t / timbre.attack_s, 1) * np.minimum(left_s / timbre.release_s, 1)


def voice(timbre: Timbre, pitch_hz: float, seconds: float, rate_hz: int) -> np.ndarray:
    """(2, n) one note: detuned voices spread from left to right, its filter closing from bright to dark."""
    size = round((seconds + timbre.release_s) * rate_hz)
    bright = _cycle(timbre.wave, pitch_hz, timbre.bright_hz, rate_hz)
    dark = _cycle(timbre.wave, pitch_hz, timbre.dark_hz, rate_hz)
    opening = np.exp(-np.arange(size, dtype=np.float32) / np.float32(timbre.bright_s * rate_hz))
    out = np.zeros((2, size), np.float32)
    for number in range(timbre.voices):
        side = 0.0 if timbre.voices == 1 else 2 * number / (timbre.voices - 1) - 1
        detuned_hz = pitch_hz * (1 + timbre.detune * side)
        # Golden-ratio start phases keep the voices from starting as one spike.
        at = (number * 0.618 % 1.0, rate_hz)
        low = _read(dark, detuned_hz, size, at)
        tone = low + (_read(bright, detuned_hz, size, at) - low) * opening
        out[0] += tone * np.float32(1 - 0.6 * max(side, 0))
        out[1] += tone * np.float32(1 + 0.6 * min(side, 0))
    return faded(out * (_envelope(timbre, size, rate_hz) / timbre.voices**0.5), rate_hz, fade_in=True)


def pitch_hz(semitone: float) -> float:
    """Frequency of a MIDI note number (69 = A4 = 440 Hz)."""
    return 440.0 * 2 ** ((semitone - 69) / 12)
