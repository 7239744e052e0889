"""Genesis Map v3.0, basic and advanced: to and from v4.0.0.

The advanced form is a superset of the basic one. What v4.0.0 has no name for (`onset_times_ms`, `average_dynamics`) is
kept under its own name; `rms_curve` becomes columns, because `time_ms` belongs to the bands.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from k1edge.genesis.codec import BANDS, Document
from k1edge.genesis.document import UNKNOWN_SHA256, VERSION, Point

BASIC_METRICS = ("duration_ms", "bpm")
ADVANCED_METRICS = ("average_dynamics", "dynamic_range", "spectral_centroid_avg")


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Metadata(_Part):
    filename: str
    analysis_engine: str
    timestamp_utc: str
    version: str
    analysis_config: dict[str, Any] | None = None


class _Metrics(_Part):
    duration_ms: float
    bpm: float


class _Rhythm(_Part):
    beat_grid_ms: list[float]
    beat_strengths: list[float] | None = None
    onset_times_ms: list[float] | None = None


class _Frequency(_Part):
    bass: list[Point]
    mids: list[Point]
    highs: list[Point]


class _Level(_Part):
    time_ms: float
    level: float


class _Dynamics(_Part):
    rms_curve: list[_Level] = Field(default_factory=list)


class _Layers(_Part):
    rhythm: _Rhythm
    frequency: _Frequency
    dynamics: _Dynamics | None = None
    spectral: dict[str, Any] | None = None


class MapV3(_Part):
    metadata: _Metadata
    global_metrics: _Metrics
    layers: _Layers


_ONSETS, _CURVE = TypeAdapter(list[float]), TypeAdapter(list[_Level])


def _is(kind: TypeAdapter, value: Any) -> bool:
    try:
        kind.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def is_advanced(document: Document) -> bool:
    """Whether a v3 document has anything that the basic engine never wrote."""
    match document:
        case {"metadata": {"analysis_config": _}} | {"layers": {"dynamics": _} | {"spectral": _}}:
            return True
    return False


def to_v4(document: Document) -> Document:
    """v4.0.0 from v3; raises pydantic's `ValidationError` where it is not v3."""
    old = MapV3.model_validate(document).model_dump(exclude_none=True)
    metadata, rhythm, layers = old["metadata"], old["layers"]["rhythm"], old["layers"]
    if "beat_strengths" in rhythm:
        rhythm["beat_strength"] = rhythm.pop("beat_strengths")
    if "dynamics" in layers:
        curve = layers["dynamics"].pop("rms_curve")
        columns = {"at_ms": [p["time_ms"] for p in curve], "level": [p["level"] for p in curve]}
        layers["dynamics"]["rms_curve"] = columns
    hashes = {"audio_sha256": UNKNOWN_SHA256, "map_sha256": UNKNOWN_SHA256}
    known = {"f_measure_known": False, "audio_sha256_known": False}
    return old | {
        "metadata": metadata | {"version": VERSION, "hashes": hashes},
        "global_metrics": old["global_metrics"] | {"f_measure": 0.0, "cemgil": 0.0},
        "layers": layers | {"annotations": layers.get("annotations", {}) | known},
    }


def from_v4_basic(song: Document) -> Document:
    """v3 basic: beats and bands only, tempo cut to a whole number as its engine did."""
    metadata, metrics, layers = song["metadata"], song["global_metrics"], song["layers"]
    kept = {key: metadata[key] for key in ("filename", "analysis_engine", "timestamp_utc")}
    return {
        "metadata": kept | {"version": "v3.0"},
        "global_metrics": {key: int(metrics[key]) for key in BASIC_METRICS},
        "layers": {
            "rhythm": {"beat_grid_ms": layers["rhythm"]["beat_grid_ms"]},
            "frequency": {band: layers["frequency"][band] for band in BANDS},
        },
    }


def _level_points(dynamics: Document) -> Document:
    """With its curve as v3 has it; v4.0.0 says nothing of this layer, and a curve that is no curve is left out."""
    match dynamics.get("rms_curve"):
        case {"at_ms": list(times), "level": list(levels)}:
            points = [{"time_ms": at_ms, "level": level} for at_ms, level in zip(times, levels, strict=False)]
        case points:
            pass
    return dynamics | {"rms_curve": points if _is(_CURVE, points) else []}


def from_v4_advanced(song: Document) -> Document:
    """v3 advanced, with what the v4 map knows of it."""
    document, layers, metrics = from_v4_basic(song), song["layers"], song["global_metrics"]
    document["metadata"]["analysis_config"] = song["metadata"]["analysis_config"]
    document["global_metrics"]["bpm"] = metrics["bpm"]
    document["global_metrics"] |= {key: metrics[key] for key in ADVANCED_METRICS if key in metrics}
    rhythm = document["layers"]["rhythm"]
    if strengths := layers["rhythm"]["beat_strength"]:
        rhythm["beat_strengths"] = strengths
    onsets_ms = layers["rhythm"].get("onset_times_ms")
    if _is(_ONSETS, onsets_ms):
        rhythm["onset_times_ms"] = onsets_ms
    if "dynamics" in layers:
        document["layers"]["dynamics"] = _level_points(layers["dynamics"])
    if "spectral" in layers:
        document["layers"]["spectral"] = layers["spectral"]
    return document
