"""The flat "v4.0" (`beats.beat_times_ms`, `drops.events`, `structure.segments`): to and from v4.0.0.

Its drops are in seconds, everything else in ms. It has no bands: a converted map carries a single point of 0 in each,
and `annotations.bands_known` false. What v4.0.0 has no place for is kept under `annotations.flat`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from k1edge.genesis.codec import BANDS, Document
from k1edge.genesis.document import UNKNOWN_SHA256, VERSION

KEPT_BLOCKS = {"harmony": dict, "structure": dict, "emotion": dict, "stems": dict, "effects": list}
SPAN_KEYS = ("label", "start_ms", "end_ms")
MS_DIGITS = 3
SECONDS_DIGITS = 6
UNKNOWN_BAND = [{"time_ms": 0.0, "intensity": 0.0}]
SHARP = {"Db": "C#", "Eb": "D#", "Gb": "F#", "Ab": "G#", "Bb": "A#", "Cb": "B", "Fb": "E", "E#": "F", "B#": "C"}


class _Part(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True)


class _Metadata(_Part):
    filename: str
    duration_ms: float
    sample_rate: int | None = None
    analyzed_at: str


class _Beats(_Part):
    tempo: float
    beat_times_ms: list[float]
    downbeat_times_ms: list[float] = Field(default_factory=list)


class _DropEvent(_Part):
    timestamp: float
    """s; ms when it lies past the song's seconds."""
    type: Literal["drop", "buildup"]
    confidence: float
    duration_ms: float | None = None


class _Drops(_Part):
    events: list[_DropEvent] = Field(default_factory=list)


class _Chord(_Part):
    time_ms: float
    chord: str
    confidence: float | None = None


class _Harmony(_Part):
    key: str | None = None
    key_confidence: float = 0.0
    progression: list[_Chord] = Field(default_factory=list)


class _Segment(_Part):
    label: str
    start_ms: float
    end_ms: float


class _Structure(_Part):
    segments: list[_Segment] = Field(default_factory=list)


class FlatMap(_Part):
    version: str
    metadata: _Metadata
    beats: _Beats
    drops: _Drops = Field(default_factory=_Drops)
    harmony: _Harmony = Field(default_factory=_Harmony)
    structure: _Structure = Field(default_factory=_Structure)
    emotion: dict[str, Any] = Field(default_factory=dict)
    stems: dict[str, Any] = Field(default_factory=dict)
    effects: list[Any] = Field(default_factory=list)


def _without(item: Document, *keys: str) -> Document:
    return {key: value for key, value in item.items() if key not in keys}


def _event_ms(event: Document, duration_ms: float) -> float:
    in_ms = event["timestamp"] * 1000 > max(duration_ms * 2, 1000)
    return round(event["timestamp"] * (1 if in_ms else 1000), MS_DIGITS)


def _events_to_annotations(events: list[Document], duration_ms: float) -> Document:
    drops, builds = [], []
    for event in events:
        at_ms, rest = _event_ms(event, duration_ms), _without(event, "timestamp", "type")
        if event["type"] == "drop":
            drops.append({"at_ms": at_ms} | rest)
        else:
            builds.append({"label": "build", "start_ms": at_ms, "end_ms": at_ms + event.get("duration_ms", 0.0)} | rest)
    return {"drops": drops, "builds": builds}


def _annotations_to_events(annotations: Document) -> list[Document]:
    drops = [(drop["at_ms"], "drop", drop) for drop in annotations.get("drops", ())]
    builds = [
        (build["start_ms"], "buildup", build | {"duration_ms": build["end_ms"] - build["start_ms"]})
        for build in annotations.get("builds", ())
    ]
    return [
        _without(item, "at_ms", *SPAN_KEYS) | {"timestamp": round(at_ms / 1000, SECONDS_DIGITS), "type": kind}
        for at_ms, kind, item in sorted(drops + builds, key=lambda event: event[0])
    ]


def _key(harmony: Document) -> Document | None:
    if not harmony.get("key"):
        return None
    tonic, _, mode = harmony["key"].partition(" ")
    return {"tonic": SHARP.get(tonic, tonic), "mode": mode.lower(), "confidence": harmony["key_confidence"]}


def _chords(progression: list[Document], duration_ms: float) -> list[Document]:
    ends_ms = [chord["time_ms"] for chord in progression[1:]] + [duration_ms]
    return [
        {"label": chord["chord"], "start_ms": chord["time_ms"], "end_ms": max(end_ms, chord["time_ms"])}
        | _without(chord, "time_ms", "chord")
        for chord, end_ms in zip(progression, ends_ms, strict=False)
    ]


def _progression(chords: list[Document]) -> list[Document]:
    return [_without(chord, *SPAN_KEYS) | {"time_ms": round(chord["start_ms"]), "chord": chord["label"]} for chord in chords]


def to_v4(document: Document) -> Document:
    """v4.0.0 from the flat form; raises pydantic's `ValidationError` where it is not that."""
    flat = FlatMap.model_validate(document).model_dump(exclude_none=True)
    metadata, beats, duration_ms = flat["metadata"], flat["beats"], flat["metadata"]["duration_ms"]
    kept = {block: flat.get(block) for block in KEPT_BLOCKS}
    sections = kept["structure"].pop("segments")
    chords = _chords(kept["harmony"].pop("progression"), duration_ms)
    annotations = {"f_measure_known": False, "audio_sha256_known": False, "bands_known": False, "sections": sections}
    annotations |= _events_to_annotations(flat["drops"]["events"], duration_ms)
    annotations |= {"key": _key(flat["harmony"]), "chords": chords, "flat": kept}
    return {
        "metadata": {
            "filename": metadata["filename"],
            "analysis_engine": "flat_v4.0",
            "version": VERSION,
            "timestamp_utc": metadata["analyzed_at"],
            "hashes": {"audio_sha256": UNKNOWN_SHA256, "map_sha256": UNKNOWN_SHA256},
            "analysis_config": {"sr": metadata["sample_rate"]} if "sample_rate" in metadata else {},
        },
        "global_metrics": {"duration_ms": duration_ms, "bpm": beats["tempo"], "f_measure": 0.0, "cemgil": 0.0},
        "layers": {
            "rhythm": {"beat_grid_ms": beats["beat_times_ms"], "downbeat_ms": beats["downbeat_times_ms"]},
            "frequency": dict.fromkeys(BANDS, UNKNOWN_BAND),
            "annotations": annotations,
        },
    }


def _structure(sections: list[Document], kept: Document) -> Document:
    segments = [{"duration_ms": s["end_ms"] - s["start_ms"]} | s for s in sections]
    return {"transitions": [], "form": ""} | kept | {"segments": segments, "total_segments": len(segments)}


def _harmony(annotations: Document, kept: Document) -> Document:
    key, progression = annotations.get("key"), _progression(annotations.get("chords", []))
    named = {"key": f"{key['tonic']} {key['mode']}", "key_confidence": key["confidence"]} if key else {}
    return named | kept | {"progression": progression, "total_chords": len(progression)}


def _kept(annotations: Document) -> Document:
    """What came from a flat map; v4.0.0 says nothing of it, and what could not have is left out."""
    flat = annotations.get("flat")
    blocks = flat if isinstance(flat, dict) else {}
    return {name: blocks[name] if isinstance(blocks.get(name), kind) else kind() for name, kind in KEPT_BLOCKS.items()}


def from_v4(song: Document) -> Document:
    """The flat form; the bands have no place in it."""
    metadata, metrics, rhythm = song["metadata"], song["global_metrics"], song["layers"]["rhythm"]
    annotations = song["layers"].get("annotations", {})
    kept = _kept(annotations)
    events, beats = _annotations_to_events(annotations), [round(t) for t in rhythm["beat_grid_ms"]]
    rate = metadata["analysis_config"].get("sr")
    return {
        "version": "v4.0",
        "metadata": {
            "filename": metadata["filename"],
            "duration_ms": round(metrics["duration_ms"]),
            **({"sample_rate": rate} if type(rate) is int else {}),
            "analyzed_at": metadata["timestamp_utc"],
        },
        "beats": {
            "tempo": metrics["bpm"],
            "beat_times_ms": beats,
            "downbeat_times_ms": [round(t) for t in rhythm["downbeat_ms"]],
            "total_beats": len(beats),
        },
        "drops": {"events": events, "total_drops": sum(event["type"] == "drop" for event in events)},
        "harmony": _harmony(annotations, kept["harmony"]),
        "structure": _structure(annotations.get("sections", []), kept["structure"]),
        "emotion": kept["emotion"],
        "stems": kept["stems"],
        "effects": kept["effects"],
    }
