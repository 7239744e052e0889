"""The MQTT contract between an edge, its K1s and anyone who listens: the only place that knows topics and JSON.

Consumes and emits messages (frozen models whose class facts give topic, QoS, retain and direction) and bytes. Layer: pure.
Version 1 of the contract; its JSON Schema and AsyncAPI document are generated from these classes (`schema.py`).
"""

from k1edge.k1.contract.device import (
    LATE_MS,
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
from k1edge.k1.contract.library import LIBRARY_VERBS
from k1edge.k1.contract.message import ROOT, VERSION, ContractError, Message, Publication, printable
from k1edge.k1.contract.pacing import AnswerCache, CallerLimits, Gate, SceneWindow, TokenBucket
from k1edge.k1.contract.records import ConfigDesired, ConfigReported, Deployment, Job, Track
from k1edge.k1.contract.requests import CODES, CORRECTED, LEASE_S, REQUESTS, VERBS, Request, Response, SimulateArguments
from k1edge.k1.contract.wire import Scribe, Stamp, address, decode, encode, sender, topic

__all__ = [
    "CODES", "CORRECTED", "EDGE_MESSAGES", "LATE_MS", "LEASE_S", "LIBRARY_VERBS", "REQUESTS", "ROOT",
    "SCENE_WINDOW_MS", "STALE_MS", "VERBS", "VERSION", "Ack", "AnswerCache", "AudioState", "Beat", "BeatCommand",
    "CallerLimits", "ConfigDesired", "ConfigReported", "ContractError", "Deployment", "DeviceState", "DeviceStatus",
    "Event", "Frame", "Gate", "Info", "Job", "MacroCommand", "Message", "OverrideState", "PingCommand", "Pong",
    "Publication", "Request", "Response", "SceneCommand", "SceneState", "SceneWindow", "Scribe", "SectionState",
    "SegmentCommand", "SimulateArguments", "Stamp", "Status", "SyncCommand", "Telemetry", "TempoMap", "TempoState",
    "TokenBucket", "Track", "address", "clock_offset_ms", "decode", "encode", "printable", "sender", "topic",
]
