"""How a song feels as it goes: valence, arousal and tension, and the moods that follow from them.

Consumes what each hop sounds like and the tempo, emits columns and spans. The weights are the Genesis Engine's idea, not a
measurement: nobody annotated these songs, so no accuracy is claimed. valence -1..1 (minor and dark .. major and bright),
arousal 0..1 (still .. driving), tension 0..1 (at rest .. dissonant and moving).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from k1edge.analysis.recording import means
from k1edge.analysis.tone import key_fits
from k1edge.frames import HOPS_PER_S

MOST_POINTS = 200
SHORTEST_S = 5.0
MODE_WINDOW_S = 8.0
"""A mode is not heard in a chord."""
BRIGHT_HZ = (400.0, 6_000.0)
TEMPO_BPM = (60.0, 200.0)
QUIET_DB = 24.0
"""Below the song's loud level this is stillness."""
FLAT_CHROMA = np.log(12.0)


def _smooth(values: np.ndarray, points: int) -> np.ndarray:
    """(n, ...) moving average along the first axis, ends held."""
    half = points // 2
    padded = np.pad(values, [(half, half)] + [(0, 0)] * (values.ndim - 1), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0).mean(axis=-1)


def curves(
    chroma: np.ndarray, rms_dbfs: np.ndarray, centroid_hz: np.ndarray, novelty: np.ndarray, *, bpm: float
) -> dict[str, Any]:
    """(hops, 12), (hops,) x 3, tempo -> columns `valence`, `arousal`, `tension`, one value every `step_ms`."""
    step = max(len(chroma) // MOST_POINTS + 1, HOPS_PER_S // 2)
    edges = np.append(np.arange(0, len(chroma), step), len(chroma))
    window = round(MODE_WINDOW_S * HOPS_PER_S / step)
    tones, loud = _smooth(means(chroma, edges), window), means(rms_dbfs, edges)
    fits = key_fits(tones)
    mode = fits[:, :12].max(axis=1) - fits[:, 12:].max(axis=1)
    low, high = np.log(BRIGHT_HZ)
    bright = np.clip((np.log(np.maximum(means(centroid_hz, edges), 1.0)) - low) / (high - low), 0, 1)
    loudness = np.clip(1 + (loud - np.percentile(loud, 95)) / QUIET_DB, 0, 1)
    busy = means(novelty, edges)
    busy = np.clip(busy / (np.percentile(busy, 95) + 1e-9), 0, 1)
    pace = float(np.clip((bpm - TEMPO_BPM[0]) / (TEMPO_BPM[1] - TEMPO_BPM[0]), 0, 1))
    share = tones / (tones.sum(axis=1, keepdims=True) + 1e-9)
    spread = -(share * np.log(share + 1e-9)).sum(axis=1) / FLAT_CHROMA
    rising = np.clip(np.gradient(_smooth(loudness, 5)) * 10, 0, 1)
    valence = np.tanh(2.5 * mode + 1.2 * (bright - 0.5))
    arousal = 0.45 * loudness + 0.30 * busy + 0.25 * pace
    tension = np.clip(0.5 * spread + 0.25 * busy + 0.25 * rising, 0, 1)
    columns = {"valence": valence, "arousal": arousal, "tension": tension}
    smoothed = {name: np.round(_smooth(values, 5), 3).tolist() for name, values in columns.items()}
    return {"step_ms": step * 1000 / HOPS_PER_S, **smoothed}


def _mood(valence: float, arousal: float, tension: float) -> str:
    if abs(valence) < 0.12 and 0.35 < arousal < 0.6:
        return "neutral"
    if arousal >= 0.6:
        if valence >= 0:
            return "excited" if arousal >= 0.75 else "happy"
        return "angry" if arousal >= 0.75 else "tense"
    if valence >= 0:
        return "happy" if arousal >= 0.5 else ("relaxed" if tension >= 0.5 else "calm")
    return "tense" if tension >= 0.65 else ("sad" if arousal >= 0.3 else "depressed")


def moods(columns: dict[str, Any], duration_ms: float) -> list[dict[str, Any]]:
    """Spans of one mood, each at least SHORTEST_S long."""
    step_ms = columns["step_ms"]
    names = [_mood(*values) for values in zip(columns["valence"], columns["arousal"], columns["tension"], strict=True)]
    spans: list[dict[str, Any]] = []
    for n, name in enumerate(names):
        held = spans and (spans[-1]["label"] == name or n * step_ms - spans[-1]["start_ms"] < SHORTEST_S * 1000)
        if not held:
            if spans:
                spans[-1]["end_ms"] = n * step_ms
            spans.append({"label": name, "start_ms": n * step_ms, "end_ms": duration_ms})
    return spans
