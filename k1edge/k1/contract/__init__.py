"""The MQTT contract between an edge, its K1s and anyone who listens: the only place that knows topics and JSON.

Consumes and emits messages (frozen models whose class facts give topic, QoS, retain and direction) and bytes. Pure.
Version 1 of the contract; its JSON Schema and AsyncAPI document are generated from these classes (`schema.py`).
"""

from k1edge.k1.contract.device import (
    COMMANDS,
    LATE_MS,
    REPORTS,
    SCENE_WINDOW_MS,
    STALE_MS,
    Ack,
    BeatCommand,
    DeviceState,
    DeviceStatus,
    MacroCommand,
    PingCommand,
    Pong,
    SceneCommand,
    SegmentCommand,
    SyncCommand,
    clock_offset_ms,
)
from k1edge.k1.contract.edge import (
    EDGE_MESSAGES,
    STATES,
    AudioState,
    Beat,
    Event,
    Frame,
    Info,
    OverrideState,
    SceneState,
    SectionState,
    Status,
    Telemetry,
    TempoMap,
    TempoState,
)
from k1edge.k1.contract.library import LIBRARY_CODES, LIBRARY_VERBS
from k1edge.k1.contract.message import ROOT, VERSION, ContractError, Message, Publication
from k1edge.k1.contract.pacing import AnswerCache, CallerLimits, SceneWindow, TokenBucket
from k1edge.k1.contract.records import ConfigDesired, ConfigReported, Deployment, Job, Track
from k1edge.k1.contract.requests import (
    CODES,
    CORRECTED,
    LEASE_S,
    REQUESTS,
    VERBS,
    HoldArguments,
    MomentArguments,
    NoArguments,
    NudgeArguments,
    Request,
    Response,
    SceneArguments,
    SimulateArguments,
)
from k1edge.k1.contract.wire import Address, Scribe, Stamp, address, decode, encode, sender, topic

__all__ = [
    "CODES", "COMMANDS", "CORRECTED", "EDGE_MESSAGES", "LATE_MS", "LEASE_S", "LIBRARY_CODES", "LIBRARY_VERBS",
    "REPORTS", "REQUESTS", "ROOT", "SCENE_WINDOW_MS", "STALE_MS", "STATES", "VERBS", "VERSION", "Ack", "Address",
    "AnswerCache", "AudioState", "Beat", "BeatCommand", "CallerLimits", "ConfigDesired", "ConfigReported", "ContractError",
    "Deployment", "DeviceState", "DeviceStatus", "Event", "Frame", "HoldArguments", "Info", "Job", "MacroCommand", "Message",
    "MomentArguments", "NoArguments", "NudgeArguments", "OverrideState", "PingCommand", "Pong", "Publication", "Request",
    "Response", "SceneArguments", "SceneCommand", "SceneState", "SceneWindow", "Scribe", "SectionState", "SegmentCommand",
    "SimulateArguments", "Stamp", "Status", "SyncCommand", "Telemetry", "TempoMap", "TempoState", "TokenBucket", "Track",
    "address", "clock_offset_ms", "decode", "encode", "sender", "topic",
]
