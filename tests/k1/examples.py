"""One valid message of every class, each with fields that exercise its types."""

from __future__ import annotations

from k1edge.k1 import contract
from k1edge.k1.contract import REQUESTS, Message
from k1edge.k1.contract.schema import MESSAGES

STAMPED = {"seq": 5, "ts_ms": 1_700_000_000_123, "clock_synced": True}
BEAT = {"number": 41, "bpm": 127.9, "due_in_ms": 148.25, "due_at_ms": 1.7e12 + 148.25, "downbeat": True, "strength": 0.8,
        "confidence": 0.93}  # fmt: skip
MACROS = {"energy": 0.7, "vocal_presence": 0.1, "bass_weight": 0.9, "percussiveness": 0.6, "brightness": 0.4}
SCENE = {"pattern": "pulse", "palette_id": 30, "parameters": {"speed": 0.5, "mirror_mode": True}}
ALTERNATIVES = ({"bpm": 64.0, "probability": 0.2},)
_ARGUMENTS = {
    "track.list": {"text": "night", "status": "ready", "limit": 20},
    "track.get": {"track": "5e5e5e5e5e5e5e5e", "layers": ["rhythm", "frequency"], "points": 200},
    "track.import": {"path": "inbox/night.flac", "title": "Night", "tags": ["slow"], "priority": 7},
    "track.delete": {"track": "5e5e5e5e5e5e5e5e"},
    "track.restore": {"track": "5e5e5e5e5e5e5e5e"},
    "track.pin": {"track": "5e5e5e5e5e5e5e5e", "pinned": False},
    "version.list": {"track": "5e5e5e5e5e5e5e5e"},
    "version.diff": {"track": "5e5e5e5e5e5e5e5e", "old": 1, "new": 2},
    "version.promote": {"track": "5e5e5e5e5e5e5e5e", "version": 1},
    "deploy": {"track": "5e5e5e5e5e5e5e5e", "version": 2, "start_at_ms": 1.7e12},
    "beats.override": {"track": "5e5e5e5e5e5e5e5e", "beats": [0.5, 1.0], "edited_by": "ana", "note": "late"},
    "job.list": {"state": "queued"},
    "job.retry": {"job": "job-0a1b2c"},
    "job.cancel": {"job": "job-0a1b2c"},
    "artefact.list": {"track": "5e5e5e5e5e5e5e5e"},
    "bundle.get": {"track": "5e5e5e5e5e5e5e5e", "version": 2},
    "log.tail": {"track": "5e5e5e5e5e5e5e5e", "limit": 5},
    "scene.simulate": {"pattern": "bloom", "palette": 23, "seconds": 2.0, "bpm": 128.0},
    "scene.apply": {"pattern": "bloom", "palette": 23, "parameters": {"speed": 0.2}, "lease_s": 20.0},
    "scene.hold": {"lease_s": 30.0},
    "tempo.tap": {"at_ms": 1.7e12},
    "beat.nudge": {"ms": -12.5},
}

_BARE: dict[type[Message], dict[str, object]] = {
    contract.Status: {"state": "degraded", "code": "AUDIO_ABSENT", "reason": "no card", "boot_id": "b1"},
    contract.Info: {"version": "0.1.0", "contract": "1", "schema_hash": "ab", "config_hash": "cd", "devices": ("k1-a",),
                    "capabilities": ("beat", "genesis"), "audio_rate_hz": 48_000},
    contract.AudioState: {"state": "ok", "device": "hw:1", "rate_hz": 44_100, "level_dbfs": -18.5, "lost_samples": 3},
    contract.TempoState: {"bpm": 128.0, "confidence": 0.9, "lock": True, "beats_per_bar": 4, "alternatives": ALTERNATIVES},
    contract.SectionState: {"index": 3, "label": "drop", "since_ms": 1.7e12, "confidence": 0.8, "provisional": False},
    contract.SceneState: {"look": "drop", **SCENE, "origin": "request", "held_until_ms": 1.7e12},
    contract.OverrideState: {"active": True, "owner": "desk", "scope": "scene", "expires_at_ms": 1.7e12},
    contract.TempoMap: {"anchor_ms": 1.7e12, "anchor_monotonic_ms": 5.0e6, "number": 9, "period_ms": 468.75, "beat_in_bar": 1,
                        "beats_per_bar": 4, "confidence": 0.9, "alternatives": ALTERNATIVES, "valid_until_ms": 1.7e12},
    contract.Beat: {**BEAT, "beat_in_bar": 1},
    contract.Frame: {"index": 480_000, "level_dbfs": -20.0, "centroid_hz": 1800.0, "novelty": 1.5, "silent": False,
                     "bpm": 128.0, "phase": 0.25, "confidence": 0.9, "lock": True, "section": "verse", **MACROS,
                     "bands": (0.0, 3.5)},
    contract.Event: {"kind": "drop", "severity": "info", "code": "X", "due_in_ms": 800.0, "due_at_ms": 1.7e12,
                     "confidence": 0.7, "data": {"bars": 8.0, "sure": True, "why": "riser"}},
    contract.Telemetry: {"uptime_s": 12.5, "drift_ms": -1.5, "cpu_pct": 12.0, "temp_c": 51.0, "unsent": 0, "section": "drop",
                         "mqtt_connected": True, "errors": {"TOO_LARGE": 2}, "extra": {"holes": 1.0}},
    contract.Job: {"id": "j-1", "track": "t-1", "state": "processing", "stage": "beats", "progress": 0.4, "position": 0,
                   "eta_s": 12.0, "log_tail": ("decoding",)},
    contract.Track: {"id": "t-1", "title": "Ouvertüre", "duration_ms": 240_000.0, "bpm": 120.0, "status": "ready",
                     "version": 2, "updated_ms": 1.7e12, "detail": {"f_measure": 0.93}},
    contract.Deployment: {"id": "deploy-1", "track": "t-1", "version": 2, "state": "leading", "devices": {"k1-a": "ok"},
                          "start_at_ms": 1.7e12, "drift_ms": -3.0},
    contract.ConfigReported: {"hash": "abcd", "generation": 4, "origin": "last-known-good", "refused": "ef01",
                              "code": "CONFIG_INVALID", "faults": ("line 3: speed",)},
    contract.ConfigDesired: {"id": "c7", "caller": "fleet", "parent": "abcd", "toml": "[beat]\nlead_ms = 200\n"},
    contract.Response: {"id": "r1", "verb": "tempo.double", "caller": "desk", "result": "ok",
                        "data": {"tracks": [{"id": "t-1"}], "total": 1}},
    contract.BeatCommand: {**BEAT, "id": "c1", "phase": 0.7, "beat_in_bar": 3},
    contract.MacroCommand: MACROS,
    contract.SegmentCommand: {"index": 3, "label": "drop", "start_at_ms": 1.7e12, "confidence": 0.8, "provisional": True},
    contract.SceneCommand: {"id": "c2", "sender": "pi-1", **SCENE, "transition": "iris", "transition_ms": 500,
                            "expires_at_ms": 1.7e12},
    contract.SyncCommand: {"id": "c3", "action": "seek", "position_ms": 1000.0, "bpm": 120.0},
    contract.PingCommand: {"id": "p1", "sent_ms": 1.7e12, "offset_ms": -12.5, "round_trip_ms": 3.0},
    contract.Pong: {"id": "p1", "sent_ms": 1.7e12, "received_ms": 5.0e6, "answered_ms": 5.0e6},
    contract.DeviceStatus: {"state": "ready", "firmware": "virtual-1", "boot_id": "b2"},
    contract.DeviceState: {"source": "edge", **SCENE, "fps": 120.0, "frame_time_us": 6000.0, "cpu_percent": 30.0,
                           "led_count": 160, "beats_shown": 10, "beats_late": 1},
    contract.Ack: {"id": "c1", "result": "rejected", "code": "INVALID_REQUEST", "reason": "no such pattern"},
}  # fmt: skip
_REQUESTS = {
    REQUESTS[verb]: {"id": "r1", "caller": "desk", "expires_at_ms": 1.7e12, "args": _ARGUMENTS.get(verb, {})}
    for verb in contract.VERBS
}
assert {*_BARE, *_REQUESTS} == set(MESSAGES), "every message has an example in tests/k1/examples.py"
EXAMPLES = {model: STAMPED | fields for model, fields in (_BARE | _REQUESTS).items()}
