"""What an edge says about itself: its status, what it is, what its input is like, how it fares.

Consumes the state of the edge's parts; emits `Publication`s: each truth when it has changed, telemetry when it is asked for.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from k1edge import __version__
from k1edge.audio import STALLED, AudioError
from k1edge.config import Settings
from k1edge.daemon.health import Health
from k1edge.daemon.sources import Input
from k1edge.daemon.telemetry import Telemetry
from k1edge.frames import HOP_NS, Alarm, GenesisFrame
from k1edge.k1 import contract
from k1edge.k1.contract import ContractError, Gate, Publication, Scribe, Stamp, home_assistant, printable
from k1edge.k1.contract.message import TEXT_LIMIT
from k1edge.k1.contract.schema import JSON_SCHEMA, committed
from k1edge.k1.link import Link
from k1edge.live.desk import Desk
from k1edge.live.driver import Driver
from k1edge.live.guard import DriftGuard
from k1edge.live.selfscore import SelfScore
from k1edge.system.generations import digest

LEVEL_STEP_DB = 6
"""A smaller change of level is not worth a message."""
LIMITS_EVERY_NS = 10_000_000_000
REFUSED_EVERY_NS = 60_000_000_000
DRIFT_STANDS_NS = 5_000_000_000
"""So long a level of drift stands before it is told: eight beats of syncopated music are 20 ms off at times, for a moment."""
GONE = "k1edge has stopped, and nobody listens"
REFUSED = "mend what sends this; `k1edge contract` says what a message may hold"
DOUBT = Alarm("CONFIDENCE_LOW", "there is sound, and its beat has been uncertain for ten seconds",
              "if it is music with a beat, check that the line carries that alone; `k1edge ask tempo.tap` says where a beat is")


class Bulletin:
    """The edge in its own words."""

    def __init__(self, settings: Settings, scribe: Scribe, boot_id: str) -> None:
        self._settings = settings
        self._scribe = scribe
        self._boot_id = boot_id
        self._began_s = time.monotonic()
        self._status = ("", "", "")
        self._introduced: tuple | None = None
        self._audio = Gate()
        self._limited: dict[str, int] = {}
        self._limits_due_ns = self._refused_due_ns = 0
        self._line: tuple[Alarm, ...] = ()
        self._alarms: tuple[Alarm, ...] = ()
        self._lost: set[str] = set()
        """Codes of what has been said of audio that is gone."""
        self._drift, self._level, self._level_ns = "ok", "ok", 0
        """What was told of the drift, what it is now, and since when."""
        self._doubtful = False

    def status(self, stamp: Stamp, state: str, code: str = "", reason: str = "") -> Iterator[Publication]:
        """`init`, `ready`, `degraded` or `stopping`, when that is news."""
        if (state, code, reason) != self._status:
            self._status = (state, code, reason)
            yield self._scribe.write(contract.Status, stamp, state=state, code=code, reason=reason[:TEXT_LIMIT],
                                     boot_id=self._boot_id, insecure=self._settings.mqtt.insecure)

    def discovery(self) -> Iterator[Publication]:
        """What Home Assistant is told of this edge, if it is to be told."""
        settings = self._settings
        if settings.home_assistant.discovery:
            palettes = {look.pattern: look.palette for look in settings.looks.values()}
            yield home_assistant.discovery(settings.site, settings.edge, __version__, palettes)

    def introduction(self, stamp: Stamp, source: Input, config_hash: str, k1s: tuple[str, ...]) -> Iterator[Publication]:
        """What this edge is and runs with, when that has changed."""
        news = (source.device, source.rate_hz, config_hash, k1s)
        if news == self._introduced:
            return
        self._introduced = news
        yield self._scribe.write(
            contract.Info, stamp, version=__version__, contract=contract.VERSION, config_hash=config_hash,
            schema_hash=digest(committed(JSON_SCHEMA).encode()), boot_id=self._boot_id, engine=self._settings.beat.engine,
            audio_device=source.device[:TEXT_LIMIT], audio_rate_hz=source.rate_hz, devices=k1s,
            capabilities=tuple(contract.VERBS),
        )  # fmt: skip

    def audio(self, stamp: Stamp, frame: GenesisFrame, source: Input) -> Iterator[Publication]:
        """What the input is like, when it has changed, and that it is there again."""
        for code in sorted(self._lost):
            yield self._over(stamp, code)
        self._lost.clear()
        features, lost = frame.features, source.lost_samples
        state = "silent" if features.silent else "ok"
        alarm = self._line[0] if self._line else None
        said = {} if alarm is None else alarm._asdict()
        news = (state, round(features.level_dbfs / LEVEL_STEP_DB), lost, alarm)
        if self._audio.passes(news, stamp.monotonic_ns // HOP_NS):
            yield self._scribe.write(
                contract.AudioState, stamp, state=state, device=source.device[:TEXT_LIMIT], rate_hz=source.rate_hz,
                level_dbfs=round(features.level_dbfs, 1), noise_floor_dbfs=round(features.noise_floor_dbfs, 1),
                lost_samples=lost, **said,
            )  # fmt: skip

    def alarms(self, stamp: Stamp, line: tuple[Alarm, ...], box: tuple[Alarm, ...]) -> Iterator[Publication]:
        """What is wrong with the line and the box: an event when it begins or gets worse, and one when it is over."""
        self._line, standing = line, (*line, *box)
        for alarm in (a for a in standing if a not in self._alarms):
            yield self._begun(stamp, alarm)
        for alarm in (a for a in self._alarms if a.code not in {each.code for each in standing}):
            yield self._over(stamp, alarm.code)
        self._alarms = standing

    def farewell(self, stamp: Stamp, stopped: dict[str, int]) -> Iterator[Publication]:
        """Status `stopping`, what the limiter has `stopped`, and the end of all that was said to be wrong: the next life will
        not know that it was."""
        self._limits_due_ns = 0
        yield from self.limits(stamp, stopped)
        doubt = {DOUBT.code} if self._doubtful else set()
        for code in sorted({alarm.code for alarm in self._alarms} | self._lost | doubt):
            yield self._over(stamp, code, GONE)
        yield self._scribe.write(contract.AudioState, stamp, state="absent", reason=GONE)
        yield from self.status(stamp, "stopping")

    def _begun(self, stamp: Stamp, alarm: Alarm) -> Publication:
        return self._scribe.write(contract.Event, stamp, kind="alarm", severity="warning", **alarm._asdict())

    def _over(self, stamp: Stamp, code: str, reason: str = "is over") -> Publication:
        return self._scribe.write(contract.Event, stamp, kind="alarm", severity="info", code=code, reason=reason)

    def health(self, stamp: Stamp, guard: DriftGuard, otherwise: Health) -> Iterator[Publication]:
        """Status: off the beat, else `otherwise`. Warnings: another level of drift, or a beat that stays uncertain."""
        if guard.off_beat:
            yield from self.status(stamp, "degraded", "DRIFT", "the light was off the beat; the K1s use their own microphones")
        else:
            yield from self.status(stamp, *otherwise)
        if guard.level != self._level:
            self._level, self._level_ns = guard.level, stamp.monotonic_ns
        if guard.level != self._drift and stamp.monotonic_ns - self._level_ns >= DRIFT_STANDS_NS:
            self._drift = guard.level
            severity = {"ok": "info", "amber": "warning", "red": "alarm"}[guard.level]
            yield self._scribe.write(contract.Event, stamp, kind="drift_warning", severity=severity, code="DRIFT",
                                     data={"drift_ms": guard.drift_ms or 0.0, "level": guard.level})
        if guard.is_doubtful != self._doubtful:
            self._doubtful = guard.is_doubtful
            yield self._begun(stamp, DOUBT) if guard.is_doubtful else self._over(stamp, DOUBT.code)

    def rolled_back(self, stamp: Stamp, devices: list[str], guard: DriftGuard) -> Iterator[Publication]:
        """Every K1 was given back to its own microphone because the light was off the beat."""
        for device in devices:
            data = {"device": device, "drift_ms": guard.drift_ms or 0.0}
            yield self._scribe.write(contract.Event, stamp, kind="auto_rollback", severity="alarm", code="DRIFT",
                                     reason="more than 100 ms off the beat for 5 s", data=data)

    def audio_lost(self, stamp: Stamp, error: AudioError) -> Iterator[Publication]:
        """There is no input: status, the state, and an alarm, when that is news."""
        known = self._status
        said = {"code": error.code, "reason": error.reason[:TEXT_LIMIT], "remedy": error.remedy[:TEXT_LIMIT]}
        yield from self.status(stamp, "degraded", error.code, str(error))
        if self._status != known:
            self._lost.add(error.code)
            self._audio = Gate()  # when there is sound again, that is news, whatever it was like before
            state = "stalled" if error.code == STALLED else "absent"
            yield self._scribe.write(contract.AudioState, stamp, state=state, device=error.device[:TEXT_LIMIT], **said)
            yield self._scribe.write(contract.Event, stamp, kind="alarm", severity="alarm", **said)

    def clock_stepped(self, stamp: Stamp, step_s: float) -> Publication:
        """The wall clock is another than a second ago."""
        return self._scribe.write(contract.Event, stamp, kind="clock", severity="warning", code="CLOCK_STEPPED",
                                  reason="the wall clock stepped; times told before are off by as much",
                                  data={"step_s": round(step_s, 1)})

    def broker_back(self, stamp: Stamp, away_s: float, why: str) -> Publication:
        """The broker was away, and is there again."""
        return self._scribe.write(contract.Event, stamp, kind="link", severity="warning", code="BROKER_BACK",
                                  reason=why[:TEXT_LIMIT], data={"away_s": round(away_s, 1)})

    def refused(self, stamp: Stamp, topic: str, error: ContractError) -> Iterator[Publication]:
        """A K1 or a person has sent what breaks the contract; once a minute at most, since they send it again and again."""
        if stamp.monotonic_ns >= self._refused_due_ns:
            self._refused_due_ns = stamp.monotonic_ns + REFUSED_EVERY_NS
            yield self._scribe.write(contract.Event, stamp, kind="link", severity="warning", code=error.code,
                                     reason=printable(error.reason), remedy=REFUSED, data={"topic": printable(topic)})

    def limits(self, stamp: Stamp, stopped: dict[str, int]) -> Iterator[Publication]:
        """What the photosensitive limiter has stopped so far, when there is more; six times a minute at most."""
        if stopped != self._limited and stamp.monotonic_ns >= self._limits_due_ns:
            self._limited, self._limits_due_ns = stopped, stamp.monotonic_ns + LIMITS_EVERY_NS
            data = {name: float(count) for name, count in stopped.items()}
            yield self._scribe.write(contract.Event, stamp, kind="limiter", data=data)

    def score(self, stamp: Stamp, score: SelfScore, limited: int) -> Publication:
        """The engine's account of itself since the last one."""
        figures = score.report(limited)
        return self._scribe.write(contract.Event, stamp, kind="score", data={k: float(v) for k, v in figures.items()})

    def telemetry(self, stamp: Stamp, measured: Telemetry, heard: dict[str, object],
                  parts: tuple[Link, Driver, Desk]) -> Publication:
        """How the edge fares."""
        link, driver, desk = parts
        return self._scribe.write(
            contract.Telemetry, stamp, uptime_s=round(time.monotonic() - self._began_s, 1), unsent=link.queued,
            mqtt_connected=link.connected, mqtt_sent=link.counters.sent, mqtt_received=link.counters.received,
            mqtt_reconnects=link.counters.reconnects, mqtt_dropped_live=link.dropped_live,
            mqtt_dropped_durable=link.dropped_durable, mqtt_dropped_inbox=link.counters.dropped_inbox,
            requests_ok=desk.ok, requests_rejected=desk.rejected.total(), errors=dict(desk.rejected),
            clamped_parameters=driver.clamped, devices_ready=driver.k1s.ready,
            device_round_trip_ms_max=driver.k1s.round_trip_ms_max, **measured.snapshot(), **heard,
            extra=measured.extra() | {"degraded": float(self._status[0] == "degraded")},
        )  # fmt: skip


def heard(frame: GenesisFrame, source: Input, guard: DriftGuard) -> dict[str, object]:
    """What the last hop and its source say for telemetry."""
    return {
        "input_level_dbfs": round(frame.features.level_dbfs, 1), "section": frame.section.label,
        "noise_floor_dbfs": round(frame.features.noise_floor_dbfs, 1), "bpm": round(frame.beat.tempo_bpm, 2),
        "beat_confidence": round(frame.beat.confidence, 3), "drift_ms": guard.drift_ms,
        "audio_lost_samples": source.lost_samples, "audio_overflows": source.overflows,
    }  # fmt: skip
