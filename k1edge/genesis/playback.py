"""A stored map leads where the same song plays again: its beats, sections and drops are known before they sound.

Consumes the live `BeatState` and `Form` of each hop, emits them with what the map knows in their place; macros, mood and the
wire stay live. Where the song begins is given, or heard: with the first sound after silence, and then the map is moved, a
little each beat, to where the live beats are. It is watched by them: when it is DRIFT_MS off, or has little to do with them,
for DRIFT_S of lock, the light goes back to the live engine for good; live beats midway between its own say nothing, unless the
song is played faster or slower. Nor does it lead where nothing plays: it rests, or the song that was heard to begin is over.
Cost: 6 us a hop.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from math import log2
from statistics import median

from k1edge.frames import HOPS_PER_S, BeatEvent, BeatState, FeatureFrame, Moment, Section, StreamFormat
from k1edge.genesis.course import Course
from k1edge.genesis.score import Score
from k1edge.genesis.structure import Form

DRIFT_MS, DRIFT_S = 100.0, 5.0
DRIFT_BEATS = 8
OFF_BEAT = 0.4
"""Of the period, from the map's nearest beat: beyond it a live beat is on the off-beat, as a tracker's are at times."""
PITCH_OCTAVES = (0.017, 0.14)
"""1.2 to 10 % beside the map's tempo, where a DJ may play. A tracker strays there for 1.7 s at most in 12 arrangements."""
AGREE_MS, AGREE_BEATS, AGREE_LEAST = 50.0, 16, 5
"""Of so many live beats so many lie that near to where the drift puts a stored one; of another song's, one in five."""
SLEW_MS = 10.0
"""By which the map is moved at a beat: it is never seen to jump."""
AHEAD_S = 8.0
"""A drop, build or breakdown is told this long before: four bars at 120 BPM."""
SURE = 0.98
"""Of a beat that was decoded with the whole song in view."""
LONGEST_PERIOD_S = 2.0
PAUSE_HOPS = HOPS_PER_S // 2
"""Silence after which a sound is the beginning of a song."""
PATIENCE_HOPS = 4 * HOPS_PER_S
"""Of neither music nor a live beat, before it is believed that the song does not play."""


class MapPlayer:
    """One map over one stream. Its `state` is waiting, leading, over, rolled_back or stopped."""

    def __init__(self, score: Score, fmt: StreamFormat, lead_ms: float, start: int | None = 0) -> None:
        """`start`: the sample at which the song begins; None: with the next sound after a pause."""
        self._fmt, self._lead = fmt, fmt.index(lead_ms / 1000)
        self._course = Course(score, fmt)
        self._start, self._by_ear = start, start is None
        self._silent_hops = self._strange_hops = 0
        self._next_beat, self._next_moment = 0, 0
        self._announcements = 0
        self._errors_ms: deque[float] = deque(maxlen=AGREE_BEATS)
        self._period_ms = 0.0
        self.live_octaves, self.live_locks = 0.0, False
        """By which the live engine counts faster than the map, and whether it has a lock."""
        self._drifting_hops = self._pitched_hops = 0
        self._section: Section | None = None
        self.state = "waiting" if self._course.dues else "over"

    @property
    def leads(self) -> bool:
        """Whether the light follows the map: not while it rests."""
        return self.state == "leading" and self._strange_hops < PATIENCE_HOPS

    @property
    def drift_ms(self) -> float | None:
        """Signed median of live minus stored beats, of the nearer half: a live engine that counts double is not off.

        None until DRIFT_BEATS were compared.
        """
        if len(self._errors_ms) < DRIFT_BEATS:
            return None
        return median(sorted(list(self._errors_ms)[-DRIFT_BEATS:], key=abs)[: DRIFT_BEATS // 2])

    @property
    def start(self) -> int | None:
        """The sample at which the song begins; None while that is not known."""
        return self._start

    def begin_at(self, start: int) -> None:
        """Where the song begins is given, or known better."""
        self._start, self._by_ear = start, False

    def nudge(self, ms: float) -> None:
        """All that comes is later by this, while it leads."""
        self._start += self._fmt.index(ms / 1000)

    def stop(self) -> bool:
        """The live engine leads from now on; whether that is news."""
        ended, self.state = self.state, "stopped" if self.state in ("waiting", "leading") else self.state
        return ended != self.state

    def hear(self, features: FeatureFrame) -> None:
        """Whether the song begins with this hop."""
        if self._start is None and not features.silent and self._silent_hops >= PAUSE_HOPS:
            self._start = features.end - self._fmt.hop - self._course.sound
        self._silent_hops = self._silent_hops + 1 if features.silent else 0

    def beat(self, live: BeatState) -> BeatState:
        """The beat state of this hop, from the map while it leads."""
        if self.state == "waiting" and self._start is not None and live.end >= self._start:
            self.state = "leading"
        if self.state != "leading":
            return live
        self._watch(live)
        at, course = live.end - self._start, self._course
        if self.state == "leading" and at > course.dues[-1] + self._fmt.index(LONGEST_PERIOD_S):
            self.state = "over"
        if not self.leads:
            return live
        before, period = course.interval(at)
        phase = (at - course.dues[before]) / period % 1.0
        announced = self._announced(at)
        _, per_bar = course.place(max(self._next_beat - 1, 0))  # of what was announced last
        return BeatState(live.end, 60 * self._fmt.rate_hz / course.period(at), phase, SURE, True, announced=announced,
                         beats_per_bar=per_bar)  # fmt: skip

    def form(self, live: Form, end: int) -> Form:
        """The form of this hop, from the map while it leads; silence is believed to the ear."""
        if self.state == "leading":
            self._follow(live.wire.state)
        if not self.leads or not self._course.sections or live.section.label == "silence":
            return live
        at, course = end - self._start, self._course
        number = course.section(at)
        since, label = course.sections[number]
        section = Section(label, since + self._start, SURE, False, number)
        bars = max(course.bars(since, at), 0.0)
        return replace(live, section=self._same(section), moments=self._due_moments(at), bars=bars,
                       bars_left=course.bars_left(number, bars), bars_left_probability=SURE)  # fmt: skip

    def _follow(self, wire: str) -> None:
        """Rests, and goes on, while the song does not play; one that was heard to begin is over then, or had not begun."""
        self._strange_hops = self._strange_hops + 1 if wire != "music" and not self.live_locks else 0
        if not self._by_ear or self._strange_hops < PATIENCE_HOPS:
            return
        if self.drift_ms is not None:
            self.state = "over"
        elif wire == "silence":
            self._wait()

    def _wait(self) -> None:
        """What was heard to begin was not the song."""
        self.state, self._start = "waiting", None
        self._next_beat = self._next_moment = self._strange_hops = 0
        self._errors_ms.clear()

    def _same(self, section: Section) -> Section:
        """The object of the hop before where nothing has changed: who compares by identity sees no change."""
        held = self._section
        if held is None or (held.index, held.label) != (section.index, section.label):
            self._section = section
        return self._section

    def _announced(self, at: int) -> BeatEvent | None:
        n, dues = self._next_beat, self._course.dues
        while n < len(dues) and dues[n] < at - self._fmt.hop:  # what is past was not announced in time
            n += 1
        self._next_beat = n
        if n >= len(dues) or dues[n] - self._lead > at:
            return None
        self._next_beat += 1
        self._announcements += 1
        place, _ = self._course.place(n)
        return BeatEvent(self._announcements, dues[n] + self._start, place, place == 1, self._course.strengths[n], SURE)

    def _due_moments(self, at: int) -> tuple[Moment, ...]:
        found, soon = [], at + self._fmt.index(AHEAD_S)
        moments = self._course.moments
        while self._next_moment < len(moments) and moments[self._next_moment].due <= soon:
            moment = moments[self._next_moment]
            self._next_moment += 1
            if moment.due >= at - self._fmt.rate_hz:
                found.append(replace(moment, due=moment.due + self._start))
        return tuple(found)

    def _watch(self, live: BeatState) -> None:
        event, self.live_locks = live.announced, live.lock
        if event is not None and live.lock:
            self._compare(event.due - self._start)
        drift_ms = self.drift_ms
        if drift_ms is None or not live.lock:
            return
        if not self._is_on_the_off_beat:
            drifts = abs(drift_ms) > DRIFT_MS or self._is_other_song
            self._drifting_hops = max(self._drifting_hops + (1 if drifts else -1), 0)
        self.live_octaves = log2(live.tempo_bpm * self._period_ms / 60_000)
        self._pitched_hops = self._pitched_hops + 1 if self._is_pitched else 0
        enough = DRIFT_S * HOPS_PER_S
        if self._drifting_hops >= enough or (self._pitched_hops >= enough and abs(drift_ms) > AGREE_MS):
            self.state = "rolled_back"

    @property
    def _is_pitched(self) -> bool:
        """The song plays a little faster or slower than the map, however often the live engine counts it."""
        least, most = PITCH_OCTAVES
        return least < abs(self.live_octaves - round(self.live_octaves)) < most

    @property
    def _is_on_the_off_beat(self) -> bool:
        """Most live beats; half of them are where a live engine that counts double has them."""
        recent = list(self._errors_ms)[-DRIFT_BEATS:]
        return sum(abs(error) > OFF_BEAT * self._period_ms for error in recent) > DRIFT_BEATS // 2

    @property
    def _is_other_song(self) -> bool:
        agree = sum(abs(error - self.drift_ms) < AGREE_MS for error in self._errors_ms)
        return len(self._errors_ms) == AGREE_BEATS and agree < AGREE_LEAST

    def _compare(self, at: int) -> None:
        self._errors_ms.append(1000 * self._fmt.seconds(at - self._course.nearest(at)))
        self._period_ms = 1000 * self._fmt.seconds(self._course.period(at))
        drift_ms = self.drift_ms
        if self._by_ear and drift_ms is not None and abs(drift_ms) <= DRIFT_MS:
            moved_ms = min(max(drift_ms, -SLEW_MS), SLEW_MS)
            self._start += self._fmt.index(moved_ms / 1000)
            self._errors_ms = deque((error - moved_ms for error in self._errors_ms), AGREE_BEATS)

