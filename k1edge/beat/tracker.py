"""The streaming beat tracker: hears one hop, believes, and announces beats before they sound.

Consumes `AudioBlock` and `FeatureFrame`, emits `BeatState`, 100 a second. `bar_pointer` holds the model and its equations,
`observation` what is heard, `belief` reads the answer, `announcer` keeps the promise of one announcement a beat.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from k1edge.beat.announcer import Announcer
from k1edge.beat.bar_pointer import BarPointer
from k1edge.beat.belief import Belief, Reader
from k1edge.beat.observation import Activation, NoveltyActivation, evidence
from k1edge.beat.prior import TempoPrior
from k1edge.config import BeatSettings
from k1edge.frames import HOPS_PER_S, AudioBlock, BeatEvent, BeatState, FeatureFrame, StreamFormat

__all__ = ["BarPointerTracker", "BeatTracker", "TempoPrior", "make_tracker"]

READ_EVERY = 4
"""Hops between looks at the posterior while no beat is near; each hop when one is."""
LOCK_AT, UNLOCK_AT = 0.55, 0.25
QUIET_FADE_S = 2.0
"""Time constant with which confidence fades in silence; the tempo is kept."""
LATENCY_HOPS = 3.0
"""A beat is seen in the activation this much after it sounds: window and rise of the features; measured on exact grids."""


class BeatTracker(Protocol):
    """What every engine does. The hands act on what the engine believes, so later beats follow from them."""

    tempo_prior: TempoPrior

    def process(self, block: AudioBlock, features: FeatureFrame) -> BeatState: ...
    def double(self) -> None: ...
    def halve(self) -> None: ...
    def nudge(self, ms: float) -> None: ...
    def this_is_one(self) -> None: ...
    def tap(self, index: int) -> None: ...


class BarPointerTracker:
    """`engine = "bar_pointer"`."""

    def __init__(self, settings: BeatSettings, fmt: StreamFormat, prior: TempoPrior) -> None:
        self._fmt = fmt
        self.tempo_prior = prior
        self._hear: Callable[[FeatureFrame], Activation] = NoveltyActivation().process
        self._pointer = BarPointer(prior, settings.tempo_min_bpm, settings.tempo_max_bpm)
        self._reader = Reader(self._pointer)
        self._announcer = Announcer(settings.lead_ms)
        self._lead = settings.lead_ms / 1000 * HOPS_PER_S
        self._hops = 0
        self._end: int | None = None
        self._belief: Belief | None = None
        self._target = 0.0
        self._confidence, self._lock, self._loudness = 0.0, False, 1.0

    def process(self, block: AudioBlock, features: FeatureFrame) -> BeatState:
        """One hop of audio; lost samples are coasted over."""
        self._coast(features.end - self._fmt.hop)
        self._end = features.end
        now = features.end / self._fmt.hop
        self._weigh(features)
        if self._hops % READ_EVERY == 0 or self._near(now):
            self._look(now)
        self._hops += 1
        announced = self._announce(now) if self._lock else None
        return self._state(now, announced)

    def _coast(self, start: int) -> None:
        if self._end is not None and start > self._end:
            for _ in range(round((start - self._end) / self._fmt.hop)):
                self._pointer.age()

    def _weigh(self, features: FeatureFrame) -> None:
        if features.silent:
            self._pointer.age()
            self._loudness *= math.exp(-1 / (QUIET_FADE_S * HOPS_PER_S))
            return
        self._loudness += (1 - self._loudness) * 0.2
        self._pointer.step(*evidence(self._hear(features)))

    def _near(self, now: float) -> bool:
        expected = self._announcer.expected(now)
        return expected is not None and expected - now < self._lead + 3

    def _look(self, now: float) -> None:
        expected = self._announcer.expected(now + LATENCY_HOPS)
        belief = self._reader.read(None if expected is None else expected - now + LATENCY_HOPS)
        self._belief = belief
        if belief is None:
            self._confidence = 0.0
            return
        self._target = now + belief.due - LATENCY_HOPS
        self._confidence = belief.mass * self._loudness
        self._lock = self._confidence > (UNLOCK_AT if self._lock else LOCK_AT)

    def _announce(self, now: float) -> BeatEvent | None:
        announced = self._announcer.process(now, self._target, self._belief.period)
        if announced is None:
            return None
        return BeatEvent(announced.number, round(announced.due * self._fmt.hop), 0, False, 1.0, self._confidence)

    def _state(self, now: float, announced: BeatEvent | None) -> BeatState:
        belief = self._belief
        if belief is None:
            return BeatState(self._end, 0.0, 0.0, 0.0, False)
        phase = (now - self._target) / belief.period % 1.0
        return BeatState(self._end, belief.tempo_bpm, phase, self._confidence, self._lock, (), announced)


def make_tracker(settings: BeatSettings, fmt: StreamFormat, prior: TempoPrior | None = None) -> BeatTracker:
    """The engine that `settings.engine` names; `prior` handed over from the last one, if there was one."""
    prior = prior or TempoPrior(((settings.prior_bpm, settings.prior_octaves, 1.0),))
    if settings.engine == "aubio":
        from k1edge.beat.aubio_engine import AubioTracker  # 28 MB of library that the default engine never needs

        return AubioTracker(settings, fmt, prior)
    return BarPointerTracker(settings, fmt, prior)
