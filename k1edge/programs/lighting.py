"""How late each K1's light is: beats sent to it, and what it says of when they were shown.

Consumes a site's K1s on its broker; emits, per K1, how late each beat's light was on this machine's clock, and the round trip.
A K1's own clock is compared with ours by pings, the quickest of which is right to within half its round trip.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from k1edge.config import Settings
from k1edge.device_facts import PALETTES, PARAMETERS
from k1edge.genesis.limiter import Limiter
from k1edge.k1 import contract
from k1edge.k1.contract import ContractError, Scribe, Stamp, clock_offset_ms
from k1edge.k1.link import Identity, Link
from k1edge.programs.options import until, visitor
from k1edge.system.timesync import is_synchronised

CONNECT_S, LOOK_S, ANSWER_S = 10.0, 1.5, 1.0
PINGS, PING_EVERY_S = 20, 0.1
BEAT_EVERY_S, AHEAD_MS = 0.6, 300.0
"""Below two flashes a second, and far enough ahead for any network."""
MACRO_EVERY_S = 0.1
POLL_S = 0.002
BPM = 60 / BEAT_EVERY_S
SEEN = {"pattern": "pulse", "palette_id": PALETTES.index("Blue Magenta White"), "transition_ms": 0,
        "parameters": {name: PARAMETERS[name].default for name in ("brightness", "saturation", "warmth")}}
"""The scene in which beats are sent: in the one that stands they may not be seen, or be flashes of red."""


@dataclass(slots=True)
class Light:
    """One K1 while it is measured."""

    round_trip_ms: float = float("inf")
    offset_ms: float = 0.0
    """Its clock minus ours."""
    due_ms: dict[str, float] = field(default_factory=dict)
    late_ms: list[float] = field(default_factory=list)
    problem: str = "it answers no ping"
    limiter: Limiter = field(default_factory=Limiter)


class Lighting:
    """A connection to the K1s of one site."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._scribe = Scribe(settings.site, settings.edge)
        self._lights: dict[str, Light] = {}
        self._edge_state = ""
        site, edge = settings.site, settings.edge
        reports = [contract.topic(model, site, "+") for model in (contract.DeviceStatus, contract.Pong, contract.Ack)]
        topics = [*reports, contract.topic(contract.Status, site, edge)]
        self._link = Link(settings.mqtt, Identity(visitor("k1edge-calibrate"), topics))

    def __enter__(self) -> Self:
        self._link.start()
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._link.close()

    def fault(self) -> str:
        """Why nothing can be measured; '' when it can."""
        if not self._until(lambda: self._link.connected, CONNECT_S):
            why = self._link.last_reason or self._link.parting or "no answer"
            return f"{self._settings.mqtt.url} cannot be used: {why}; see k1edge doctor"
        self._until(lambda: False, LOOK_S)  # what is retained comes at once, but nobody says when it is over
        if self._edge_state in ("ready", "degraded", "init"):
            return "k1edge runs and drives the K1s itself; first: systemctl stop k1edge"
        return "" if self._lights else f"no K1 has reported at site {self._settings.site}; check its power and its broker"

    def measure(self, beats: int) -> dict[str, Light]:
        """All K1s at the same time, one beat after another."""
        for _ in range(PINGS):
            self._to_all(contract.PingCommand)
            self._until(lambda: False, PING_EVERY_S)
        for light in self._lights.values():
            light.problem = "it does not say when a beat was shown; set its latency_ms by eye"
        self._to_all(contract.SyncCommand, action="start", bpm=BPM)
        expires_at_ms = _now_ms() + 1000 * BEAT_EVERY_S * (beats + 1)
        self._to_all(contract.SceneCommand, sender=self._scribe.node, expires_at_ms=expires_at_ms, **SEEN)
        for number in range(1, beats + 1):
            self._beat(number)
            for _ in range(round(BEAT_EVERY_S / MACRO_EVERY_S)):
                self._to_all(contract.MacroCommand)  # else a K1 believes that nobody leads
                self._until(lambda: False, MACRO_EVERY_S)
        self._until(lambda: not any(light.due_ms for light in self._lights.values()), ANSWER_S)
        self._to_all(contract.SyncCommand, action="stop")
        return self._lights

    def _beat(self, number: int) -> None:
        name, due_ms = f"calibrate-{number}", _now_ms() + AHEAD_MS
        for light in self._lights.values():
            light.due_ms[name] = due_ms
        beat = {"number": number, "bpm": BPM, "due_in_ms": AHEAD_MS, "due_at_ms": due_ms, "confidence": 1.0}
        self._to_all(contract.BeatCommand, id=name, **beat)

    def _to_all(self, model: type[contract.Message], **fields: object) -> None:
        for device, light in self._lights.items():
            now = _now_ms()
            more: dict[str, object] = {}
            if model is contract.PingCommand:
                more = {"sent_ms": now}
                if light.round_trip_ms < float("inf"):
                    more |= {"offset_ms": light.offset_ms, "round_trip_ms": light.round_trip_ms}
            stamp = Stamp(round(now), is_synchronised(), time.monotonic_ns())
            for safe in light.limiter.process(model(**fields, **more), stamp.monotonic_ns / 1e6):
                self._link.send(self._scribe.post(device, safe, stamp))

    def _until(self, truth: Callable[[], bool], limit_s: float) -> bool:
        """Hears what is said until it is true; False when it does not become so in time."""
        def heard() -> bool:
            for received in self._link.receive():
                self._heard(received.topic, received.payload, received.arrival.heard_ns)
            return truth()

        return until(heard, limit_s, POLL_S)

    def _heard(self, topic: str, payload: bytes, heard_ns: int) -> None:
        try:
            message, node = contract.decode(topic, payload), contract.address(topic).node
        except ContractError:
            return
        if isinstance(message, contract.Status):
            self._edge_state = message.state
        elif isinstance(message, contract.DeviceStatus) and message.state == "ready":
            self._lights.setdefault(node, Light())
        elif light := self._lights.get(node):
            self._measured(light, message, heard_ns)

    @staticmethod
    def _measured(light: Light, message: contract.Message, heard_ns: int) -> None:
        if isinstance(message, contract.Pong):
            heard_ms = _now_ms() - (time.monotonic_ns() - heard_ns) / 1e6
            offset_ms, round_trip_ms = clock_offset_ms(message, heard_ms)
            if 0 <= round_trip_ms < light.round_trip_ms:
                light.round_trip_ms, light.offset_ms = round_trip_ms, offset_ms
        elif isinstance(message, contract.Ack) and (due_ms := light.due_ms.pop(message.id, None)) is not None:
            if message.shown_ms is not None:
                light.late_ms.append(message.shown_ms - light.offset_ms - due_ms)
            elif message.result == "rejected":
                light.problem = f"it showed none: {message.reason}"


def _now_ms() -> float:
    """On the wall clock, with fractions."""
    return time.time_ns() / 1e6
