"""The messages at an edge's own level: its status, the truth as it knows it, beats, features, events, telemetry.

Consumes nothing but what the pipeline and the counters know; emits JSON at `k1/v1/<site>/edge/<edge>/...`. A field
that has no source on this machine is left out, never invented. What an edge keeps is in `records.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from k1edge.device_facts import PALETTES
from k1edge.k1.contract.device import BarsLeft, BeatNumber, Label, Parameters
from k1edge.k1.contract.message import (
    SMALL_BYTES,
    Bpm,
    Code,
    Count,
    EpochMs,
    Id,
    Level,
    Message,
    NonNegative,
    Number,
    Part,
    Scalar,
    Signed,
    Text,
    Unit,
    Word,
)
from k1edge.k1.contract.records import ConfigDesired, ConfigReported, Deployment, Job, Track

BeatInBar = Annotated[int, Field(ge=0, le=31)]


class Alternative(Part):
    """A tempo that is still believed."""

    bpm: Bpm
    probability: Unit


Alternatives = Annotated[tuple[Alternative, ...], Field(max_length=8)]


class Status(Message, leaf="status", retain=True):
    """The state of the edge; `lost` is its will. Once it is `stopping` or `lost`, all else that it retains is of the past."""

    state: Literal["init", "ready", "degraded", "stopping", "lost"]
    code: Code = ""
    reason: Text = ""
    boot_id: Word = ""
    insecure: bool = False
    """The broker is neither loopback nor TLS, and that was allowed."""


class Info(Message, leaf="info", retain=True):
    """What this edge is: sent at each start and each connection."""

    version: Word
    contract: Word
    schema_hash: Word
    config_hash: Word
    boot_id: Word = ""
    engine: Word = ""
    audio_device: Text = ""
    audio_rate_hz: Annotated[int, Field(ge=0, le=768_000)] = 0
    devices: Annotated[tuple[Id, ...], Field(max_length=64)] = ()
    capabilities: Annotated[tuple[Word, ...], Field(max_length=64)] = ()


class AudioState(Message, leaf="state/audio", retain=True):
    """What the input is like."""

    state: Literal["ok", "silent", "absent", "stalled", "opening"]
    device: Text = ""
    rate_hz: Annotated[int, Field(ge=0, le=768_000)] = 0
    level_dbfs: Level | None = None
    noise_floor_dbfs: Level | None = None
    lost_samples: Count = 0
    code: Code = ""
    reason: Text = ""
    remedy: Text = ""


class TempoState(Message, leaf="state/tempo", retain=True, limit_bytes=SMALL_BYTES):
    """The tempo as it stands."""

    bpm: Bpm
    confidence: Unit
    lock: bool
    beats_per_bar: BeatInBar = 0
    alternatives: Alternatives = ()


class SectionState(Message, leaf="state/section", retain=True, limit_bytes=SMALL_BYTES):
    """The part of the music that is playing."""

    index: Count
    """Rises with each section; the same index again puts its label right."""
    label: Label
    since_ms: EpochMs
    confidence: Unit
    provisional: bool
    bars_left: BarsLeft = 0
    bars_left_probability: Unit = 0.0


class SceneState(Message, leaf="state/scene", retain=True):
    """The scene the K1s were last asked for, and why."""

    look: Word
    pattern: Word
    palette_id: Annotated[int, Field(ge=0, le=len(PALETTES) - 1)]
    parameters: Parameters = Field(default_factory=dict)
    origin: Literal["auto", "request", "foreign", "safe"] = "auto"
    """Who chose it: the choreography, a request, or, in safe mode, nobody; `foreign`: somebody has set another on a K1."""
    held_until_ms: EpochMs | None = None
    """Until then the choreography leaves it alone."""


class OverrideState(Message, leaf="state/override", retain=True):
    """Who holds the edge off, over what and until when."""

    active: bool
    owner: Word = ""
    """The `caller` of the request."""
    scope: Word = ""
    """What is held: `scene`, `device <id>`, or a correction: `tempo`, `beat`."""
    expires_at_ms: EpochMs | None = None


class TempoMap(Message, leaf="tempo-map", retain=True, limit_bytes=SMALL_BYTES):
    """All a subscriber needs to compute every coming beat by itself: beat n is at anchor + (n - number) x period.

    One whose clock is not the edge's takes the difference from `beat`: receipt + `due_in_ms` - `due_at_ms`, the least of the
    last thirty or so. The map ends with `valid_until_ms`, and with a `status` of `stopping` or `lost`."""

    anchor_ms: EpochMs
    """UTC epoch of beat `number` at the line input, ms."""
    anchor_monotonic_ms: NonNegative
    """The same instant on the edge's monotonic clock, for those on the same machine."""
    boot_id: Word = ""
    number: BeatNumber
    period_ms: Annotated[float, Field(gt=0, le=10_000)]
    beat_in_bar: BeatInBar = 0
    """Of beat `number`: 1 = downbeat, 0 = not known."""
    beats_per_bar: BeatInBar = 0
    """0 = not known."""
    confidence: Unit
    alternatives: Alternatives = ()
    valid_until_ms: EpochMs
    """Told anew long before; brought forward to now when the beat, or the sound, is lost."""


class Beat(Message, leaf="beat", qos=0, expiry_s=1.0, limit_bytes=SMALL_BYTES):
    """One beat, announced before it is due. A repeated `number` corrects the earlier announcement."""

    number: BeatNumber
    due_in_ms: Annotated[float, Field(ge=-10_000, le=10_000)]
    """From `ts_ms` until the beat, for those whose clock is not the edge's."""
    due_at_ms: EpochMs
    """UTC epoch of the beat at the line input, ms."""
    bpm: Bpm
    beat_in_bar: BeatInBar = 0
    """1 = downbeat, 0 = not known."""
    downbeat: bool
    strength: Unit
    confidence: Unit


class Frame(Message, leaf="frame", qos=0, expiry_s=1.0, limit_bytes=SMALL_BYTES):
    """The live features and macros."""

    index: Count
    """Sample index at the end of the hop it describes."""
    level_dbfs: Level
    centroid_hz: NonNegative = 0.0
    novelty: NonNegative = 0.0
    """How much the sound has just changed, mean of all bands."""
    silent: bool
    bpm: Bpm
    phase: Annotated[float, Field(ge=0, le=1)]
    """From one beat (0) to the next (1)."""
    confidence: Unit
    lock: bool
    """The beat is sure enough to be announced."""
    section: Label
    energy: Unit
    vocal_presence: Unit
    bass_weight: Unit
    percussiveness: Unit
    brightness: Unit
    bands: Annotated[tuple[NonNegative, ...], Field(max_length=96)] = ()
    """Levels from low to high, on a logarithmic scale of their own that follows the loudest."""


EVENT_KINDS = (
    "build", "drop", "breakdown", "section", "silence",
    "alarm", "drift_warning", "auto_rollback", "clock", "link",
    "config", "override", "job_completed", "job_failed", "limiter", "score",
)  # fmt: skip
"""Of the music; of what is wrong; of what was done."""


class Event(Message, leaf="event/{kind}"):
    """Something that happened once."""

    kind: Annotated[Word, Field(examples=list(EVENT_KINDS))]
    """The last level of the topic. An `alarm` that is over is told again, with its `code` and severity `info`."""
    severity: Literal["info", "warning", "alarm"] = "info"
    code: Code = ""
    reason: Text = ""
    remedy: Text = ""
    """What a person can do about it."""
    due_in_ms: Signed | None = None
    """From `ts_ms` until it is due; negative when it is over."""
    due_at_ms: EpochMs | None = None
    confidence: Unit | None = None
    data: Annotated[dict[Word, Scalar], Field(max_length=32)] = Field(default_factory=dict)
    """Of a section `index`, `label`, `provisional`; of an override `verb`, `caller`, `id`; of a job `job`, `track`, `file`."""


class Telemetry(Message, leaf="telemetry", qos=0):
    """How the edge fares, once a second unless configured otherwise."""

    uptime_s: NonNegative = 0.0
    drift_ms: Signed | None = None
    """Signed median of detected minus predicted beat time over the last eight beats."""
    cpu_pct: NonNegative | None = None
    temp_c: Annotated[float, Field(ge=-60, le=200)] | None = None
    rss_mb: NonNegative | None = None
    hops: Count | None = None
    deadline_misses: Count | None = None
    hop_load_pct_p50: NonNegative | None = None
    hop_load_pct_p99: NonNegative | None = None
    hop_load_pct_max: NonNegative | None = None
    arrival_jitter_ms_p99: NonNegative | None = None
    audio_lag_ms: Signed | None = None
    """From the arrival of a hop until it is worked on, median of ten seconds: it grows where the edge does not keep up."""
    audio_lost_samples: Count | None = None
    audio_overflows: Count | None = None
    audio_reopened: Count | None = None
    """How often a source has been opened again, after the first."""
    input_level_dbfs: Level | None = None
    noise_floor_dbfs: Level | None = None
    beat_confidence: Unit | None = None
    bpm: Bpm | None = None
    beats_announced: Count | None = None
    announce_lead_ms_p50: Signed | None = None
    """From an announcement to its beat, over the last 64."""
    section: Label | None = None
    unsent: Count | None = None
    mqtt_connected: bool | None = None
    mqtt_sent: Count | None = None
    mqtt_received: Count | None = None
    mqtt_reconnects: Count | None = None
    mqtt_dropped_live: Count | None = None
    mqtt_dropped_durable: Count | None = None
    mqtt_dropped_inbox: Count | None = None
    requests_ok: Count | None = None
    requests_rejected: Count | None = None
    rejected_messages: Count | None = None
    clamped_parameters: Count | None = None
    devices_ready: Count | None = None
    device_round_trip_ms_max: NonNegative | None = None
    errors: Annotated[dict[Code, Count], Field(max_length=32)] | None = None
    """Rejections by code since start."""
    extra: Annotated[dict[Word, Number], Field(max_length=64)] | None = None
    """Counters too young for a name of their own."""


EDGE_MESSAGES: tuple[type[Message], ...] = (
    Status, Info, AudioState, TempoState, SectionState, SceneState, OverrideState, TempoMap, Beat, Frame, Event, Telemetry,
    Job, Track, Deployment, ConfigReported, ConfigDesired,
)
