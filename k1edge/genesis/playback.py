"""A stored map leads where the same song plays again: its beats, sections and drops are known before they sound.

Consumes the live `BeatState` and `Form` of each hop, emits them with what the map knows in their place; macros, mood and the
wire stay live. The map's time 0 is sample 0 of the stream. It is watched by the live beats: a drift of more than DRIFT_MS
for DRIFT_S hands the light back to the live engine for good. Cost: 3 us a hop.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from dataclasses import replace
from statistics import median

from k1edge.frames import (
    HOPS_PER_S,
    SECTION_LABELS,
    BeatEvent,
    BeatState,
    Moment,
    Section,
    StreamFormat,
)
from k1edge.genesis.document import GenesisMap
from k1edge.genesis.structure import Form

DRIFT_MS, DRIFT_S = 100.0, 5.0
DRIFT_BEATS = 8
AHEAD_S = 8.0
"""A drop, build or breakdown is told this long before: four bars at 120 BPM."""
SURE = 0.98
"""Of a beat that was decoded with the whole song in view."""
LONGEST_PERIOD_S = 2.0


class MapPlayer:
    """One map over one stream; `leads` until it is found wrong or is over."""

    def __init__(self, song: GenesisMap, fmt: StreamFormat, lead_ms: float) -> None:
        rhythm, notes = song.layers.rhythm, song.layers.annotations
        self._fmt, self._lead = fmt, fmt.index(lead_ms / 1000)
        self._dues = [fmt.index(at_ms / 1000) for at_ms in rhythm.beat_grid_ms]
        self._in_bar = _places(self._dues, [fmt.index(at_ms / 1000) for at_ms in rhythm.downbeat_ms])
        self._strengths = rhythm.beat_strength or [1.0] * len(self._dues)
        self._sections = [(fmt.index(s.start_ms / 1000), s.label) for s in (notes and notes.sections) or []]
        self._moments = sorted(_moments(song, fmt), key=lambda moment: moment.due)
        self._next_beat, self._next_moment = 0, 0
        self._numbers = 0
        self._offset: int | None = None
        self._errors_ms: deque[float] = deque(maxlen=DRIFT_BEATS)
        self._drifting_hops = 0
        self._section: Section | None = None
        self.leads = bool(self._dues)
        self.rolled_back = False
        """The live beats and the map's disagreed for too long."""

    @property
    def drift_ms(self) -> float | None:
        """Signed median of live minus stored beats; None until DRIFT_BEATS were compared."""
        return median(self._errors_ms) if len(self._errors_ms) == DRIFT_BEATS else None

    def beat(self, live: BeatState) -> BeatState:
        """The beat state of this hop, from the map while it leads."""
        self._watch(live)
        if not self.leads:
            return self._renumbered(live)
        end, dues = live.end, self._dues
        if end > dues[-1] + self._fmt.index(LONGEST_PERIOD_S):
            self.leads = False  # the song is over
            return self._renumbered(live)
        upcoming = bisect_right(dues, end)
        before = min(max(upcoming - 1, 0), len(dues) - 2) if len(dues) > 1 else 0
        period = dues[before + 1] - dues[before] if len(dues) > 1 else self._fmt.rate_hz // 2
        return BeatState(end, 60 * self._fmt.rate_hz / period, (end - dues[before]) / period % 1.0, SURE, True,
                         announced=self._announced(end), beats_per_bar=max(self._in_bar, default=0))  # fmt: skip

    def form(self, live: Form, end: int) -> Form:
        """The form of this hop, from the map while it leads; silence is believed to the ear."""
        if not self.leads or not self._sections or live.section.label == "silence":
            return live
        number = max(bisect_right(self._sections, (end, chr(0x10FFFF))) - 1, 0)
        since, label = self._sections[number]
        label = label if label in SECTION_LABELS else "unknown"
        return replace(live, section=self._same(Section(label, since, SURE, False, number)), moments=self._due_moments(end),
                       bars_left=self._bars_left(number, end), bars_left_probability=SURE)  # fmt: skip

    def _same(self, section: Section) -> Section:
        """The object of the hop before where nothing has changed: who compares by identity sees no change."""
        if self._section is None or self._section != section:
            self._section = section
        return self._section

    def _announced(self, end: int) -> BeatEvent | None:
        n = self._next_beat
        while n < len(self._dues) and self._dues[n] < end - self._fmt.hop:
            n += 1  # what is past was not announced in time
        self._next_beat = n
        if n >= len(self._dues) or self._dues[n] - self._lead > end:
            return None
        self._next_beat += 1
        self._numbers += 1
        place = self._in_bar[n]
        return BeatEvent(self._numbers, self._dues[n], place, place == 1, self._strengths[n], SURE)

    def _renumbered(self, live: BeatState) -> BeatState:
        event = live.announced
        if event is None or not self._numbers:
            return live
        if self._offset is None:
            self._offset = self._numbers + 1 - event.number
        return replace(live, announced=replace(event, number=event.number + self._offset))

    def _due_moments(self, end: int) -> tuple[Moment, ...]:
        found = []
        while self._next_moment < len(self._moments):
            moment = self._moments[self._next_moment]
            if moment.due - self._fmt.index(AHEAD_S) > end:
                break
            self._next_moment += 1
            if moment.due >= end - self._fmt.rate_hz:
                found.append(moment)
        return tuple(found)

    def _bars_left(self, number: int, end: int) -> int:
        if number + 1 >= len(self._sections):
            return 0
        first, last = bisect_left(self._dues, end), bisect_left(self._dues, self._sections[number + 1][0])
        return sum(self._in_bar[n] == 1 for n in range(first, last))

    def _watch(self, live: BeatState) -> None:
        event = live.announced
        if event is not None and live.lock and self.leads:
            near = bisect_left(self._dues, event.due)
            around = self._dues[max(near - 1, 0) : near + 1]
            nearest = min(around, key=lambda due: abs(due - event.due))
            self._errors_ms.append(1000 * self._fmt.seconds(event.due - nearest))
        drifts = self.drift_ms is not None and abs(self.drift_ms) > DRIFT_MS
        self._drifting_hops = self._drifting_hops + 1 if drifts else 0
        if self._drifting_hops >= DRIFT_S * HOPS_PER_S:
            self.leads, self.rolled_back = False, True


def _places(dues: list[int], downbeats: list[int]) -> list[int]:
    """1-based place in the bar of each beat; 0 before the first downbeat, and everywhere where there is none."""
    down, place, places = set(downbeats), 0, []
    for due in dues:
        place = 1 if due in down else place + 1 if place else 0
        places.append(place)
    return places


def _moments(song: GenesisMap, fmt: StreamFormat) -> list[Moment]:
    notes = song.layers.annotations
    if notes is None:
        return []
    found = [Moment("drop", fmt.index(drop.at_ms / 1000), drop.confidence) for drop in notes.drops or []]
    for kind, spans in (("build", notes.builds), ("breakdown", notes.breakdowns)):
        found += [Moment(kind, fmt.index(span.start_ms / 1000), span.confidence or 0.5) for span in spans or []]
    return found
