"""The streaming beat tracker: hears one hop, believes, and announces beats before they sound.

Consumes `AudioBlock` and `FeatureFrame`, emits `BeatState`, 100 a second. `bar_pointer` holds the model and its equations,
`observation` and `network` what is heard, `belief` reads the answer, `lock` says how sure it is, `announcer` keeps the
promise of one announcement a beat, `bars` counts. Times are hops unless they are said to be steps of the bar pointer.
Nothing happens before the first sound, so that the silence before it changes nothing.
"""

from __future__ import annotations

from typing import Protocol

from k1edge.beat.announcer import Announcer
from k1edge.beat.bar_pointer import STEP_HOPS, BarPointer
from k1edge.beat.bars import BarCount
from k1edge.beat.belief import Belief, Reader
from k1edge.beat.lock import RESTS_UP_TO, Lock
from k1edge.beat.observation import NoveltyActivation, evidence
from k1edge.beat.prior import TempoPrior
from k1edge.config import BeatSettings
from k1edge.frames import HOPS_PER_S, AudioBlock, BeatEvent, BeatState, FeatureFrame, StreamFormat

__all__ = ["BarPointerTracker", "BeatTracker", "TempoPrior", "make_tracker"]


READ_EVERY, NEAR = 4, 3
"""Hops between looks at the posterior; each step within NEAR hops of the next announcement."""

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
        self._ears = NoveltyActivation()
        self._latency = self._ears.LATENCY_HOPS
        self._pointer = BarPointer(prior, settings.tempo_min_bpm, settings.tempo_max_bpm)
        self._reader = Reader(self._pointer)
        self._bars = BarCount(self._pointer.per_bar, self._pointer.position)
        self._lock = Lock()
        self._announcer = Announcer(settings.lead_ms)
        self._lead = settings.lead_ms / 1000 * HOPS_PER_S
        self._hops = 0
        self._end: int | None = None
        self._belief: Belief | None = None
        self._target = 0.0

    def process(self, block: AudioBlock, features: FeatureFrame) -> BeatState:
        """One hop of audio; lost samples are coasted over."""
        if self._end is None and features.silent:
            return BeatState(features.end, 0.0, 0.0, 0.0, False)
        lost = 0 if self._end is None else round((features.end - self._end) / self._fmt.hop) - 1
        self._end = features.end
        self._hops += 1 + lost
        for _ in range((self._hops - 1) // STEP_HOPS - (self._hops - 1 - lost) // STEP_HOPS):
            self._pointer.age()
        heard = self._ears.process(features)
        self._lock.hear(features.silent)
        now = features.end / self._fmt.hop
        if self._hops % STEP_HOPS == 0:
            if self._lock.quiet_hops > RESTS_UP_TO:
                self._pointer.age()
            else:
                self._pointer.step(*evidence(heard))
            if self._hops % READ_EVERY == 0 or self._near(now):
                self._look(now)
        announced = self._announce(now) if self._lock.locked else None
        return self._state(now, announced)

    def _near(self, now: float) -> bool:
        expected = self._announcer.expected(now)
        return expected is not None and abs(expected - now - self._lead) < NEAR

    def _look(self, now: float) -> None:
        sounding = now - self._latency
        expected = self._announcer.expected(sounding)
        self._belief = self._reader.read(None if expected is None else (expected - sounding) / STEP_HOPS)
        self._lock.judge(self._belief)
        if self._belief is not None:
            self._target = sounding + self._belief.due * STEP_HOPS

    def _announce(self, now: float) -> BeatEvent | None:
        period = self._belief.period * STEP_HOPS
        announced = self._announcer.process(now, self._target, period)
        if announced is None:
            return None
        if not announced.corrections:
            self._count(round((announced.due - self._target) / period))
        in_bar, _ = self._bars.shown
        due = round(announced.due * self._fmt.hop)
        return BeatEvent(announced.number, due, in_bar, in_bar == 1, 1.0, self._lock.confidence)

    def _count(self, beats_after_target: int) -> None:
        """The announced beat is that many beats after the one the posterior was read for."""
        following = self._bars.following
        beats = self._reader.beats()
        for _ in range(1 + beats_after_target):
            beats = beats @ following
        self._bars.next(beats)

    def _state(self, now: float, announced: BeatEvent | None) -> BeatState:
        belief = self._belief
        if belief is None:
            return BeatState(self._end, 0.0, 0.0, 0.0, False)
        phase = (now - self._target) / (belief.period * STEP_HOPS) % 1.0
        others = self._reader.alternatives() if announced else ()
        return BeatState(self._end, belief.tempo_bpm, phase, self._lock.confidence, self._lock.locked, others, announced,
                         self._bars.shown[1])


def make_tracker(settings: BeatSettings, fmt: StreamFormat, prior: TempoPrior | None = None) -> BeatTracker:
    """The engine that `settings.engine` names; `prior` handed over from the last one, if there was one."""
    prior = prior or TempoPrior(((settings.prior_bpm, settings.prior_octaves, 1.0),))
    if settings.engine == "aubio":
        from k1edge.beat.aubio_engine import AubioTracker  # 28 MB of library that the default engine never needs

        return AubioTracker(settings, fmt, prior)
    return BarPointerTracker(settings, fmt, prior)
