"""From a recording to a Genesis Map: every pass in its order.

Consumes a `Recording`, emits the v4.0.0 map; raises `NoMusic` when there is nothing to make a map of. A pass that only adds
to the map may fail without losing the others: it is then named in `annotations.missing`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from k1edge.analysis import beats, form, levels, mood, rows, sections, tone
from k1edge.analysis.recording import Recording, means
from k1edge.config import BeatSettings
from k1edge.frames import HOPS_PER_S
from k1edge.genesis.accents import LATENCY_HOPS
from k1edge.genesis.document import ENGINE, UNKNOWN_SHA256, VERSION, GenesisMap, seal
from k1edge.genesis.revision import tempo_bpm, tempo_curve

FEWEST_BEATS = 4
LEAST_SOUNDING = 0.02
"""Share of the hops; below it the file is as good as silent."""
STRENGTH_HOPS = 3
MS = 1000.0

Progress = Callable[[str, float], None]


class NoMusic(Exception):  # noqa: N818 - it is a finding, not a fault
    """Silence, or sound without a beat: there is no map to make."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the audio came from."""

    filename: str
    audio_sha256: str
    timestamp_utc: str
    rate_hz: int
    source: str = "file"
    """Or `live`: what was heard on the line."""

    def metadata(self, version: str) -> dict[str, Any]:
        """The map's metadata layer; `version`: that of k1edge."""
        return {
            "filename": self.filename,
            "analysis_engine": ENGINE,
            "version": VERSION,
            "timestamp_utc": self.timestamp_utc,
            "hashes": {"audio_sha256": self.audio_sha256, "map_sha256": UNKNOWN_SHA256},
            "analysis_config": {
                "sr": self.rate_hz,
                "hop_length": self.rate_hz // HOPS_PER_S,
                "preset": "default",
                "k1edge": version,
            },
            "source": self.source,
        }


def analyse(
    recording: Recording,
    origin: Origin,
    settings: BeatSettings,
    *,
    version: str = "",
    progress: Progress = lambda stage, share: None,
) -> GenesisMap:
    """The map of a song; `progress` hears each pass with the share that is done, 0..1."""
    if not len(recording) or recording["sounding"].mean() < LEAST_SOUNDING:
        raise NoMusic("there is only silence")
    missing: list[str] = []

    def tried(name: str, share: float, work: Callable[[], Any]) -> Any:
        """What a pass makes that only adds to the map; None where it fails."""
        progress(name, share)
        try:
            return work()
        except (ArithmeticError, ValueError, IndexError):
            missing.append(name)
            return None

    progress("beats", 0.7)
    grid = beats.found(recording, settings)
    if len(grid.times_s) < FEWEST_BEATS:
        raise NoMusic(f"there is no beat in it ({len(grid.times_s)} found, {FEWEST_BEATS} are needed)")
    progress("levels", 0.92)
    sound = levels.measure(recording)
    progress("rhythm", 0.92)
    rhythm = _rhythm(recording, grid)
    bpm = tempo_bpm(rhythm["beat_grid_ms"])
    dynamics = tried("dynamics", 0.93, lambda: levels.dynamics(sound))
    annotations = {
        "f_measure_known": False,
        **(tried("form", 0.93, lambda: _form(recording, sound, grid)) or {}),
        **(tried("harmony", 0.98, lambda: _harmony(recording, grid)) or {}),
        **(tried("mood", 0.98, lambda: _mood(recording, bpm)) or {}),
        "tempo_curve": tempo_curve(rhythm["beat_grid_ms"]),
        "beat_confidence": round(float(_near(recording["heard"][:, 0], _hops(grid.times_s, recording)).mean()), 3),
    }
    progress("bands", 0.98)
    layers = {
        "rhythm": rhythm,
        "frequency": levels.envelopes(sound),
        "dynamics": dynamics,
        "spectral": tried("spectral", 0.99, lambda: levels.spectral(recording, sound)),
        "annotations": annotations | ({"missing": missing} if missing else {}),
    }
    metrics = {"duration_ms": recording.duration_s * MS, "bpm": min(bpm, 300.0), "f_measure": 0.0, "cemgil": 0.0}
    if dynamics:
        metrics["dynamic_range"] = dynamics["range"]
    document = {"metadata": origin.metadata(version), "global_metrics": metrics, "layers": layers}
    progress("writing", 0.99)
    return seal(document)


def _hops(times_s: np.ndarray, recording: Recording) -> np.ndarray:
    """(n,) the hops in which times lie."""
    return np.clip((times_s * HOPS_PER_S).astype(int), 0, len(recording) - 1)


def _near(values: np.ndarray, hops: np.ndarray) -> np.ndarray:
    """(n,) the largest value within STRENGTH_HOPS after each hop, when what sounds there has been heard."""
    ahead = np.minimum(hops[:, None] + np.arange(-1, STRENGTH_HOPS + LATENCY_HOPS), len(values) - 1)
    return values[np.maximum(ahead, 0)].max(axis=1)


def _rhythm(recording: Recording, grid: beats.BeatGrid) -> dict[str, Any]:
    at_ms = np.round(np.minimum(grid.times_s, recording.duration_s) * MS, 1)
    at_ms, first = np.unique(at_ms, return_index=True)
    novelty = recording["novelty"].astype(np.float32).sum(axis=1)
    strength = _near(novelty, _hops(grid.times_s[first], recording))
    strength = np.clip(strength / (np.percentile(strength, 95) + 1e-9), 0, 1)
    return {
        "beat_grid_ms": at_ms.tolist(),
        "downbeat_ms": at_ms[grid.in_bar[first] == 1].tolist(),
        "beat_strength": np.round(strength.astype(float), 3).tolist(),
        "onset_times_ms": levels.onsets_ms(recording),
    }


def _bar_edges(recording: Recording, grid: beats.BeatGrid) -> np.ndarray:
    """(bars + 1,) hops: from the start over every downbeat to the end; in fours where no downbeat is known.

    Bars of two beats are taken in pairs: form is written in fours.
    """
    down = grid.times_s[grid.in_bar == 1]
    if len(down) > 1 and np.median(grid.per_bar) == 2:
        down = down[::2]
    down = down if len(down) > 1 else grid.times_s[::4]
    hops = _hops(down, recording)
    bar = int(np.median(np.diff(hops))) if len(hops) > 1 else len(recording)
    inside = hops[(hops >= bar // 2) & (hops <= len(recording) - bar // 2)]
    return np.unique(np.concatenate([[0], inside, [len(recording)]]))


def _form(recording: Recording, sound: levels.Levels, grid: beats.BeatGrid) -> dict[str, Any]:
    heard = rows.hear(recording, grid.times_s, grid.in_bar == 1)
    found = sections.decode(heard.values, heard.heard, heard.is_down)
    starts_s = np.array([0.0, *(heard.times_s[part.first] for part in found[1:]), recording.duration_s])
    at_ms = np.round(starts_s * MS, 1).tolist()
    letters = _letters(recording, sound, grid, starts_s)
    spans = [
        {"label": part.label, "start_ms": start_ms, "end_ms": end_ms, "confidence": round(part.confidence, 3)}
        for part, (start_ms, end_ms) in zip(found, pairwise(at_ms), strict=True)
    ]
    drops = [span for span in spans[1:] if span["label"] == "drop"]
    return {
        "sections": [span | {"letter": letter} for span, letter in zip(spans, letters, strict=True)],
        "drops": [{"at_ms": drop["start_ms"], "confidence": drop["confidence"]} for drop in drops],
        "builds": [span for span in spans if span["label"] == "build"],
        "breakdowns": [span for span in spans if span["label"] == "breakdown"],
    }


def _letters(recording: Recording, sound: levels.Levels, grid: beats.BeatGrid, starts_s: np.ndarray) -> list[str]:
    edges = _bar_edges(recording, grid)
    powers = np.column_stack([sound.powers, sound.powers.sum(axis=1)])
    dbfs = 10 * np.log10(means(powers, edges) + 1e-12)
    bars = form.Bars(dbfs, means(recording["bands"], edges), means(recording["chroma"], edges))
    cuts = np.abs(edges - starts_s[:, None] * HOPS_PER_S).argmin(axis=1)
    return form.letters(bars, cuts.tolist())


def _harmony(recording: Recording, grid: beats.BeatGrid) -> dict[str, Any]:
    edges = np.unique(np.concatenate([[0], _hops(grid.times_s, recording), [len(recording)]]))
    chroma = means(recording["chroma"], edges)
    spans = tone.chords(chroma, edges / HOPS_PER_S * MS)
    return {"key": tone.key(recording["chroma"].astype(np.float32), spans), "chords": spans}


def _mood(recording: Recording, bpm: float) -> dict[str, Any]:
    novelty = recording["novelty"].astype(np.float32).sum(axis=1)
    level = np.where(recording["sounding"], recording["level_dbfs"], -120.0)
    columns = mood.curves(recording["chroma"], level, recording["centroid_hz"], novelty, bpm=bpm)
    return {"mood": columns, "moods": mood.moods(columns, recording.duration_s * MS)}
