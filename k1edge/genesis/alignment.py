"""Where in a stream a stored song lies, how fast it is played, and whether it is that song at all, by the live engine's word.

Consumes the live `BeatState`s and moments while a map leads; turns samples of the stream into samples of the song and back.

A DJ plays songs faster or slower, all along. Of the first YOUNG live beats TEMPI whose tempi agree give the speed, and the song
is turned about its first sound, so that no beat is miscounted; what is left is steered away, a little each beat, and taken for
an error of the speed in part. Measured on 4 composed songs and 11 recordings at seven speeds from -7 to +6 %, their beginning
heard or given: 196 of 210 runs are within 25 ms and half a per cent from 12 s on, 8 are given up, 6 count metal wrongly. A
fader that moves later is not followed: to turn about the wrong moment would be to count wrongly to the end. A start that is
given is believed, and steered from no sooner than DRIFT_BEATS in a row say that it is more than AGREE_MS out; one that a
person has nudged stays where it was put.

A map that was recalled by its sound has that for a witness, every few seconds: it goes where the sound says, at a speed that
is known, whatever the live beats are. Without it they judge:

Beats that are off for DRIFT_HOPS of lock, or have little to do with the map's, condemn it; those midway between its own where
the accents are midway too. Beats alone do not tell another song of the same tempo, drops do: one of the map's that is not
heard, and one heard that it does not have, and one more of either kind, with none between that agrees. One kind alone, or one
of each, may be a person's correction.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable
from math import log2
from statistics import median

from k1edge.frames import HOPS_PER_S, BeatState, FeatureFrame, Moment, StreamFormat
from k1edge.genesis.accents import Accents
from k1edge.genesis.course import Course
from k1edge.genesis.evidence import BAR

DRIFT_MS, DRIFT_HOPS = 100.0, 5 * HOPS_PER_S
DRIFT_BEATS = 8
OFF_BEAT = 0.4
"""Of the period, from the map's nearest beat: beyond it a live beat is on the off-beat, as a tracker's are at times."""
UNLIKE, DOUBT = -0.1, 0.5
"""Below this likeness of the accents the map is half a beat out, and not the live engine on the off-beat. It counts for so much
of what beats do: a map whose speed has just been learned may be on its way to its place."""
SPEEDS = (0.008, 0.09)
"""Faster or slower than stored, within a DJ's reach: less is steered away, more is another song."""
YOUNG, TEMPI, TEMPI_WITHIN = 24, 10, 0.02
"""A speed is learned from the first live beats alone, of so many in a row whose tempi differ by so much at most, and by less
than from the map's."""
STRAYS = 4
"""Tempi in a row beside the map's after which it rests until the speed is known."""
PITCH_OCTAVES = (0.017, 0.14)
"""1.2 to 10 % beside the map's tempo, for DRIFT_HOPS and off its beats. In 12 songs a tracker strays so for 1.7 s at most."""
AGREE_MS, AGREE_BEATS, AGREE_LEAST = 50.0, 16, 5
"""Of the last live beats at least so many lie that near to stored ones, drift taken off; of another song's, one in five."""
SLEW_MS = 10.0
"""By which the map is moved at a beat: it is never seen to jump."""
AHEAD_S = (0.008, 0.03)
"""Of what the sound says, less is no news, and more is not done at once."""
GAIN, STRAY = 0.03, 0.01
"""The share of a move that corrects the speed, by so much of what was learned at most. With 0.1 it runs to that end."""
SAME_DROP_BEATS = 2 * BAR
"""Drops that are nearer are one: the live engine calls some within their first bar."""


class Alignment:
    """Of one map and one stream."""

    def __init__(self, course: Course, fmt: StreamFormat, start: int | None, speed: float | None = None) -> None:
        """`start`: the sample at which the song begins; None while that is to be heard. `speed`: None while that is."""
        self._course, self._fmt = course, fmt
        self.start = start
        self.speed = self._learned = speed or 1.0
        self.follows = self.speed != 1.0
        """Seconds of the song in one of the stream; and whether that is another than it was."""
        self.steers = start is None or self.follows
        self.live_octaves, self.live_locks = 0.0, False
        """By which the live engine counts faster than the map, and whether it has a lock."""
        self.drift_ms: float | None = None
        """Signed median of live minus stored beats, of the nearer half: a live engine that counts double is not off. None until
        DRIFT_BEATS were compared."""
        self._errors_ms: deque[float] = deque(maxlen=AGREE_BEATS)
        self._tempi: deque[float] = deque(maxlen=TEMPI)
        self._compared, self._beside = 0 if speed is None else YOUNG + 1, 0
        """Live beats; and those, in a row, that say that a given start is wrong: DRIFT_BEATS of them are believed."""
        self._nudged = self._placed = False
        """By a person, or the sound, who go before the beats."""
        self._now = 0
        self._period_ms = 0.0
        self._beats_say = 0.0
        """Of a hop, for as long as no beat is compared: 1 = the map is off, -1 = it is not, 0 = nothing."""
        self._drifting_hops, self._pitched_hops = 0.0, 0
        self._drops = Drops(course)
        self._accents = Accents(course, fmt)

    def song(self, at: int) -> int:
        """A sample of the stream as one of the song."""
        return round((at - self.start) * self.speed)

    def stream(self, at: int) -> int:
        """A sample of the song as one of the stream."""
        return self.start + round(at / self.speed)

    @property
    def is_learning(self) -> bool:
        """The song is played at a speed that is not known yet."""
        if not (self._is_young and self.live_locks):
            return False
        recent = list(self._tempi)[-STRAYS:]
        return len(recent) == STRAYS and all(_is_a_djs(tempo) for tempo in recent)

    @property
    def refutation(self) -> str:
        """Why what plays is not the song, or not where it was thought to be; '' while it may be."""
        if self._drops.refute:
            return "drops are heard that the map does not have, and not those that it has"
        drifts, is_pitched = self._drifting_hops >= DRIFT_HOPS, self._pitched_hops >= DRIFT_HOPS
        if not (drifts or is_pitched) or (drift_ms := self.drift_ms) is None:
            return ""
        if abs(drift_ms) > DRIFT_MS:
            return f"the map is {drift_ms:+.0f} ms off the live beats"
        return "the live beats are not those of the map" if drifts or abs(drift_ms) > AGREE_MS else ""

    def nudge(self, ms: float) -> None:
        """All that comes is later by this."""
        self.start += self._fmt.index(ms / 1000)
        self._nudged = True

    def confirm(self, ahead_s: float) -> None:
        """The sound says that this is the song, and has come so much further than was thought. It goes before drops and live
        beats, which may be of another level, but not before a person who has nudged it."""
        self._placed, self._drops = True, Drops(self._course)
        self._drifting_hops, self._pitched_hops = 0.0, 0
        self._compared = max(self._compared, YOUNG + 1)
        if not self._nudged and abs(ahead_s) > AHEAD_S[0]:
            self._steer(self._now, -1000 * min(max(ahead_s, -AHEAD_S[1]), AHEAD_S[1]), paces=True)

    def hear(self, live: BeatState) -> None:
        """The live beat state of a hop."""
        self._now, self.live_locks = live.end, live.lock
        if not live.lock:
            self.miss_drops()
            return
        if live.announced is not None:
            self._compare(live)
        if self.drift_ms is None:
            return
        self._drifting_hops = max(self._drifting_hops + self._beats_say, 0.0)
        self.live_octaves = self._octaves(live)
        self._pitched_hops = self._pitched_hops + 1 if self._is_pitched else 0
        if self.is_learning:
            self._drifting_hops, self._pitched_hops = 0.0, 0

    def hear_sound(self, features: FeatureFrame) -> None:
        """What a hop sounds like, while the map leads."""
        self._accents.hear(features.novelty, self.song(features.end))

    def hear_drops(self, moments: Iterable[Moment], end: int) -> None:
        """The live moments of a hop that ends at this sample of the stream, while the map leads."""
        for moment in moments:
            if moment.kind == "drop":
                self._drops.heard(self.song(moment.due))
        self._drops.passed(self.song(end))

    def miss_drops(self) -> None:
        """Nobody listens for drops in this hop."""
        self._drops.miss()

    @property
    def _is_young(self) -> bool:
        return not self.follows and self._compared <= YOUNG

    def _octaves(self, live: BeatState) -> float:
        return log2(live.tempo_bpm * self._period_ms / 60_000 / self.speed)

    @property
    def _is_pitched(self) -> bool:
        """The song plays a little faster or slower than was thought, however often the live engine counts it."""
        least, most = PITCH_OCTAVES
        return least < abs(self.live_octaves - round(self.live_octaves)) < most

    def _take(self, errors_ms: Iterable[float]) -> None:
        """Takes the errors of the live beats that were compared last, and concludes what these say."""
        self._errors_ms = errors = deque(errors_ms, AGREE_BEATS)
        recent = list(errors)[-DRIFT_BEATS:]
        if len(recent) < DRIFT_BEATS:
            self.drift_ms, self._beats_say = None, 0.0
            return
        self.drift_ms = drift_ms = median(sorted(recent, key=abs)[: DRIFT_BEATS // 2])
        # Half of them are there where a live engine counts double; most, where it is on the off-beat.
        if sum(abs(error) > OFF_BEAT * self._period_ms for error in recent) > DRIFT_BEATS // 2:
            self._beats_say = DOUBT if self._accents.likeness < UNLIKE else 0.0
            return
        agree = sum(abs(error - drift_ms) < AGREE_MS for error in errors)
        is_other_song = len(errors) == AGREE_BEATS and agree < AGREE_LEAST
        self._beats_say = 1.0 if abs(drift_ms) > DRIFT_MS or is_other_song else -1.0

    def _compare(self, live: BeatState) -> None:
        at = self.song(live.announced.due)
        self._period_ms = 1000 * self._fmt.seconds(self._course.period(at))
        self._compared += 1
        self._take((*self._errors_ms, 1000 * self._fmt.seconds(at - self._course.nearest(at))))
        if self._is_young:
            self._learn(live)
        drift_ms = self.drift_ms
        if self._beside < DRIFT_BEATS:
            is_beside = drift_ms is not None and not self._is_young and AGREE_MS < abs(drift_ms) <= DRIFT_MS
            self._beside = self._beside + 1 if is_beside else 0
        steers = self.steers or (self._beside >= DRIFT_BEATS and not self._nudged)
        if steers and not self._placed and not self.is_learning and drift_ms is not None and abs(drift_ms) <= DRIFT_MS:
            moved_ms = min(max(drift_ms, -SLEW_MS), SLEW_MS)
            self._steer(live.announced.due, moved_ms, paces=self.follows)

    def _steer(self, now: int, ms: float, *, paces: bool) -> None:
        """Moves the song from now on, and where this `paces` it, corrects its speed by a share of the move."""
        at = self.song(now)
        if paces:
            least, most = self._learned * (1 - STRAY), self._learned * (1 + STRAY)
            period_ms = 1000 * self._fmt.seconds(self._course.period(at))
            self.speed = min(max(self.speed * (1 - GAIN * ms / period_ms), least), most)
        self.start = now + self._fmt.index(ms / 1000) - round(at / self.speed)
        self._take(error - ms for error in self._errors_ms)

    def _learn(self, live: BeatState) -> None:
        octaves = self._octaves(live)
        self._tempi.append(2.0 ** (octaves - round(octaves)))
        speed = median(self._tempi)
        spread = max(self._tempi) - min(self._tempi)
        if len(self._tempi) < TEMPI or spread > min(TEMPI_WITHIN, abs(speed - 1)) or not _is_a_djs(speed):
            return
        sound = self._course.sound if self.steers else 0  # a start that is given is where it begins, heard or not
        self.start += sound - round(sound / speed)
        self.speed = self._learned = speed
        self.steers = self.follows = True
        # What was heard so far was looked for in another place.
        self._drops, self._accents = Drops(self._course), Accents(self._course, self._fmt)
        self._take(())


class Drops:
    """Whether those of a map and those that are heard are the same."""

    def __init__(self, course: Course) -> None:
        dues = (moment.due for moment in course.moments if moment.kind == "drop")
        self._stored = [(due, SAME_DROP_BEATS * course.period(due)) for due in dues]
        """When each is due, and how far from that one that is heard is the same."""
        self._next: int | None = None
        self._last = -(1 << 62)
        """Heard last."""
        self._missed = self._surplus = 0
        """Not heard, and not in the map, since one agreed."""

    @property
    def refute(self) -> bool:
        """Some were missed and some are surplus, and more than come of a person who moves one."""
        return min(self._missed, self._surplus) > 0 and self._missed + self._surplus > 2

    def miss(self) -> None:
        """Nothing can be heard now: what is due meanwhile is not judged."""
        self._next = None

    def heard(self, at: int) -> None:
        """A drop, at this sample of the song."""
        self._last = at
        if any(abs(at - due) <= near for due, near in self._stored):
            self._missed = self._surplus = 0
        else:
            self._surplus += 1

    def passed(self, at: int) -> None:
        """The song has come to this sample: what was due is judged when it could have been heard."""
        if self._next is None:  # what was due before was not heard
            self._next = bisect_left(self._stored, (at,))
        while self._next < len(self._stored):
            due, near = self._stored[self._next]
            if at - due <= near:
                break
            self._next += 1
            self._missed += abs(self._last - due) > near


def _is_a_djs(speed: float) -> bool:
    least, most = SPEEDS
    return least < abs(speed - 1) < most
