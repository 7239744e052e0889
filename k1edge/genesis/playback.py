"""A stored map leads where the same song plays again: its beats, sections and drops are known before they sound.

Consumes the live `BeatState` and `Form` of each hop, emits them with what the map knows in their place; macros, mood and the
wire stay live. Where the song begins is given, or heard: with the first sound after silence. It is watched (`Alignment`): how
fast it is played is learned, and where another song plays the light goes back to the live engine for good. Nor does it lead
where nothing plays: it rests, or the song that was heard to begin is over. Cost: 12 us a hop.
"""

from __future__ import annotations

from dataclasses import replace

from k1edge.frames import HOPS_PER_S, BeatEvent, BeatState, FeatureFrame, Moment, Section, StreamFormat
from k1edge.genesis.alignment import Alignment
from k1edge.genesis.course import Course
from k1edge.genesis.score import Score
from k1edge.genesis.structure import Form

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

    def __init__(
        self, score: Score, fmt: StreamFormat, lead_ms: float, start: int | None = 0, *, speed: float | None = None
    ) -> None:
        """`start`: the sample at which the song begins; None: with the next sound after a pause. `speed`: None: to be heard."""
        self._fmt, self._lead = fmt, fmt.index(lead_ms / 1000)
        self._course = Course(score, fmt)
        self.alignment = Alignment(self._course, fmt, start, speed)
        self._by_ear = start is None
        self._silent_hops = self._strange_hops = 0
        self._next_beat, self._next_moment = 0, 0
        self._announcements = 0
        self._section: Section | None = None
        self.state = "waiting"
        self.given_up = ""
        """Why it was rolled back."""

    @property
    def leads(self) -> bool:
        """Whether the light follows the map: not while it rests, nor while its speed is being learned."""
        return self.state == "leading" and self._strange_hops < PATIENCE_HOPS and not self.alignment.is_learning

    @property
    def drift_ms(self) -> float | None:
        """By how much live beats are later than stored ones; None while too few were compared."""
        return self.alignment.drift_ms

    @property
    def start(self) -> int | None:
        """The sample at which the song begins; None while that is not known."""
        return self.alignment.start

    def begin_at(self, start: int) -> None:
        """Where the song begins is given, or known better."""
        self.alignment.start, self.alignment.steers, self._by_ear = start, False, False

    def nudge(self, ms: float) -> None:
        """All that comes is later by this, while it leads."""
        self.alignment.nudge(ms)

    def confirm(self, ahead_s: float) -> bool:
        """Its sound says that this is the song, and has come so much further than was thought; whether it leads."""
        if self.state == "leading":
            self.alignment.confirm(ahead_s)
        return self.state == "leading"

    def stop(self) -> bool:
        """The live engine leads from now on; whether that is news."""
        ended, self.state = self.state, "stopped" if self.state in ("waiting", "leading") else self.state
        return ended != self.state

    def hear(self, features: FeatureFrame) -> None:
        """Whether the song begins with this hop."""
        if self.start is None and not features.silent and self._silent_hops >= PAUSE_HOPS:
            self.alignment.start = features.end - self._fmt.hop - self._course.sound
        self._silent_hops = self._silent_hops + 1 if features.silent else 0
        if self.state == "leading":
            self.alignment.hear_sound(features)

    def beat(self, live: BeatState) -> BeatState:
        """The beat state of this hop, from the map while it leads."""
        if self.state == "waiting" and self.start is not None and live.end >= self.start:
            self.state = "leading"
        if self.state != "leading":
            return live
        align, course = self.alignment, self._course
        followed = align.follows
        align.hear(live)
        if align.follows and not followed:  # the song is elsewhere than was thought
            self._next_beat = self._next_moment = 0
        at = align.song(live.end)
        if refutation := align.refutation:
            self.state, self.given_up = "rolled_back", refutation
        elif at > course.dues[-1] + self._fmt.index(LONGEST_PERIOD_S):
            self.state = "over"
        if not self.leads:
            return live
        before, period = course.interval(at)
        phase = (at - course.dues[before]) / period % 1.0
        announced = self._announced(live.end)
        _, per_bar = course.place(max(self._next_beat - 1, 0))  # of what was announced last
        tempo_bpm = 60 * self._fmt.rate_hz / course.period(at) * align.speed
        return BeatState(live.end, tempo_bpm, phase, SURE, True, announced=announced, beats_per_bar=per_bar)

    def form(self, live: Form, end: int) -> Form:
        """The form of this hop, from the map while it leads; silence is believed to the ear."""
        if self.state == "leading":
            self._follow(live.wire.state)
        align, course = self.alignment, self._course
        if not self.leads:
            align.miss_drops()
            return live
        align.hear_drops(live.moments, end)
        if not course.sections or live.section.label == "silence":
            return live
        at = align.song(end)
        number = course.section(at)
        since, label = course.sections[number]
        section = Section(label, align.stream(since), SURE, False, number)
        bars = max(course.bars(since, at), 0.0)
        return replace(live, section=self._same(section), moments=self._due_moments(at), bars=bars,
                       bars_left=course.bars_left(number, bars), bars_left_probability=SURE)  # fmt: skip

    def _follow(self, wire: str) -> None:
        """Counts for how long the song has not played; one that was heard to begin is over then, or had not begun."""
        self._strange_hops = self._strange_hops + 1 if wire != "music" and not self.alignment.live_locks else 0
        if not self._by_ear or self._strange_hops < PATIENCE_HOPS:
            return
        if self.alignment.drift_ms is not None:
            self.state = "over"
        elif wire == "silence":
            # What was heard to begin was not the song.
            self.state, self.alignment = "waiting", Alignment(self._course, self._fmt, None)
            self._next_beat = self._next_moment = self._strange_hops = 0

    def _same(self, section: Section) -> Section:
        """The object of the hop before where nothing has changed: who compares by identity sees no change."""
        held = self._section
        if held is None or (held.index, held.label) != (section.index, section.label):
            self._section = section
        return self._section

    def _announced(self, end: int) -> BeatEvent | None:
        n, course, stream = self._next_beat, self._course, self.alignment.stream
        while n < len(course.dues) and stream(course.dues[n]) < end - self._fmt.hop:  # past, and not announced in time
            n += 1
        self._next_beat = n
        if n >= len(course.dues) or (due := stream(course.dues[n])) - self._lead > end:
            return None
        self._next_beat += 1
        self._announcements += 1
        place, _ = course.place(n)
        return BeatEvent(self._announcements, due, place, place == 1, course.strengths[n], SURE)

    def _due_moments(self, at: int) -> tuple[Moment, ...]:
        found, soon = [], at + self._fmt.index(AHEAD_S)
        moments = self._course.moments
        while self._next_moment < len(moments) and moments[self._next_moment].due <= soon:
            moment = moments[self._next_moment]
            self._next_moment += 1
            if moment.due >= at - self._fmt.rate_hz:
                found.append(replace(moment, due=self.alignment.stream(moment.due)))
        return tuple(found)
