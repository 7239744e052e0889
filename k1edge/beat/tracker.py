"""The streaming beat tracker: hears one hop, believes, and announces beats before they sound.

Consumes `AudioBlock` and `FeatureFrame`, emits `BeatState`, 100 a second. `bar_pointer` holds the model and its equations,
`observation` and `network` what is heard, `belief` reads the answer, `lock` says how sure it is, `announcer` keeps the
promise of one announcement a beat. `rows` cuts what was heard into beats, by which `downbeats` hears where in the bar one is
and `levels` whether they are the beats to tap; `bars` counts. Times are hops unless they are said to be steps of the bar
pointer. Nothing happens before the first sound, so that the silence before it changes nothing.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from k1edge.beat.accents import Accents
from k1edge.beat.announcer import Announcement, Announcer
from k1edge.beat.bar_pointer import STEP_HOPS, STEPS_PER_S, BarPointer
from k1edge.beat.bars import BarCount
from k1edge.beat.belief import Belief, Reader
from k1edge.beat.downbeats import Downbeats
from k1edge.beat.hands import Hands
from k1edge.beat.levels import AS_THEY_ARE, HYPOTHESES, Levels
from k1edge.beat.lock import RESTS_UP_TO, Lock
from k1edge.beat.observation import Activation, Ears, Heard, TempoEvidence, bar_evidence, evidence, half_evidence
from k1edge.beat.prior import TempoPrior, room_prior
from k1edge.beat.rows import BeatRows
from k1edge.config import BeatSettings
from k1edge.dsp.features import N_NOVELTY
from k1edge.frames import HOPS_PER_S, AudioBlock, BeatEvent, BeatState, FeatureFrame, StreamFormat

COAST_HOLD = 0.05
"""Share of the belief that is put back on the grid at every beat coasted over."""
LEAST_BEAT = 1e-4
"""Probability of a place in the bar that the state space has ruled out: the ear may know better."""
STEADY_BEATS, STEADY_WITHIN = 8, 0.012
"""The tempo told is that of the line through so many beats or more, where it is so near to what is believed: the tempi of the
state space lie 2.2 % apart, and what is read between them is up to 1 % off; what changes faster is believed."""
READ_EVERY, NEAR = 4, 3
"""The posterior is read at every fourth hop, and at each step within NEAR hops of the next announcement."""


class BeatTracker(Protocol):
    """What every engine does. The hands act on what the engine believes, so later beats follow from them; they say whether
    there was anything to act on."""

    tempo_prior: TempoPrior

    def process(self, block: AudioBlock, features: FeatureFrame) -> BeatState: ...
    def double(self) -> bool: ...
    def halve(self) -> bool: ...
    def nudge(self, ms: float) -> bool: ...
    def this_is_one(self, index: int) -> bool: ...
    def tap(self, index: int) -> bool: ...
    def release(self) -> None: ...
    def give_up(self) -> None: ...


class BarPointerTracker:
    """`engine = "bar_pointer"`."""

    def __init__(self, settings: BeatSettings, fmt: StreamFormat, prior: TempoPrior) -> None:
        self.tempo_prior = self._untapped = prior
        self._fmt = fmt
        self._ears = Ears()
        self.latency_hops = self._ears.LATENCY_HOPS
        self.heard = Heard(Activation(0.0, 0.0, 0.0), 0.0, 0.0)
        """What the last hop said of the sound `latency_hops` before its end: for passes over a whole track."""
        self._pointer = BarPointer(prior, settings.tempo_min_bpm, settings.tempo_max_bpm)
        self._tempo = TempoEvidence(self._pointer.tempi_bpm)
        self._reader = Reader(self._pointer)
        self._hands = Hands(self._pointer, self._reader)
        self._bars = BarCount(self._pointer.per_bar, self._pointer.position)
        self._rows, self._downbeats = BeatRows(), Downbeats()
        self._levels = Levels(settings.tempo_min_bpm, settings.tempo_max_bpm)
        self._accents = Accents(self.latency_hops)
        self._lock = Lock()
        self._announcer = Announcer(settings.lead_ms)
        self._lead = settings.lead_ms / 1000 * HOPS_PER_S
        self._hops, self._end = 0, None
        self._belief: Belief | None = None
        self._target, self._period, self._steady = 0.0, 0.0, 0.0

    def process(self, block: AudioBlock, features: FeatureFrame) -> BeatState:
        """One hop of audio; lost samples are coasted over."""
        if self._end is None and features.silent:
            return BeatState(features.end, 0.0, 0.0, 0.0, False)
        self._skip_lost(features.end)
        now = self._now
        self.heard = heard = self._ears.process(features)
        self._lock.hear(features.silent, heard.activation, sum(features.novelty.tolist()) / N_NOVELTY)
        self._accents.hear(now, heard.activation.beat)
        begun = self._rows.hear(now, features.bands, heard.activation[:2])
        if begun is not None:
            self._downbeats.hear(begun, self._rows)
            self._levels.hear(begun, self._rows)
        if self._hops % STEP_HOPS == 0:
            if self._lock.coasting or self._lock.quiet_hops > RESTS_UP_TO:
                self._pointer.age()
            else:
                self._step(heard)
            if self._hops % READ_EVERY == 0 or self._near(now):
                self._look(now)
            self._hands.look(self._belief if self._lock.locked else None)
        return self._state(now, self._announce(now) if self._lock.locked else None)

    def double(self) -> bool:
        """Twice the tempo, if that is within the range; the prior learns it."""
        return self._change_level(2.0)

    def halve(self) -> bool:
        """Half the tempo, if that is within the range; the prior learns it."""
        return self._change_level(0.5)

    def nudge(self, ms: float) -> bool:
        """All beats later by `ms` (earlier when negative)."""
        belief = self._believed_now()
        if belief is None:
            return False
        self._hands.nudge(belief, ms / 1000 * STEPS_PER_S)
        self._look_afresh()
        return True

    def this_is_one(self, index: int) -> bool:
        """The beat nearest to sample `index`, now or a moment ago, is a downbeat."""
        last = self._announcer.last
        if self._belief is None or last is None:
            return False
        beats_on = round((last.due - index / self._fmt.hop) / self._period)
        one = last.due - beats_on * self._period
        self._pointer.seat((self._now - self.latency_hops - one) / STEP_HOPS)
        self._bars.seat(beats_on)
        self._downbeats.hush(last.number)
        return True

    def tap(self, index: int) -> bool:
        """A person felt a beat at sample `index`, now or a moment ago."""
        at, now, before = index / self._fmt.hop, self._now - self.latency_hops, self._belief
        bpm = self._hands.tap(at / STEP_HOPS, now / STEP_HOPS, before)
        if self._hands.taps == 1:
            self._untapped = self.tempo_prior
        if bpm is not None:
            self._learn(bpm, self._untapped)  # a series is one lesson
            if self._hands.is_elsewhere(bpm, before):
                self._leave_level()
        self._look_afresh()
        return True

    def give_up(self) -> None:
        """There is no music: the beats end, unless they are heard."""
        self._lock.give_up()

    def release(self) -> None:
        """Nothing that a person has said of the level holds any longer; the beats go on as they are."""
        self._hands.release()

    @property
    def tempi_bpm(self) -> np.ndarray:
        """(I,) tempi of the state space, fastest first."""
        return self._pointer.tempi_bpm

    def tempo_posterior(self) -> np.ndarray:
        """(I,) probability of each of `tempi_bpm`; what is missing to 1 is "no beat"."""
        return self._pointer.tempo_masses()

    @property
    def signs(self) -> tuple[float, ...]:
        """What the confidence was last computed from, as `lock.CALIBRATION` weighs it."""
        return self._lock.signs

    @property
    def _now(self) -> float:
        return self._end / self._fmt.hop if self._end is not None else 0.0

    def _step(self, heard: Heard) -> None:
        beat_llr, none_llr = evidence(heard.activation)
        bar, tempo = bar_evidence(heard.activation, heard.kick), self._tempo.process(heard.tempi)
        if self._hands.refused is not None:
            tempo = tempo + self._hands.refused
        self._pointer.step(beat_llr, none_llr, heard.onset, bar, half_llr=half_evidence(heard.activation), tempo=tempo)

    def _skip_lost(self, end: int) -> None:
        lost = 0 if self._end is None else round((end - self._end) / self._fmt.hop) - 1
        self._end = end
        for _ in range((self._hops + lost) // STEP_HOPS - self._hops // STEP_HOPS):
            self._pointer.age()
        self._hops += 1 + lost

    def _near(self, now: float) -> bool:
        """A beat is about to be announced."""
        return self._lock.locked and (self._target - now - self._lead + NEAR) % self._period < 2 * NEAR

    def _look(self, now: float, held: bool = True) -> None:
        sounding = now - self.latency_hops
        hold = held and self._period > 0
        self._belief = self._reader.read((self._target - sounding) % self._period / STEP_HOPS if hold else None)
        doubt = 0.0 if self._belief is None else self._tempo.doubt(self._belief.tempo_bpm)
        self._lock.judge(self._belief, self._accents.on, self._accents.between, doubt)
        if self._lock.coasting and held:
            self._target, self._period = self._announcer.steady() or (self._target, self._period)
        elif self._belief is not None:
            self._target = sounding + self._belief.due * STEP_HOPS
            self._period = self._belief.period * STEP_HOPS

    def _look_afresh(self) -> None:
        """After a person's correction: the grid of before counts for nothing."""
        self._announcer.begin_run()
        if self._belief is not None:
            self._look(self._now, held=False)

    def _believed_now(self) -> Belief | None:
        """The last look may have been a step ago, and a person who nudges by 20 ms means 20."""
        if self._belief is not None:
            self._look(self._now)
        return self._belief

    def _change_level(self, factor: float) -> bool:
        belief = self._believed_now()
        bpm = None if belief is None else self._hands.change_level(belief, factor)
        if bpm is None:
            return False
        self._learn(bpm, self.tempo_prior)
        self._leave_level()
        return True

    def _leave_level(self) -> None:
        """A person has chosen another: what was heard of this one is worth nothing."""
        self._levels.begin()
        self._count_anew()

    def _count_anew(self) -> None:
        """At another level: what was heard of the bar, and counted, were other beats."""
        self._downbeats.begin()
        self._bars.begin()
        self._look_afresh()

    def _learn(self, bpm: float, prior: TempoPrior) -> None:
        self.tempo_prior = prior.taught(bpm)
        self._pointer.believe(self.tempo_prior)

    def _announce(self, now: float) -> BeatEvent | None:
        announced = self._announcer.process(now, self._target, self._period)
        if announced is None:
            return None
        if not announced.corrections:
            self._count(announced, now)
            self._lock.announced()
            line = self._announcer.steady(STEADY_BEATS)
            self._steady = line[1] if line else 0.0
        self._rows.expect(announced.number, announced.due, self._period)
        if not announced.corrections:
            self._tap_as_listeners_do(announced)
        in_bar, _ = self._bars.shown
        strength = self._accents.expect(announced.due, self._period, in_bar)
        due = round(announced.due * self._fmt.hop)
        return BeatEvent(announced.number, due, in_bar, in_bar == 1, strength, self._lock.confidence)

    def _tap_as_listeners_do(self, announced: Announcement) -> None:
        """The beats go on at another level if the ear is sure that it is the one to tap, and no person has said otherwise."""
        if self._belief is None or self._lock.coasting or self._hands.person_holds:
            return
        name = self._levels.verdict(lambda bpm: -self._tempo.doubt(bpm))
        if name == AS_THEY_ARE:
            return
        row = HYPOTHESES[name]
        due_next = announced.number - round((announced.due - self._target) / self._period)
        later = row.wait(2 * due_next) / 2 * self._belief.period
        if self._hands.change_level(self._belief, row.faster, later, person=False) is not None:
            self._levels.take(name)
            self._count_anew()

    def _count(self, announced: Announcement, now: float) -> None:
        beats_on = 1 + round((announced.due - self._target) / self._period)
        self._bars.count_on(announced.missed)
        if self._lock.coasting:
            self._bars.count_on(1)
            due = (announced.due - now + self.latency_hops) / STEP_HOPS
            self._pointer.plant(self._period / STEP_HOPS, due, COAST_HOLD)
        else:
            self._bars.next(self._beats(announced.number - beats_on), beats_on)

    def _beats(self, last_passed: int) -> np.ndarray:
        """(B,) odds of what the beat last passed, of this number, is in its bar: the state space's times the ear's."""
        believed, opinion = self._reader.beats(), self._downbeats.opinion(last_passed)
        if opinion is None:
            return believed
        return (believed + LEAST_BEAT * believed.sum()) * np.exp(opinion)

    def _state(self, now: float, announced: BeatEvent | None) -> BeatState:
        if not self._period:
            return BeatState(self._end, 0.0, 0.0, 0.0, False)
        phase = (now - self._target) / self._period % 1.0
        steady = abs(self._steady - self._period) < STEADY_WITHIN * self._period
        bpm = 60 * HOPS_PER_S / (self._steady if steady else self._period)
        others = self._reader.alternatives() if announced else ()
        lock, per_bar = self._lock, self._bars.shown[1]
        return BeatState(self._end, bpm, phase, lock.confidence, lock.locked, others, announced, per_bar, lock.coasting)


def make_tracker(settings: BeatSettings, fmt: StreamFormat, prior: TempoPrior | None = None) -> BeatTracker:
    """The engine that `settings.engine` names; `prior` handed over from the last one, if there was one."""
    prior = prior or room_prior(settings)
    if settings.engine == "aubio":
        from k1edge.beat.aubio_engine import AubioTracker  # 28 MB of library that the default engine never needs

        return AubioTracker(settings, fmt, prior)
    return BarPointerTracker(settings, fmt, prior)
