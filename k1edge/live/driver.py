"""Drives one to sixteen K1s: from what is known of the music to the commands each of them gets.

Consumes `GenesisFrame`s with the time line, and scenes that others have set; emits `Publication`s. No I/O: the daemon
brings the time and carries the messages. A beat is sent as soon as it is announced, to each device earlier by its latency;
macros at `macro_rate_hz`, which also tells a K1 that someone leads; scenes no faster than the window a K1 accepts.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator

from k1edge.clock import Timeline
from k1edge.config import K1Settings
from k1edge.config.settings import MAX_DEVICES
from k1edge.device_facts import DEFAULTS
from k1edge.frames import HOPS_PER_S, MACROS, BeatEvent, GenesisFrame, Look, Section
from k1edge.k1 import contract
from k1edge.k1.contract import ContractError, Publication, SceneWindow, Scribe, Stamp
from k1edge.k1.contract.parameters import clamp
from k1edge.live.follower import Follower
from k1edge.live.pulse import Pulse
from k1edge.live.roster import Roster

BPM_RANGE = (30.0, 300.0)
LAST_PLACE = 3
"""In a bar, from 0: a K1 knows bars of four, and a fifth beat must not be a downbeat to it."""
SPARING_HOPS = 10
"""From one macro to the next at most, where a K1 is spared: it follows for a quarter of a second, so that one may be late."""
SCENE_LIFE_MS = 3_600_000
SCENE_RENEWED_MS = 1_200_000
"""A scene is retained with an expiry, so that last night's is not shown today; while it stands it is renewed in time."""
AHEAD_MS = SCENE_LIFE_MS - SCENE_RENEWED_MS
"""A K1 whose clock is ahead by more may take a scene of ours for expired, and refuses it without a word."""


class Driver:
    """The commands of one edge to its K1s, `k1s`."""

    def __init__(self, settings: K1Settings, scribe: Scribe) -> None:
        self._scribe = scribe
        self.k1s = Roster(settings)
        self._left: dict[str, Collection[str]] = {}
        """By K1, there or not yet: parameters that a life of the edge before this one has set on it."""
        self._macro_every = math.ceil(HOPS_PER_S / settings.macro_rate_hz)
        self.macro_at_least = 1
        """Hops from one macro to the next while the edge must spare itself."""
        self._hops = 0
        self._pulse = Pulse()
        self._window: SceneWindow[Look] = SceneWindow()
        self._wanted: Look | None = None
        self.shown: Look | None = None
        """The look the K1s were last asked for."""
        self._before: Look | None = None
        """The one before it, which stands where the limiter has not let the last one through yet."""
        self._renew_ms = 0
        self._section: Section | None = None
        self._bars_left = 0
        self._defaults: dict[str, float] = {}
        """Those of each parameter that a scene has set: said in one that does not, since a K1 keeps what is left out."""
        self.clamped = 0
        """Parameters beyond a K1's range, sent at its limit instead."""

    def is_foreign(self, topic: str, scene: bytes, stamp: Stamp) -> bool:
        """Whether someone else has set this scene on a K1 of ours, whose limiter is then told of it; an empty one only clears
        the topic."""
        known = self.k1s.devices.get(contract.address(topic).node)
        if known is None or not scene or contract.sender(scene) == self._scribe.node:
            return False
        known.ours = False
        try:
            seen = contract.decode(topic, scene)
        except ContractError:
            seen = None
        known.limiter.saw(seen, stamp.monotonic_ns / 1e6)
        return True

    def recall(self, topic: str, scene: bytes) -> None:
        """A scene that the broker has kept: parameters that this edge set on a K1 in an earlier life are said with their
        defaults, once. Raises ContractError."""
        device = contract.address(topic).node
        has_room = device in self.k1s.devices or len(self._left) < MAX_DEVICES
        if has_room and contract.sender(scene) == self._scribe.node:
            self._left[device] = DEFAULTS.keys() & contract.decode(topic, scene).parameters.keys()

    def process(
        self, frame: GenesisFrame, look: Look | None, timeline: Timeline, stamp: Stamp
    ) -> Iterator[Publication]:
        """The commands of one hop; `look` None = hands off, someone else chooses the scenes."""
        self._hops += 1
        if look is None:
            self._hands_off()
        driven = self.k1s.driven
        fresh = [device for device in driven if not device.led]
        for device in fresh:
            device.led = True
            bpm = round(min(frame.beat.tempo_bpm, BPM_RANGE[1]), 2)
            yield from self._command(device, contract.SyncCommand, stamp, action="start", bpm=bpm)
        for device in driven:
            if device.hurry:
                device.early += 1
                yield from self._ask(device, stamp)
        event = frame.beat.announced
        if event is not None:
            yield from self._beat(frame, event, timeline.ahead_ms(event.due, stamp.monotonic_ns), stamp)
        every = max(self._macro_every, self.macro_at_least)
        if self._hops % every == 0:
            yield from self._macro(frame, stamp, to_spared=2 * every > SPARING_HOPS or self._hops % (2 * every) == 0)
        is_told = frame.section is self._section and frame.bars_left == self._bars_left
        self._section, self._bars_left = frame.section, frame.bars_left
        yield from self._segment(fresh if is_told else driven, frame, timeline, stamp)
        yield from self.scene(look, stamp)

    def release(self, stamp: Stamp) -> Iterator[Publication]:
        """Gives every K1 back to its own microphone."""
        for device in self.k1s.driven:
            device.led = False
            yield from self._command(device, contract.SyncCommand, stamp, action="stop")

    def clock_stepped(self, step_s: float, stamp: Stamp) -> Iterator[Publication]:
        """The wall clock is another: every K1 is told at once how far it is from its own; what has an expiry is sent again."""
        self._renew_ms = 0
        for device in self.k1s.devices.values():
            device.clock_stepped(step_s * 1000)
        yield from self.ping(stamp)

    def ping(self, stamp: Stamp) -> Iterator[Publication]:
        """Asks every K1 for its clock, and so whether it is there."""
        for device in list(self.k1s.devices.values()):
            if device.silent:
                self.k1s.heard(device.id, ready=False, boot_id=device.boot_id)
            device.unanswered, device.early = device.unanswered + 1, 0
            yield from self._ask(device, stamp)

    def _ask(self, device: Follower, stamp: Stamp) -> Iterator[Publication]:
        device.hurry, device.told_ms = False, device.offset_ms
        return self._command(device, contract.PingCommand, stamp, sent_ms=stamp.ts_ms, offset_ms=device.offset_ms,
                             round_trip_ms=device.round_trip_ms)

    @property
    def ahead(self) -> list[str]:
        """K1s that say that their clock is set, and to which our scenes are of another evening."""
        return sorted(d.id for d in self.k1s.devices.values() if d.ready and d.ahead_ms > AHEAD_MS)

    def _beat(self, frame: GenesisFrame, event: BeatEvent, ahead_ms: float, stamp: Stamp) -> Iterator[Publication]:
        bpm = min(max(frame.beat.tempo_bpm, BPM_RANGE[0]), BPM_RANGE[1])
        tick = self._pulse.shows(event, bpm, frame.beat.beats_per_bar)
        for device in self.k1s.driven:
            due_in_ms = round(ahead_ms - device.latency_ms, 1)
            yield from self._command(
                device, contract.BeatCommand, stamp,
                number=event.number, bpm=round(bpm, 2), phase=round(frame.beat.phase, 4) % 1.0, due_in_ms=due_in_ms,
                due_at_ms=round(stamp.ts_ms + due_in_ms), tick=tick, downbeat=event.downbeat,
                beat_in_bar=min(max(event.in_bar - 1, 0), LAST_PLACE),
                strength=round(event.strength, 3) if tick else 0.0, confidence=round(event.confidence, 3),
            )  # fmt: skip

    def _macro(self, frame: GenesisFrame, stamp: Stamp, to_spared: bool) -> Iterator[Publication]:
        levels = {name: round(getattr(frame.macros, name), 3) for name in MACROS}
        for device in self.k1s.driven:
            if to_spared or not device.spared:
                yield from self._command(device, contract.MacroCommand, stamp, **levels)

    def _segment(
        self, devices: list[Follower], frame: GenesisFrame, timeline: Timeline, stamp: Stamp
    ) -> Iterator[Publication]:
        section = frame.section
        for device in devices:
            yield from self._command(
                device, contract.SegmentCommand, stamp,
                index=section.index % 256, label=section.label, start_at_ms=timeline.utc_ms(section.since),
                confidence=round(section.confidence, 3), provisional=section.provisional,
                bars_left=frame.bars_left, bars_left_probability=round(frame.bars_left_probability, 3),
            )  # fmt: skip

    def scene(self, look: Look | None, stamp: Stamp) -> Iterator[Publication]:
        """The look that is wanted now, as soon as the K1s may have it, at once to those that have appeared. None = hands off:
        what stands there is renewed where it is ours, and told to those that have appeared."""
        while self.k1s.parted:
            yield from self._scribe.parted(self.k1s.parted.pop())
        if look is None:
            self._hands_off()
        to_all = self._is_due(look, stamp.monotonic_ns // 1_000_000)  # a wall clock may step back by years
        if self.shown is not None:
            devices = [each for each in self.k1s.driven if (to_all or not each.told) and (look is not None or each.ours)]
            yield from self._show(self.shown, devices, stamp)

    def _is_due(self, look: Look | None, now_ms: int) -> bool:
        """Whether every K1 is to hear what is `shown`: another look, or the same in time before it expires."""
        due, renew = None, now_ms >= self._renew_ms and self.shown is not None
        if look is not None:
            is_news = look is not self._wanted and look != self._wanted
            due = self._window.offer(look, now_ms) if is_news else self._window.due(now_ms)
            self._wanted = look
        if due is not None:
            self._before, self.shown = self.shown, due
        elif renew:
            self.shown = look or self.shown
        if due is None and not renew:
            return False
        self._renew_ms = now_ms + SCENE_RENEWED_MS
        return True

    def _hands_off(self) -> None:
        """The last look is wanted no more, nor is it to go out when the limiter would let it."""
        if self._wanted is not None:
            self._wanted = None
            waited = [device.limiter.call_off() for device in self.k1s.devices.values()]
            if any(waited):
                self.shown = self._before

    def _show(self, look: Look, devices: list[Follower], stamp: Stamp) -> Iterator[Publication]:
        if not devices:
            return
        parameters, changed = clamp(dict(look.parameters))
        self.clamped += changed
        self._defaults |= _defaults(parameters)
        parameters = self._defaults | parameters
        for device in devices:
            left = _defaults(self._left.get(device.id, ()))
            yield from self._command(
                device, contract.SceneCommand, stamp, sender=self._scribe.node,
                pattern=look.pattern, palette_id=look.palette, parameters=left | parameters,
                transition=look.transition, transition_ms=look.transition_ms, expires_at_ms=stamp.ts_ms + SCENE_LIFE_MS,
            )  # fmt: skip

    def _command(
        self, device: Follower, model: type[contract.Message], stamp: Stamp, **fields: object
    ) -> Iterator[Publication]:
        """The only way to a K1: what is sent is what the limiter lets through."""
        for safe in device.limiter.process(model.model_construct(**fields), stamp.monotonic_ns / 1e6):
            if isinstance(safe, contract.SceneCommand):
                device.told = device.ours = True
                self._left.pop(device.id, None)
            yield self._scribe.post(device.id, safe, stamp)


def _defaults(names: Iterable[str]) -> dict[str, float]:
    return {name: DEFAULTS[name] for name in names}
