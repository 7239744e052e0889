"""aubio's beat tracker behind our interface, for comparison and for those who trust it.

Consumes `AudioBlock` and `FeatureFrame`, emits `BeatState`, 100 a second. aubio reports a beat when it has happened; the
next ones are extrapolated from its period and announced ahead. It clicks on through noise, so its own silence level is
raised, our gate is added, and it counts as locked only after several regular beats at a confidence noise does not reach.
It knows no bars; `this_is_one` starts to count fours.
"""

from __future__ import annotations

import math
from collections import deque

import aubio
import numpy as np

from k1edge.beat.announcer import Announcer
from k1edge.beat.bar_pointer import within
from k1edge.beat.prior import TempoPrior
from k1edge.config import BeatSettings
from k1edge.frames import HOPS_PER_S, AudioBlock, BeatEvent, BeatState, FeatureFrame, StreamFormat

METHOD = "specdiff"
"""With `energy` the only one that prefers the kick to the hats (measured)."""
WINDOW = 1024
SILENCE_DB = -50.0
"""aubio's default of -90 dB lets it beat to the hiss of an idle line."""
CONFIDENCE_AT_LOCK, CONFIDENCE_AT_UNLOCK = 0.15, 0.05
"""White noise stays at 0.10, plain dance music reaches 0.3 to 0.6 (measured)."""
REGULAR_BEATS, REGULAR_WITHIN = 4, 0.12
QUIET_FADE_S = 2.0
SAMPLES_COUNTED = 2**32
"""aubio counts samples in 32 bits: it begins anew after a day."""
BEATS_PER_BAR = 4


class AubioTracker:
    """`engine = "aubio"`."""

    def __init__(self, settings: BeatSettings, fmt: StreamFormat, prior: TempoPrior) -> None:
        self.tempo_prior = prior
        self._fmt = fmt
        self._tempo = aubio.tempo(METHOD, WINDOW, fmt.hop, fmt.rate_hz)
        self._tempo.set_silence(SILENCE_DB)
        self._range_bpm = settings.tempo_min_bpm, settings.tempo_max_bpm
        self._announcer = Announcer(settings.lead_ms)
        self._beats: deque[float] = deque(maxlen=REGULAR_BEATS + 1)
        self._fed = 0
        self._nudge = 0.0
        self._factor = 1.0
        self._period = 0.0
        self._lock, self._loudness = False, 1.0
        self._first_of_bar: int | None = None

    def process(self, block: AudioBlock, features: FeatureFrame) -> BeatState:
        """One hop of audio; aubio hears lost samples as a cut, its times are put right."""
        now = features.end / self._fmt.hop
        heard = self._tempo(np.ascontiguousarray(block.samples, np.float32))[0]
        self._fed += 1
        if heard:
            self._take_beat(now)
        self._loudness = self._faded(features.silent)
        confidence = self._confidence()
        self._lock = confidence > (CONFIDENCE_AT_UNLOCK if self._lock else CONFIDENCE_AT_LOCK)
        announced = self._announce(now, confidence) if self._lock else None
        return self._state(features.end, now, confidence, announced)

    def double(self) -> bool:
        """Twice the beats from now on, if that is within the range."""
        return self._change_level(2.0)

    def halve(self) -> bool:
        """Half the beats from now on, if that is within the range."""
        return self._change_level(0.5)

    def nudge(self, ms: float) -> bool:
        """All beats later by `ms` (earlier when negative)."""
        if not self._period:
            return False
        self._nudge += ms / 1000 * HOPS_PER_S
        return True

    def this_is_one(self, index: int) -> bool:
        """The announced beat nearest to sample `index` is a downbeat."""
        last = self._announcer.last
        if last is None or not self._period:
            return False
        self._first_of_bar = last.number - round((last.due - index / self._fmt.hop) / self._period)
        return True

    def tap(self, index: int) -> bool:
        """A beat is at sample `index`: the grid moves there."""
        if not (self._period and self._beats):
            return False
        off = (index / self._fmt.hop - self._grid()) % self._period
        self._nudge += off - self._period if off > self._period / 2 else off
        return True

    def give_up(self) -> None:
        """Nothing is coasted over here."""

    def release(self) -> None:
        """The level is aubio's own again, and so is the grid."""
        self._period *= self._factor
        self._factor, self._nudge = 1.0, 0.0

    def _change_level(self, factor: float) -> bool:
        if not self._period or not within(60 * HOPS_PER_S / self._period * factor, *self._range_bpm):
            return False
        self._factor *= factor
        self._period /= factor
        return True

    def _take_beat(self, now: float) -> None:
        ago = (self._fed * self._fmt.hop - self._tempo.get_last()) % SAMPLES_COUNTED
        self._beats.append(now - ago / self._fmt.hop)
        bpm = float(self._tempo.get_bpm()) * self._factor
        self._period = 60 * HOPS_PER_S / bpm if bpm > 0 else 0.0

    def _faded(self, silent: bool) -> float:
        if silent:
            return self._loudness * math.exp(-1 / (QUIET_FADE_S * HOPS_PER_S))
        return self._loudness + (1 - self._loudness) * 0.2

    def _confidence(self) -> float:
        if len(self._beats) <= REGULAR_BEATS or not self._period:
            return 0.0
        intervals = np.diff(self._beats) / (self._period * self._factor)
        if np.median(np.abs(intervals - 1)) > REGULAR_WITHIN:
            return 0.0
        return min(float(self._tempo.get_confidence()), 1.0) * self._loudness

    def _grid(self) -> float:
        """A beat of the grid; with fewer beats than aubio's, the heard one that is nearest to what was announced."""
        latest = self._beats[-1] + self._nudge
        last = self._announcer.last
        if self._factor >= 1 or last is None or not self._period:
            return latest
        heard = [latest - n * self._period * self._factor for n in range(round(1 / self._factor))]
        return min(heard, key=lambda beat: abs((beat - last.due + self._period / 2) % self._period - self._period / 2))

    def _announce(self, now: float, confidence: float) -> BeatEvent | None:
        announced = self._announcer.process(now, self._grid(), self._period)
        if announced is None:
            return None
        in_bar = 0 if self._first_of_bar is None else (announced.number - self._first_of_bar) % BEATS_PER_BAR + 1
        due = round(announced.due * self._fmt.hop)
        return BeatEvent(announced.number, due, in_bar, in_bar == 1, 1.0, confidence)

    def _state(self, end: int, now: float, confidence: float, announced: BeatEvent | None) -> BeatState:
        if not self._period:
            return BeatState(end, 0.0, 0.0, 0.0, False)
        phase = (now - self._grid()) / self._period % 1.0
        per_bar = 0 if self._first_of_bar is None else BEATS_PER_BAR
        bpm = 60 * HOPS_PER_S / self._period
        return BeatState(end, bpm, phase, confidence, self._lock, (), announced, per_bar)
