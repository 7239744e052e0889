"""A virtual K1: does with the contract's messages what a K1 would, up to the light (`render.py` makes the pixels).

Consumes topics and payloads with the device's own clock (ms, any origin, injected); emits publications (acknowledgements,
pongs, status, state) and, on demand, what there is to show. No clock, no socket, no screen in here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from k1edge.device_facts import DEFAULTS, PATTERNS
from k1edge.frames import MACROS, Macros
from k1edge.k1 import contract
from k1edge.k1.contract import ContractError, Publication
from k1edge.k1.contract.parameters import clamp

FIRMWARE = "virtual-1"
LED_COUNT = 160
FRAMES_PER_S = 120.0
"""What the device reports."""
REMEMBERED_FLASHES = 16
"""Beats whose waves can still be on the strip."""
PENDING_LIMIT = 32
STATE_GAP_MS = 500
CLOCK_DOUBT_MS, KEPT_MS = 1000, 30_000
"""So much later, or so much earlier, a beat may be due by the edge's clock than counted from receipt: beyond that the offset is
wrong, and the receipt is believed. No broker keeps a beat for KEPT_MS."""
KEPT_FLASHES = 100_000


@dataclass(frozen=True, slots=True)
class Flash:
    """A beat that was shown."""

    shown_ms: float
    due_ms: float
    """On the device's clock, before its own latency was taken off."""
    number: int
    downbeat: bool
    strength: float


@dataclass(frozen=True, slots=True)
class Scene:
    """A pattern in a palette, with every parameter."""

    pattern: str
    palette_id: int
    parameters: Mapping[str, float]
    since_ms: float = 0.0
    before_s: float = 0.0
    """How far the motion had come by then: it goes on from there, at its own speed."""

    def moved_s(self, now_ms: float) -> float:
        """How far the motion has come, in seconds at half speed."""
        return self.before_s + (now_ms - self.since_ms) / 1000 * (0.4 + 1.2 * self.parameters["speed"])


@dataclass(frozen=True, slots=True)
class Light:
    """All that the renderer needs for one frame."""

    now_ms: float
    led: bool
    """True while the edge leads; false: the K1 is on its own microphone."""
    scene: Scene
    before: Scene
    mix: float
    """0: `before` alone, 1: `scene` alone."""
    transition: str
    flashes: tuple[Flash, ...]
    """Newest first."""
    bpm: float
    macros: Macros


@dataclass(slots=True)
class DeviceCounters:
    """Since start."""

    shown: int = 0
    late: int = 0
    clamped: int = 0
    rejected: int = 0
    releases: int = 0
    """Times it went back to its own microphone."""


HOME = Scene("twilight", 0, DEFAULTS)


@dataclass(slots=True)
class VirtualK1:
    """The state of one device. `latency_ms` is how long its light takes: it shows beats that much earlier."""

    site: str
    device: str
    latency_ms: float = 0.0
    lag_ms: float = 0.0
    """How much longer the light takes than the device knows: what a calibration finds."""
    led: bool = False
    flashes: deque[Flash] = field(default_factory=lambda: deque(maxlen=KEPT_FLASHES))
    """Every beat shown, oldest first."""
    counters: DeviceCounters = field(default_factory=DeviceCounters)
    segment: str = ""
    offset_ms: float | None = None
    """Own clock minus the edge's, as the edge has measured it."""
    bpm: float = 0.0
    _macros: Macros = field(default_factory=Macros)
    _scene: Scene = HOME
    _before: Scene = HOME
    _transition: tuple[str, float, float] = ("fade", float("-inf"), 1.0)
    _pending: dict[int, tuple[float, contract.BeatCommand]] = field(default_factory=dict)
    _window: contract.SceneWindow[contract.SceneCommand] = field(default_factory=contract.SceneWindow)
    _last_shown: int = -1
    _to_confirm: list[tuple[str, float]] = field(default_factory=list)
    _heard_ms: float = float("-inf")
    _stopped_until_ms: float = float("-inf")
    _state_due_ms: float = float("-inf")
    _state_changed: bool = True
    _scribe: contract.Scribe = field(init=False)

    def __post_init__(self) -> None:
        self._scribe = contract.Scribe(self.site, self.device)

    @property
    def commands(self) -> str:
        """The topic filter to subscribe to."""
        return contract.topic(contract.SceneCommand, self.site, self.device).rpartition("/")[0] + "/+"

    def status(self, state: str, stamp: contract.Stamp) -> Publication:
        """`ready`, or `lost` as the will."""
        return self._scribe.write(contract.DeviceStatus, stamp, state=state, firmware=FIRMWARE)

    def hear(self, topic: str, payload: bytes, now_ms: float, stamp: contract.Stamp) -> list[Publication]:
        """Obey a command; what there is to answer. Never raises, whatever the bytes."""
        try:
            command = contract.decode(topic, payload)
            self._obey(command, now_ms, stamp)
        except ContractError as error:
            self.counters.rejected += 1
            wanted = {"id": error.request_id, "result": "rejected", "code": error.code, "reason": error.reason[:200]}
            return [self._scribe.write(contract.Ack, stamp, **wanted)] if error.request_id else []
        if isinstance(command, contract.PingCommand):
            times = {"sent_ms": command.sent_ms, "received_ms": now_ms, "answered_ms": now_ms}
            return [self._scribe.write(contract.Pong, stamp, id=command.id, **times)]
        if not command.id or any(beat is command for _, beat in self._pending.values()):
            return []
        if isinstance(command, contract.BeatCommand) and command.tick:
            late = {"result": "rejected", "code": "NOT_SHOWN", "reason": "came too late, or nobody leads"}
            return [self._scribe.write(contract.Ack, stamp, id=command.id, **late)]
        return [self._scribe.write(contract.Ack, stamp, id=command.id, result="ok")]

    def show(self, now_ms: float) -> Light:
        """Everything that is due happens; what the strip shows now."""
        self._show_due(now_ms)
        self._change(self._window.due(now_ms), now_ms)
        if self.led and now_ms - self._heard_ms > contract.STALE_MS:
            self._release()
        name, since_ms, duration_ms = self._transition
        mix = min(1.0, max(0.0, (now_ms - since_ms) / duration_ms))
        recent = tuple(islice(reversed(self.flashes), REMEMBERED_FLASHES)) if self.led else ()
        return Light(now_ms, self.led, self._scene, self._before, mix, name, recent, self.bpm, self._macros)

    def next_due_ms(self) -> float:
        """When the next beat wants to be shown; infinity when none waits."""
        return min((show_ms for show_ms, _ in self._pending.values()), default=float("inf"))

    def report(self, now_ms: float, stamp: contract.Stamp) -> list[Publication]:
        """Beats shown that were to be confirmed; the device's state when it has changed, at most twice a second."""
        shown, self._to_confirm = self._to_confirm, []
        confirmed = [self._scribe.write(contract.Ack, stamp, id=beat, result="ok", shown_ms=at_ms) for beat, at_ms in shown]
        return confirmed + self._changed_state(now_ms, stamp)

    def _changed_state(self, now_ms: float, stamp: contract.Stamp) -> list[Publication]:
        if not self._state_changed or now_ms < self._state_due_ms:
            return []
        self._state_changed = False
        self._state_due_ms = now_ms + STATE_GAP_MS
        state = self._scribe.write(
            contract.DeviceState, stamp, firmware=FIRMWARE, source="edge" if self.led else "own",
            pattern=self._scene.pattern, palette_id=self._scene.palette_id, parameters=dict(self._scene.parameters),
            fps=FRAMES_PER_S, led_count=LED_COUNT, beats_shown=self.counters.shown, beats_late=self.counters.late,
            clamped=self.counters.clamped, rejected=self.counters.rejected,
        )
        return [state]

    def _obey(self, command: contract.Message, now_ms: float, stamp: contract.Stamp) -> None:
        match command:
            case contract.BeatCommand():
                self._expect(command, now_ms)
            case contract.MacroCommand():
                self._macros = Macros(**{name: getattr(command, name) for name in MACROS})
                self._follow(now_ms)
            case contract.SceneCommand():
                self._refuse_scene(command, stamp)
                self._change(self._window.offer(command, now_ms), now_ms)
            case contract.SyncCommand(action="stop" | "pause"):
                self._stopped_until_ms = now_ms + contract.STALE_MS
                self._release()
            case contract.SyncCommand():
                self._stopped_until_ms = float("-inf")
            case contract.SegmentCommand():
                self.segment = command.label
            case contract.PingCommand():
                self.offset_ms = command.offset_ms if command.offset_ms is not None else self.offset_ms
            case _:
                raise ContractError("UNKNOWN_TOPIC", "not a command for a K1")

    def _follow(self, now_ms: float) -> None:
        """The edge leads, unless it has just said stop: what was on its way then does not count."""
        if now_ms < self._stopped_until_ms:
            return
        self._heard_ms = now_ms
        if not self.led:
            self.led = self._state_changed = True

    def _release(self) -> None:
        if self.led:
            self.counters.releases += 1
            self._state_changed = True
        self.led = False
        self.bpm = 0.0
        self._macros = Macros()
        self._pending.clear()

    def _expect(self, beat: contract.BeatCommand, now_ms: float) -> None:
        self._follow(now_ms)
        if not self.led:
            return
        self.bpm = beat.bpm
        if not beat.tick or beat.number == self._last_shown:
            return
        due_ms = self._due_ms(beat, now_ms)
        if due_ms - self.latency_ms < now_ms - contract.LATE_MS:
            self.counters.late += 1
            self._pending.pop(beat.number, None)
            return
        if len(self._pending) < PENDING_LIMIT or beat.number in self._pending:
            self._pending[beat.number] = (due_ms - self.latency_ms, beat)

    def _due_ms(self, beat: contract.BeatCommand, now_ms: float) -> float:
        """On the device's clock: by the edge's clock where the offset is known, else counted from receipt."""
        by_receipt = now_ms + beat.due_in_ms
        if self.offset_ms is None:
            return by_receipt
        by_clock = beat.due_at_ms + self.offset_ms
        return by_clock if -KEPT_MS < by_clock - by_receipt < CLOCK_DOUBT_MS else by_receipt

    def _show_due(self, now_ms: float) -> None:
        due = sorted((show_ms, number) for number, (show_ms, _) in self._pending.items() if show_ms <= now_ms)
        for show_ms, number in due:
            _, beat = self._pending.pop(number)
            if now_ms - show_ms > contract.LATE_MS:
                self.counters.late += 1
                continue
            if beat.id:
                self._to_confirm.append((beat.id, now_ms + self.latency_ms + self.lag_ms))
            self.flashes.append(Flash(now_ms, show_ms + self.latency_ms, number, beat.downbeat, beat.strength))
            self.counters.shown += 1
            self._last_shown = number

    def _refuse_scene(self, scene: contract.SceneCommand, stamp: contract.Stamp) -> None:
        if scene.pattern not in PATTERNS:
            raise ContractError("INVALID_REQUEST", f"no pattern is called {scene.pattern}", scene.id)
        if stamp.clock_synced and scene.clock_synced and scene.expires_at_ms < stamp.ts_ms:
            raise ContractError("EXPIRED", "this scene was for another evening", scene.id)

    def _change(self, scene: contract.SceneCommand | None, now_ms: float) -> None:
        """Begin the transition to a scene that the window lets pass; what it leaves out stays as it is."""
        if scene is None:
            return
        parameters, changed = clamp(scene.parameters)
        self.counters.clamped += changed
        self._before = self._scene
        wanted = {**self._scene.parameters, **parameters}
        self._scene = Scene(scene.pattern, scene.palette_id, wanted, now_ms, self._before.moved_s(now_ms))
        self._transition = (scene.transition, now_ms, max(1.0, scene.transition_ms))
        self._state_changed = True
