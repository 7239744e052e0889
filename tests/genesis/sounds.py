"""Sounds whose parts are known, at 44.1 kHz."""

import numpy as np

RATE_HZ = 44_100


def tone(freqs_hz, seconds, gain=0.1):
    """Sines of these frequencies, each as loud."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return gain * sum(np.sin(2 * np.pi * f * t) for f in freqs_hz)


def chord(seconds, level=0.05):
    return tone((220, 277, 330, 880), seconds, level)


def kicks(times_s, seconds):
    """A bass drum at each of these times."""
    t = np.arange(int(0.3 * RATE_HZ)) / RATE_HZ
    kick = 0.6 * np.sin(2 * np.pi * (50 * t + 5 * (1 - np.exp(-t / 0.03)))) * np.exp(-t / 0.08)
    out = np.zeros(int(seconds * RATE_HZ))
    for at_s in times_s:
        place = out[int(at_s * RATE_HZ) :][: len(kick)]
        place += kick[: len(place)]
    return out
