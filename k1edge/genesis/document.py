"""The Genesis Map, version 4.0.0: what the analysis of a song is written down as.

Consumes plain JSON objects; emits `GenesisMap`, or `MapError` with every fault and its JSON path. Times are ms from the
start of the audio, intensities and confidences 0..1. Keys are written in the order of the classes below: a K1's decoder
parses the first 4 KB, and finds a band by its name shortly before `time_ms` and `intensity` after it; so our maps use
`time_ms` in the frequency layer alone, and other curves are columns.

A map without beats cannot exist: silence is never a map. Accuracy that nobody measured against a human's annotation is
0.0, with `annotations.f_measure_known` false.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from datetime import datetime
from itertools import pairwise
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from k1edge.genesis.codec import BANDS, MAX_BYTES, MAX_INTEGER, Document, fit, map_sha256, write_json
from k1edge.genesis.faults import MapError, MapFault

VERSION = "4.0.0"
ENGINE = "k1edge_genesis_1"
UNKNOWN_SHA256 = "0" * 64
"""Stands where a converted map brings no hash of its audio."""

HEAD_BYTES = 4_096
"""Metadata and metrics must end before this: a K1's decoder reads them from a document of that size."""
OVERHANG_MS = 1_000.0
"""Times may lie this far past the duration: other writers round it down and centre frames past the end."""
SHORTEST_BEAT_MS = 100.0
"""600 bpm; below it the "ms" of a grid are seconds."""
MAX_DEPTH = 16


def _timestamp(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        raise PydanticCustomError("timestamp", "is not an ISO 8601 date and time") from None
    return text


def _ascending(times: list[float]) -> list[float]:
    for earlier, later in pairwise(times):
        if later <= earlier:
            raise PydanticCustomError("ascending", f"times must rise: {later} follows {earlier}")
    return times


def _points_ascending(points: list[Point]) -> list[Point]:
    _ascending([point["time_ms"] for point in points])
    return points


def _scalar_problem(value: Any) -> str | None:
    match value:
        case None | bool():
            return None
        case str():
            lone = any("\ud800" <= character <= "\udfff" for character in value)
            return "holds half a character (a lone surrogate)" if lone else None
        case float():
            return None if math.isfinite(value) else "holds a number that is not finite"
        case int():
            return None if abs(value) <= MAX_INTEGER else "holds a whole number beyond 2^53"
    return f"holds a {type(value).__name__}, which JSON cannot"


def _plain(value: Any, depth: int = 0) -> Any:
    """Free-form content: whatever JSON can hold and every reader reads alike."""
    if depth > MAX_DEPTH:
        raise PydanticCustomError("depth", f"is nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise PydanticCustomError("key", "has a key that is not text")
            _plain(key, depth + 1)
            _plain(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _plain(item, depth + 1)
    elif problem := _scalar_problem(value):
        raise PydanticCustomError("plain", problem)
    return value


Ms = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Times = Annotated[list[Ms], AfterValidator(_ascending)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Text = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_plain)]
Label = Annotated[str, Field(min_length=1, max_length=64), AfterValidator(_plain)]
Free = Annotated[dict[str, Any], AfterValidator(_plain)]


class Point(TypedDict):
    """One value of an envelope."""

    __pydantic_config__ = ConfigDict(extra="forbid", strict=True)
    time_ms: Ms
    intensity: Share


Envelope = Annotated[list[Point], Field(min_length=1), AfterValidator(_points_ascending)]


class _Part(BaseModel):
    """Strict in what it knows; what it does not know is kept, behind what it knows."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    @model_validator(mode="after")
    def _extras_are_plain(self) -> _Part:
        _plain(self.model_extra)
        return self


class Hashes(_Part):
    audio_sha256: Sha256
    map_sha256: Sha256


class Metadata(_Part):
    filename: Text
    analysis_engine: Text
    version: Annotated[str, Field(pattern=r"^4\.0\.0$")]
    timestamp_utc: Annotated[str, AfterValidator(_timestamp), Field(json_schema_extra={"format": "date-time"})]
    hashes: Hashes
    analysis_config: Free = Field(default_factory=dict)


class GlobalMetrics(_Part):
    duration_ms: Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
    bpm: Annotated[float, Field(gt=0.0, le=300.0, allow_inf_nan=False)]
    f_measure: Share
    cemgil: Share
    dynamic_range: Annotated[float, Field(allow_inf_nan=False)] | None = None


class Rhythm(_Part):
    beat_grid_ms: Annotated[Times, Field(min_length=1)]
    downbeat_ms: Times = Field(default_factory=list)
    beat_strength: list[Share] = Field(default_factory=list)
    """Empty, or one for each beat."""


class Frequency(_Part):
    bass: Envelope
    mids: Envelope
    highs: Envelope


class Span(_Part):
    """A stretch of the song: a section, a build, a breakdown, a chord."""

    label: Label
    start_ms: Ms
    end_ms: Ms
    confidence: Share | None = None

    @model_validator(mode="after")
    def _forwards(self) -> Span:
        if self.end_ms < self.start_ms:
            raise PydanticCustomError("forwards", "ends before it starts")
        return self


class Instant(_Part):
    """A moment of the song, such as a drop."""

    at_ms: Ms
    confidence: Share


class Key(_Part):
    tonic: Annotated[str, Field(pattern=r"^[A-G]#?$")]
    mode: Annotated[str, Field(pattern=r"^(major|minor)$")]
    confidence: Share

    def __str__(self) -> str:
        return f"{self.tonic} {self.mode}"


class Annotations(_Part):
    """What is known of the song's form. Unknown keys are kept."""

    f_measure_known: bool | None = None
    sections: list[Span] | None = None
    drops: list[Instant] | None = None
    builds: list[Span] | None = None
    breakdowns: list[Span] | None = None
    key: Key | None = None
    chords: list[Span] | None = None


class Layers(_Part):
    rhythm: Rhythm
    frequency: Frequency
    dynamics: Free | None = None
    spectral: Free | None = None
    annotations: Annotations | None = None


class GenesisMap(_Part):
    """One song, analysed."""

    metadata: Metadata
    global_metrics: GlobalMetrics
    layers: Layers

    @property
    def notes(self) -> Annotations:
        """The annotations; without any, those that say nothing."""
        return self.layers.annotations or Annotations()


def plain(song: GenesisMap) -> Document:
    """The map as plain objects, keys in the order they are written; absent parts are left out."""
    return song.model_dump(exclude_none=True)


def encode(song: GenesisMap) -> bytes:
    """The map as it is stored and sent."""
    return write_json(plain(song))


def is_in_seconds(beats: list[float]) -> bool:
    """Whether a grid that should be in ms holds seconds."""
    return len(beats) > 1 and statistics.median(b - a for a, b in pairwise(beats)) < SHORTEST_BEAT_MS


def _rules_between_fields(song: GenesisMap, document: Document) -> Iterable[MapFault]:
    rhythm, frequency = song.layers.rhythm, song.layers.frequency
    last_ms = {"rhythm.beat_grid_ms": rhythm.beat_grid_ms[-1], "rhythm.downbeat_ms": max(rhythm.downbeat_ms, default=0.0)}
    last_ms |= {f"frequency.{band}": getattr(frequency, band)[-1]["time_ms"] for band in BANDS}
    for path, at_ms in last_ms.items():
        if at_ms > song.global_metrics.duration_ms + OVERHANG_MS:
            yield MapFault(f"$.layers.{path}[-1]", f"{at_ms} ms lies past the end of the song")
    if is_in_seconds(rhythm.beat_grid_ms):
        yield MapFault("$.layers.rhythm.beat_grid_ms", "is too dense for ms: it looks like seconds")
    beats, strengths = len(rhythm.beat_grid_ms), len(rhythm.beat_strength)
    if strengths not in (0, beats):
        yield MapFault("$.layers.rhythm.beat_strength", f"has {strengths} values for {beats} beats")
    head_bytes = len(write_json({"metadata": document["metadata"], "global_metrics": document["global_metrics"]}))
    if head_bytes > HEAD_BYTES:
        yield MapFault("$.metadata", f"metadata and metrics take {head_bytes} bytes; a K1 reads {HEAD_BYTES}")


def _seal_is_broken(document: Document) -> bool:
    """Only for our own maps: how other engines hash theirs is not written down anywhere."""
    metadata = document["metadata"]
    return metadata["analysis_engine"].startswith("k1edge") and metadata["hashes"]["map_sha256"] != map_sha256(document)


def _checked(document: Any) -> tuple[GenesisMap, Document]:
    try:
        song = GenesisMap.model_validate(document)
    except ValidationError as errors:
        raise MapError.of(errors) from None
    written = plain(song)
    faults = tuple(_rules_between_fields(song, written))
    if faults:
        raise MapError(faults)
    return song, written


def validate(document: Any) -> GenesisMap:
    """The map that a plain object holds; raises `MapError` with every fault."""
    song, written = _checked(document)
    if _seal_is_broken(written):
        raise MapError([MapFault("$.metadata.hashes.map_sha256", "does not match the content: changed or damaged")])
    return song


def _unsealed(document: Any) -> Any:
    match document:
        case {"metadata": {"hashes": dict(hashes)} as metadata}:
            return document | {"metadata": metadata | {"hashes": hashes | {"map_sha256": UNKNOWN_SHA256}}}
    return document


def seal(document: Any, max_bytes: int = MAX_BYTES) -> GenesisMap:
    """A new map: validated, its envelopes thinned to fit `max_bytes`, its hash written. Raises `MapError`."""
    _, written = _checked(_unsealed(document))
    written = fit(written, max_bytes)
    written["metadata"]["hashes"]["map_sha256"] = map_sha256(written)
    return GenesisMap.model_validate(written)
