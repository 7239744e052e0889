"""The messages between an edge and a K1: commands down, status, state and acknowledgements up.

Consumes / emits JSON of less than 1 KB each, at `k1/v1/<site>/device/<device>/...`. A beat is shown at its due time
minus the device's own latency; `due_at_ms` counts on the edge's clock, `due_in_ms` from the moment of sending, for a K1
without one.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from k1edge.device_facts import PALETTES, PARAMETERS, PATTERNS, TRANSITIONS
from k1edge.frames import SECTION_LABELS
from k1edge.k1.contract.message import SMALL_BYTES, Bpm, Code, CommandId, Count, EpochMs, Message, Text, Unit, Word

SCENE_WINDOW_MS = 300
"""A K1 takes one change of parameters in this time and refuses the rest."""
STALE_MS = 250
"""Without beat or macro for this long a K1 returns to its own microphone."""
LATE_MS = 50
"""A beat later than this is dropped: no light is better than light off the beat."""

BeatNumber = Annotated[int, Field(ge=0, le=2**53 - 1, description="Rises with each beat; begins anew with the edge.")]
BarsLeft = Annotated[Count, Field(description="Bars until it ends, most likely, with this one; 0 = not known.")]
Label = Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$", examples=list(SECTION_LABELS))]
"""Canonical lower case: a K1 hashes it."""
_RANGES = {
    name: {"minimum": limits.low, "maximum": limits.high, "default": limits.default}
    for name, limits in PARAMETERS.items()
}
Parameters = Annotated[
    dict[Word, Annotated[float, Field(ge=-1000, le=1000)] | bool],
    Field(max_length=32, description="Parameters by name; out of range is clamped.", json_schema_extra={"x-ranges": _RANGES}),
]
Pattern = Annotated[Word, Field(examples=list(PATTERNS))]
Transition = Annotated[Word, Field(examples=list(TRANSITIONS))]
TransitionMs = Annotated[int, Field(ge=0, le=60_000)]


class Command(Message, direction="to-device", limit_bytes=SMALL_BYTES):
    """Something a K1 is asked to do. With an `id` it is acknowledged."""

    id: CommandId = ""


class BeatCommand(Command, leaf="cmd/beat", qos=0, expiry_s=1.0):
    """A beat that is about to happen. A repeated `number` corrects the earlier announcement.

    A K1 shows it when it is due, earlier by what its own light takes where the edge is not told of that (`latency_ms` of the
    K1 in its configuration), and drops it when it is more than 50 ms late."""

    number: BeatNumber
    bpm: Annotated[float, Field(ge=30, le=300)]
    phase: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of the beat at the moment of sending."""
    due_in_ms: Annotated[float, Field(ge=-10_000, le=10_000)]
    """From sending, less the `latency_ms` that the edge knows of this K1: for one that has no `offset_ms` yet."""
    due_at_ms: EpochMs
    """The same moment on the edge's clock: with the `offset_ms` of `cmd/ping` added, on the K1's own."""
    tick: bool = True
    """False: only tempo and phase, no beat to show."""
    downbeat: bool = False
    beat_in_bar: Annotated[int, Field(ge=0, le=3)] = 0
    """From 0, unlike anywhere else: 0 = downbeat, or not known where `downbeat` is false; 3 = the fourth or a later one."""
    strength: Unit = 1.0
    confidence: Unit


class MacroCommand(Command, leaf="cmd/macro", qos=0, expiry_s=1.0):
    """The five slow controls, 10-30 times a second.

    With every macro and every beat the edge leads; after 250 ms without either a K1 is back on its own microphone. One that was
    led, and hears nothing for five seconds, does well to connect anew: TCP waits longer with each try."""

    energy: Unit = 0.0
    vocal_presence: Unit = 0.0
    bass_weight: Unit = 0.0
    percussiveness: Unit = 0.0
    brightness: Unit = 0.0


class SegmentCommand(Command, leaf="cmd/segment", expiry_s=5.0):
    """The part of the music that has begun; told again as its bars are counted down, and where its label is put right."""

    index: Annotated[int, Field(ge=0, le=255)]
    """That of `state/section`, modulo 256."""
    label: Label
    start_at_ms: EpochMs
    """On the edge's clock; most parts are known for what they are only after they have begun."""
    confidence: Unit
    provisional: bool = False
    bars_left: BarsLeft = 0
    bars_left_probability: Unit = 0.0
    """Near 1 where a stored map leads."""


class SceneCommand(Command, leaf="cmd/scene", retain=True, expiry_s=3600.0):
    """A pattern in a palette with parameters; retained, so that a K1 that restarts finds it, until it expires.

    A K1 keeps parameters that are left out: of those that its scenes have set, an edge says the default where one does not.
    It takes one scene in 300 ms, of those that come meanwhile the newest. A ramp is many scenes, each with a transition that
    lasts until the next."""

    sender: Word = ""
    """The node that asks: an edge knows its own scenes from those of a hand on the controls."""
    pattern: Pattern
    palette_id: Annotated[int, Field(ge=0, le=len(PALETTES) - 1, json_schema_extra={"x-names": list(PALETTES)})]
    parameters: Parameters = Field(default_factory=dict)
    transition: Transition = "fade"
    transition_ms: TransitionMs = 1000
    expires_at_ms: EpochMs
    """On the sender's clock. A K1 refuses a scene that has expired where both clocks are set (`clock_synced`)."""


class SyncCommand(Command, leaf="cmd/sync", expiry_s=5.0):
    """Transport. `stop` gives the K1 back to its own microphone at once.

    So does `pause`; beats and macros that were on their way, for 250 ms at most, change nothing about it. An edge says
    `start`, with the tempo, 0 where there is none, to a K1 that has come, and `stop` when it has no sound, or ends."""

    action: Literal["start", "stop", "pause", "resume", "seek"]
    position_ms: Annotated[float, Field(ge=0, le=86_400_000)] = 0.0
    bpm: Bpm = 0.0


class PingCommand(Command, leaf="cmd/ping", qos=0, expiry_s=1.0):
    """Asks for a `pong`, and tells the K1 what earlier ones have shown: how far its clock is from the edge's."""

    sent_ms: EpochMs
    """On the edge's clock."""
    offset_ms: float | None = None
    """Device clock minus edge clock, as known so far."""
    round_trip_ms: Annotated[float, Field(ge=0)] | None = None


class Report(Message, direction="from-device", limit_bytes=8192):
    """Something a K1 says about itself."""


class Pong(Report, leaf="pong", qos=0):
    """The answer to a ping: its `sent_ms`, and the device's own clock at receipt and at answer.

    Best a clock that is never set while it runs: by one that is, beats are wrong until the next answer."""

    id: CommandId = ""
    sent_ms: EpochMs
    received_ms: EpochMs
    answered_ms: EpochMs


class DeviceStatus(Report, leaf="status", retain=True):
    """Whether a K1 is there; `lost` is its will.

    To be said at each connection: an edge then sends again what no broker keeps, the section for instance."""

    state: Literal["ready", "lost"]
    firmware: Word = ""
    boot_id: Word = ""
    """Another one at each start: the scene is sent again, too."""


class DeviceState(Report, leaf="state", retain=True):
    """What a K1 shows and how it fares: when it has changed, at most twice a second."""

    firmware: Word = ""
    source: Literal["edge", "own"] = "own"
    """Who leads: the edge, or the K1's own microphone."""
    pattern: Word = ""
    palette_id: Annotated[int, Field(ge=0, le=255)] = 0
    parameters: Parameters = Field(default_factory=dict)
    fps: Annotated[float, Field(ge=0, le=1000)] = 0.0
    frame_time_us: Annotated[float, Field(ge=0, le=1e6)] = 0.0
    cpu_percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    led_count: Annotated[int, Field(ge=0, le=4096)] = 0
    beats_shown: Count = 0
    beats_late: Count = 0
    """Dropped because they came more than 50 ms late."""
    clamped: Count = 0
    rejected: Count = 0


class Ack(Report, leaf="ack"):
    """The answer to a command that had an `id`; to a beat, once it was shown."""

    id: CommandId
    result: Literal["ok", "rejected"]
    code: Code = ""
    reason: Text = ""
    shown_ms: EpochMs | None = None
    """Of a beat: when its light was out, on the device's own clock. `k1edge calibrate` asks for it."""


COMMANDS: tuple[type[Message], ...] = (
    BeatCommand, MacroCommand, SegmentCommand, SceneCommand, SyncCommand, PingCommand,
)
REPORTS: tuple[type[Message], ...] = (Pong, DeviceStatus, DeviceState, Ack)


def clock_offset_ms(pong: Pong, heard_ms: float) -> tuple[float, float]:
    """(device clock minus edge clock, round trip), ms; `heard_ms` is the edge's clock when the pong arrived.

    The offset is right to within half the round trip, whichever way the delay was shared: believe the fastest of many.
    """
    there = pong.received_ms - pong.sent_ms
    back = pong.answered_ms - heard_ms
    return (there + back) / 2, there - back
