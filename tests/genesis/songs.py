"""Genesis Maps for the tests: one by hand in every dialect, and a hypothesis strategy."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from k1edge.genesis.document import ENGINE, GenesisMap, seal

SHA = "5e" * 32


def song_v4(beats: int = 32, period_ms: float = 500.0) -> dict[str, Any]:
    grid = [period_ms * (n + 1) for n in range(beats)]
    envelope = [{"time_ms": 20.0 * n, "intensity": round((n % 25) / 25, 3)} for n in range(200)]
    return {
        "metadata": {
            "filename": "Пролог 序曲.flac",
            "analysis_engine": "another_engine",
            "version": "4.0.0",
            "timestamp_utc": "2026-10-03T19:12:00Z",
            "hashes": {"audio_sha256": SHA, "map_sha256": "0" * 64},
            "analysis_config": {"sr": 44100, "preset": "default"},
        },
        "global_metrics": {
            "duration_ms": grid[-1] + 800.0,
            "bpm": 60_000 / period_ms,
            "f_measure": 0.0,
            "cemgil": 0.0,
            "dynamic_range": 0.41,
        },
        "layers": {
            "rhythm": {
                "beat_grid_ms": grid,
                "downbeat_ms": grid[::4],
                "beat_strength": [1.0 if n % 4 == 0 else 0.6 for n in range(beats)],
            },
            "frequency": {"bass": list(envelope), "mids": list(envelope), "highs": list(envelope)},
            "annotations": {
                "f_measure_known": False,
                "sections": [{"label": "intro", "start_ms": 0.0, "end_ms": 4000.0, "confidence": 0.8}],
                "drops": [{"at_ms": 4000.0, "confidence": 0.9}],
            },
        },
    }


def playing(seconds: float, seed: int) -> np.ndarray:
    """(n, 3) shares of each band's loudest, every 20 ms: hits of any strength at any time, as in no other seed."""
    rng = np.random.default_rng(seed)
    levels = np.zeros((round(50 * seconds), 3))
    hits = np.where(rng.random(levels.shape) < 0.08, rng.uniform(0.2, 1.0, levels.shape), 0.0)
    for n in range(1, len(levels)):
        levels[n] = np.maximum(0.85 * levels[n - 1], hits[n])
    return levels


def song_of(levels: np.ndarray, bpm: float = 120.0, every: int = 1) -> GenesisMap:
    """A map with these envelopes, or so few of their points."""
    document = song_v4(int(len(levels) / 50 * bpm / 60), 60_000 / bpm)
    at_ms = (20.0 * np.arange(len(levels)))[::every].tolist()
    bands = zip(("bass", "mids", "highs"), levels[::every].round(3).T.tolist(), strict=True)
    document["layers"]["frequency"] = {
        name: [{"time_ms": t, "intensity": v} for t, v in zip(at_ms, band, strict=True)] for name, band in bands
    }
    return seal(document)


def own_map(beats: int = 32, period_ms: float = 500.0) -> GenesisMap:
    """One that this engine made, sealed."""
    document = song_v4(beats, period_ms)
    return seal(document | {"metadata": document["metadata"] | {"analysis_engine": ENGINE}})


V3 = {
    "metadata": {
        "filename": "kitchen.wav",
        "analysis_engine": "Genesis_Engine_v3.0_Python",
        "timestamp_utc": "2025-07-01T08:30:00Z",
        "version": "v3.0",
    },
    "global_metrics": {"duration_ms": 2400, "bpm": 100},
    "layers": {
        "rhythm": {"beat_grid_ms": [600.0, 1200.5, 1800.0]},
        "frequency": {
            "bass": [{"time_ms": 0.0, "intensity": 0.2}, {"time_ms": 23.2, "intensity": 1.0}],
            "mids": [{"time_ms": 0.0, "intensity": 0.4}],
            "highs": [{"time_ms": 0.0, "intensity": 0.0}],
        },
    },
}

V3_ADVANCED = {
    "metadata": V3["metadata"]
    | {
        "analysis_engine": "Genesis_Engine_Advanced",
        "analysis_config": {"sample_rate": 44100, "hop_length": 512, "harmonic_separation": True},
    },
    "global_metrics": {
        "duration_ms": 2400,
        "bpm": 99.8,
        "average_dynamics": 0.2,
        "dynamic_range": 0.5,
        "spectral_centroid_avg": 2210.0,
    },
    "layers": {
        "rhythm": {
            "beat_grid_ms": [600.0, 1200.5, 1800.0],
            "beat_strengths": [0.9, 1.0, 0.4],
            "onset_times_ms": [598.0, 900.25, 1201.0],
        },
        "frequency": V3["layers"]["frequency"],
        "dynamics": {
            "average": 0.2,
            "range": 0.5,
            "variance": 0.01,
            "rms_curve": [{"time_ms": 0.0, "level": 0.1}, {"time_ms": 100.0, "level": 0.3}],
        },
        "spectral": {"centroid_avg": 2210.0, "centroid_std": 300.0, "rolloff_avg": 5000.0, "zcr_avg": 0.07},
    },
}

FLAT = {
    "version": "v4.0",
    "metadata": {
        "filename": "hall.mp3",
        "duration_ms": 240000,
        "sample_rate": 44100,
        "analyzed_at": "2025-11-02T21:00:02",
    },
    "beats": {
        "tempo": 128.0,
        "beat_times_ms": [469, 938, 1406, 1875],
        "downbeat_times_ms": [469],
        "total_beats": 4,
    },
    "drops": {
        "events": [
            {"timestamp": 52.25, "type": "buildup", "confidence": 0.6, "energy_ratio": 1.2, "duration_ms": 7500.0},
            {"timestamp": 60.125, "type": "drop", "confidence": 0.8, "energy_ratio": 1.9, "duration_ms": 2000.0},
        ],
        "total_drops": 1,
    },
    "harmony": {
        "key": "F# minor",
        "key_confidence": 0.7,
        "color_palette": [[40, 60, 200]],
        "progression": [
            {"time_ms": 0, "chord": "F#m", "confidence": 0.5, "color": [40, 60, 200]},
            {"time_ms": 2000, "chord": "D", "confidence": 0.4, "color": [90, 60, 20]},
        ],
        "total_chords": 2,
        "harmonic_change": {"curve_times_ms": [0], "curve_strength": [0.1], "peaks": []},
    },
    "structure": {
        "segments": [
            {"label": "intro", "start_ms": 0.0, "end_ms": 60000.0, "confidence": 0.8, "duration_ms": 60000.0},
            {"label": "drop", "start_ms": 60000.0, "end_ms": 240000.0, "confidence": 0.7, "duration_ms": 180000.0},
        ],
        "transitions": [{"time_ms": 60000, "from": "intro", "to": "drop", "strength": 0.9}],
        "form": "AB",
        "total_segments": 2,
    },
    "emotion": {
        "curves": {"valence": [-0.2], "arousal": [0.8], "tension": [0.4], "timestamps_ms": [0]},
        "mood_segments": [],
        "dominant_mood": "tense",
    },
    "stems": {},
    "effects": [{"type": "pulse", "start_ms": 469, "duration_ms": 375, "intensity": 0.8, "colors": [[64, 224, 208]]}],
}

CAMEL = {
    "trackId": "trk-7",
    "version": 3,
    "schemaVersion": "v4.0.0",
    "createdAt": "2025-11-03T10:00:00Z",
    "metadata": {
        "filename": "stairs.wav",
        "analysisEngine": "sam_1",
        "version": "4.0.0",
        "timestampUtc": "2025-11-03T10:00:00Z",
        "hashes": {"audioSha256": SHA, "mapSha256": "0" * 64},
        "analysisConfig": {"hop_length": 512, "smoothingMs": 4},
    },
    "globalMetrics": {"durationMs": 2000.0, "bpm": 120.0, "fMeasure": 0.61, "cemgil": 0.5},
    "layers": {
        "rhythm": {"beatGridMs": [500.0, 1000.0, 1500.0], "downbeatMs": [500.0], "beatStrength": [1.0, 0.5, 0.5]},
        "frequency": {
            "bass": [{"timeMs": 0.0, "intensity": 0.1}],
            "mids": [{"timeMs": 0.0, "intensity": 0.2}],
            "highs": [{"timeMs": 0.0, "intensity": 0.3}],
        },
        "annotations": {"fMeasureKnown": True, "reviewedBy": "Ana"},
    },
}

DIALECTS = {"v3": V3, "v3-advanced": V3_ADVANCED, "v4-flat": FLAT, "v4-camel": CAMEL}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def _locations(value: Any, path: tuple = ()) -> list[tuple]:
    here = [path] if path else []
    if isinstance(value, dict):
        return here + [p for key, item in value.items() for p in _locations(item, (*path, key))]
    if isinstance(value, list):
        return here + [p for n, item in enumerate(value[:3]) for p in _locations(item, (*path, n))]
    return here


def changed(value: Any, path: tuple, new: Any) -> Any:
    """A copy of a JSON value with one place replaced; `...` removes it."""
    if not path:
        return new
    step, rest = path[0], path[1:]
    copy = dict(value) if isinstance(value, dict) else list(value)
    if new is ... and not rest:
        del copy[step]
    else:
        copy[step] = changed(value[step], rest, new)
    return copy


NEAR_MISSES = st.sampled_from(
    [..., None, True, -1, -1e-9, 1.0000001, 0, 301.0, 10**400, float("nan"), float("inf"), "", "0.5", [], {}, [1.0, 1]]
)


@st.composite
def damaged(draw: st.DrawFn, document: dict[str, Any], most: int = 3) -> Any:
    """The document with up to `most` places replaced by a near miss, by anything, or taken away."""
    for _ in range(draw(st.integers(0, most))):
        places = _locations(document)
        if not places:
            break
        document = changed(document, draw(st.sampled_from(places)), draw(NEAR_MISSES | JSON))
    return document
