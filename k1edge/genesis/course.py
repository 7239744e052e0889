"""A score laid along a stream: which beat, bar, section and moment of the song is due where.

Consumes a `Score`; answers in samples from the start of the song. What is wrong with single beats of a map does not show: those
too near to another are left out, and the tempo is that of the bars around.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from statistics import median

from k1edge.frames import SECTION_LABELS, Moment, StreamFormat
from k1edge.genesis.evidence import BAR
from k1edge.genesis.metre import LONGEST_BAR, bar_lines, bars_between
from k1edge.genesis.score import Score

SAME_BEAT_S = 0.2
"""300 bpm: two beats that are nearer are one."""
TEMPO_BEATS = 8
"""The tempo at a beat is that of so many to either side."""


class Course:
    """What one song has in store."""

    def __init__(self, score: Score, fmt: StreamFormat) -> None:
        self._rate_hz = fmt.rate_hz
        dues = [fmt.index(at_ms / 1000) for at_ms in score.beats_ms]
        kept = _apart(dues, fmt.index(SAME_BEAT_S))
        self.dues, self.strengths = [dues[n] for n in kept], [score.strengths[n] for n in kept]
        self.accents = [score.accents[n] for n in kept] if score.accents else []
        """Of each beat, where the map tells them."""
        self._periods = dict(enumerate(_periods(self.dues)))
        downbeats = {fmt.index(at_ms / 1000) for at_ms in score.downbeats_ms}
        known = [n for n, due in enumerate(self.dues) if due in downbeats]
        self._has_bars = bool(known)
        self._lines = bar_lines(known or [0], len(self.dues) + LONGEST_BAR, bars_between(known))
        """The number of the first beat of each bar; the last one that begins is complete."""
        self.sections = [(fmt.index(at_ms / 1000), label if label in SECTION_LABELS else "unknown")
                         for at_ms, label in score.sections]  # fmt: skip
        self.moments = [Moment(kind, fmt.index(at_ms / 1000), sure) for at_ms, kind, sure in score.moments]
        self.sound = fmt.index(score.sound_ms / 1000)
        """Where it is first heard."""

    def _bar(self, beat: int) -> tuple[int, int, int]:
        """The number of the bar that a beat is in, or of the first after it, that bar's first beat, and how many it has."""
        bar = max(bisect_right(self._lines, beat) - 1, 0)
        return bar, self._lines[bar], self._lines[bar + 1] - self._lines[bar]

    def place(self, beat: int) -> tuple[int, int]:
        """1-based place of a beat in its bar, 0 before the first downbeat, and how many that bar has; 0 where there is none."""
        _, first, beats = self._bar(beat)
        return (max(beat - first + 1, 0), beats) if self._has_bars else (0, 0)

    def interval(self, at: int) -> tuple[int, int]:
        """The beat before, and how long it lasts; that of the nearest two beyond the ends."""
        dues = self.dues
        if len(dues) == 1:
            return 0, self._rate_hz // 2
        before = min(max(bisect_right(dues, at) - 1, 0), len(dues) - 2)
        return before, dues[before + 1] - dues[before]

    def period(self, at: int) -> float:
        """The median over bars around: single beats of the map are early, missing, or one too many."""
        before, period = self.interval(at)
        return self._periods.get(before, period)

    def nearest(self, at: int) -> int:
        """Where the nearest beat is due."""
        near = bisect_left(self.dues, at)
        return min(self.dues[max(near - 1, 0) : near + 1], key=lambda due: abs(due - at))

    def section(self, at: int) -> int:
        """The number of the section that plays; before the first, that of the first."""
        return max(bisect_right(self.sections, at, key=lambda section: section[0]) - 1, 0)

    def bars(self, since: int, until: int) -> float:
        """Counted on the beats."""
        return self._bars_before(until) - self._bars_before(since)

    def _bars_before(self, at: int) -> float:
        beat, period = self.interval(at)
        bar, first, beats = self._bar(beat)
        return bar + (beat - first + (at - self.dues[beat]) / period) / beats

    def bars_left(self, number: int, bars: float) -> int:
        """Bars that are left of a section of which so many have passed, with the one that plays; 0 = not known."""
        if number + 1 >= len(self.sections):
            return 0
        (since, _), (until, _) = self.sections[number : number + 2]
        return max(round(self.bars(since, until)) - int(bars), 1)


def _apart(dues: list[int], least: int) -> list[int]:
    """The numbers of the beats without those that follow another too soon."""
    kept: list[int] = []
    for n, due in enumerate(dues):
        if not kept or due - dues[kept[-1]] >= least:
            kept.append(n)
    return kept


def _periods(dues: list[int]) -> Iterator[float]:
    """At each beat, as long as there are bars around."""
    for beat in range(len(dues)):
        first = max(min(beat, len(dues) - TEMPO_BEATS) - TEMPO_BEATS, 0)
        around = dues[first : first + 2 * TEMPO_BEATS + 1]
        bars = [(b - a) / BAR for a, b in zip(around, around[BAR:], strict=False)]
        if not bars:
            return
        yield median(bars)
