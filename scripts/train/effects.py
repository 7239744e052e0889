"""What happens to music between the studio and a line input: audio effects, each drawn at random.

All take and return (samples,) float32 at RATE_HZ and keep the timing of onsets.
"""

from __future__ import annotations

import numpy as np
from kits import RATE_HZ
from scipy.signal import butter, fftconvolve, lfilter, sosfilt


def rms(x: np.ndarray) -> float:
    """Root mean square, never 0."""
    return float(np.sqrt(np.mean(np.square(x)) + 1e-12))


def normalise(x: np.ndarray, peak: float = 0.9) -> np.ndarray:
    """Scaled to a peak; silence stays."""
    top = np.abs(x).max(initial=0)
    return x * np.float32(peak / top) if top > 1e-6 else x


def equalise(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Low and high shelves of up to 12 dB made of one-pole filters, and now and then a hard cut at either end."""
    for corner_hz in (rng.uniform(80, 400), rng.uniform(1500, 6000)):
        a = np.exp(-2 * np.pi * corner_hz / RATE_HZ)
        low = lfilter([1 - a], [1, -a], x)
        low_gain, high_gain = 10 ** (rng.uniform(-9, 9, 2) / 20)
        x = low_gain * low + high_gain * (x - low)
    if rng.random() < 0.15:
        x = sosfilt(butter(2, rng.uniform(60, 300), "highpass", fs=RATE_HZ, output="sos"), x)
    if rng.random() < 0.15:
        x = sosfilt(butter(2, rng.uniform(2500, 9000), "lowpass", fs=RATE_HZ, output="sos"), x)
    return x.astype(np.float32)


def compress(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Feed-forward compressor, smoothed both ways over 5-100 ms, up to limiting."""
    a = np.exp(-1 / (rng.uniform(0.005, 0.1) * RATE_HZ))
    level = np.sqrt(lfilter([1 - a], [1, -a], np.square(x)) + 1e-8)
    threshold = rms(x) * rng.uniform(0.3, 1.0)
    return normalise((x * np.minimum(threshold / level, 1) ** rng.uniform(0.3, 0.95)).astype(np.float32))


def saturate(x: np.ndarray, drive_db: float) -> np.ndarray:
    """Soft clipping driven by so many dB over full scale."""
    return np.tanh(normalise(x) * 10 ** (drive_db / 20)).astype(np.float32)


def clip(x: np.ndarray, drive_db: float) -> np.ndarray:
    """Hard clipping, as an input turned up too far."""
    return np.clip(normalise(x) * 10 ** (drive_db / 20), -1, 1).astype(np.float32)


def room(rng: np.random.Generator, x: np.ndarray, wet: float) -> np.ndarray:
    """Exponentially decaying noise after a direct sound, RT60 0.2-1.8 s, darker with time."""
    n = int(RATE_HZ * rng.uniform(0.2, 1.8))
    response = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
    response = lfilter([0.35], [1, -0.65], response)
    response[: int(rng.uniform(0.002, 0.02) * RATE_HZ)] = 0
    tail = fftconvolve(x, response.astype(np.float32))[: len(x)]
    return (x + wet * tail * (rms(x) / rms(tail))).astype(np.float32)


def echo(x: np.ndarray, delay_s: float, feedback: float) -> np.ndarray:
    """Repeats after a delay, each weaker."""
    out, step, gain = x.copy(), int(delay_s * RATE_HZ), feedback
    for k in range(1, 5):
        if k * step < len(x):
            out[k * step :] += gain * x[: len(x) - k * step]
        gain *= feedback
    return out


def pump(x: np.ndarray, kicks_s: list[float], depth: float, release_s: float) -> np.ndarray:
    """Side-chain compression: quiet at each kick, back over `release_s`."""
    gain = np.ones(len(x), np.float32)
    shape = 1 - depth * (1 - np.linspace(0, 1, int(release_s * RATE_HZ), dtype=np.float32)) ** 1.5
    for kick_s in kicks_s:
        start = int(max(kick_s, 0) * RATE_HZ)
        piece = gain[start : start + len(shape)]
        np.minimum(piece, shape[: len(piece)], out=piece)
    return x * gain


def coloured_noise(rng: np.random.Generator, n: int, slope: float) -> np.ndarray:
    """Noise with power ~ 1 / f**slope (0 white, 1 pink, 2 brown), peak about 1."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum /= np.maximum(np.arange(len(spectrum)), 20) ** (slope / 2)
    return normalise(np.fft.irfft(spectrum, n).astype(np.float32))


def hum(rng: np.random.Generator, n: int) -> np.ndarray:
    """Mains hum of 50 or 60 Hz with harmonics."""
    t = np.arange(n) / RATE_HZ
    base_hz = rng.choice([50.0, 60.0])
    return normalise(
        sum(rng.uniform(0, 1) / k * np.sin(2 * np.pi * base_hz * k * t + rng.uniform(0, 6)) for k in range(1, 9)).astype(
            np.float32
        )
    )


def dropouts(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """Short holes, as of a bad cable."""
    x = x.copy()
    for _ in range(rng.integers(1, 12)):
        start = rng.integers(len(x))
        x[start : start + int(rng.uniform(0.02, 0.6) * RATE_HZ)] *= rng.choice([0.0, 0.02])
    return x


def master(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    """A random chain, mild for most items, rough for some; the level at its end is anything from hot to -45 dB."""
    if rng.random() < 0.7:
        x = equalise(rng, x)
    if rng.random() < 0.5:
        x = compress(rng, x)
    if rng.random() < 0.35:
        x = saturate(x, rng.uniform(0, 14))
    if rng.random() < 0.25:
        x = room(rng, x, 10 ** (rng.uniform(-18, 3) / 20))
    if rng.random() < 0.08:
        x = clip(x, rng.uniform(6, 24))
    if rng.random() < 0.05:
        x = dropouts(rng, x)
    x = normalise(x, rng.uniform(0.3, 1.0))
    if rng.random() < 0.25:
        noise = coloured_noise(rng, len(x), rng.uniform(0, 2)) if rng.random() < 0.8 else hum(rng, len(x))
        x = x + noise * (rms(x) / rms(noise) * 10 ** (rng.uniform(-45, -8) / 20))
    if rng.random() < 0.15:
        x = x * 10 ** (rng.uniform(-45, -10) / 20) + rng.standard_normal(len(x)) * 10 ** (rng.uniform(-95, -75) / 20)
    return np.clip(x, -1, 1).astype(np.float32)
