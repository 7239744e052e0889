"""What the daemon hears of a recording: the bands of `k1edge.dsp.features`, of all its hops at once."""

from __future__ import annotations

import numpy as np

from k1edge.dsp import features
from k1edge.frames import HOPS_PER_S

RATE_HZ = 32_000
"""Of what is rendered: holds everything the features use (up to 16 kHz) at two thirds of the cost of 48 kHz."""
AT_ONCE = 1000
"""Hops: bounds the memory."""


def bands(audio: np.ndarray, rate_hz: int = RATE_HZ) -> np.ndarray:
    """(n,) samples -> (hops, N_BANDS) float32 as `FeatureExtractor` would give them hop by hop."""
    hop, size = rate_hz // HOPS_PER_S, round(features.WINDOW_S * rate_hz)
    used = round(features.BAND_EDGES_HZ[1] * features.WINDOW_S) + 1
    window, filters = features.hann(size), features.triangles(np.arange(used) / features.WINDOW_S)
    padded = np.concatenate([np.zeros(size - hop, np.float32), audio.astype(np.float32)])
    frames = np.lib.stride_tricks.sliding_window_view(padded, size)[::hop]
    out = np.empty((len(frames), features.N_BANDS), np.float32)
    for i in range(0, len(frames), AT_ONCE):
        spectrum = np.abs(np.fft.rfft(frames[i : i + AT_ONCE] * window)[:, :used])
        out[i : i + AT_ONCE] = spectrum.astype(np.float32) @ filters
    decay = np.log(0.5) / (features.GAIN_HALF_LIFE_S * HOPS_PER_S)
    # A decaying maximum is a running maximum once the decay is taken out.
    fall = decay * np.arange(len(out))
    peak = np.log(np.maximum(out.max(axis=1), features.GAIN_FLOOR))
    gain = np.maximum(np.exp(np.maximum.accumulate(peak - fall) + fall), features.GAIN_FLOOR)
    return np.log1p(out * (features.COMPRESSION / gain)[:, None]).astype(np.float32)
