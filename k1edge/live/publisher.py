"""Tells the world what the edge knows: beats, tempo map, sections, features, as the contract words them.

Consumes `GenesisFrame`s with the time line; emits `Publication`s at the edge's own topics. No I/O. Beats at once, frames at
`frame_rate_hz`, states when they change and at most twice a second, the tempo map when it would mislead.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from k1edge.clock import Timeline
from k1edge.config import TelemetrySettings
from k1edge.frames import HOPS_PER_S, MACROS, BeatEvent, BeatState, GenesisFrame, Moment, Section
from k1edge.k1 import contract
from k1edge.k1.contract import Gate, Publication, Scribe, Stamp

MAP_LIFE_S = 20.0
"""A tempo map older than this predicts nothing."""
MAP_RENEWED_S = 8.0
MAP_ERROR_MS = 8.0
"""A subscriber's own prediction may be off by so much before it is told."""
LEADS = 64
"""Beats over which the lead of the announcements is told."""
FRAME_BANDS = 8
"""Of the 40 analysed: what fits a message twenty times a second."""


class _Anchor(NamedTuple):
    """What the last tempo map went by."""

    event: BeatEvent
    beats_per_bar: int
    period_ms: float


class Publisher:
    """The edge's own topics."""

    def __init__(self, settings: TelemetrySettings, scribe: Scribe, boot_id: str) -> None:
        self._scribe = scribe
        self._boot_id = boot_id
        self._frame_every = math.ceil(HOPS_PER_S / settings.frame_rate_hz)
        self.frame_at_least = 1
        """Hops from one frame to the next while the edge must spare itself; 0 = no frames, their states once a second."""
        self._hops = 0
        self._tempo, self._section = Gate(), Gate()
        self._announced_section: Section | None = None
        self._anchor: _Anchor | None = None
        self._map: contract.TempoMap | None = None
        """The one that is out there and valid."""
        self._leads_ms: deque[float] = deque(maxlen=LEADS)
        self.beats = 0
        """Announced since the start, corrections counted."""
        self.last_number = 0
        self._taken_back = False

    def process(self, frame: GenesisFrame, timeline: Timeline, stamp: Stamp) -> Iterator[Publication]:
        """What is to be told after one hop."""
        self._hops += 1
        self._taken_back = False
        if frame.beat.announced is not None:
            self.beats += 1
            yield self._beat(frame.beat, frame.beat.announced, timeline, stamp)
            yield from self._tempo_map(frame.beat, frame.beat.announced, timeline, stamp)
        if not frame.beat.lock:
            yield from self._end_map(stamp)
        for moment in frame.moments:
            if moment.kind != "change":  # told below, with the section that it begins
                yield self._event(moment, {}, timeline, stamp)
        if self._hops % max(self._frame_every, self.frame_at_least or HOPS_PER_S) == 0:
            if self.frame_at_least:
                yield self._frame(frame, stamp)
            yield from self._states(frame, timeline, stamp)
        if frame.section is not self._announced_section:
            yield self._section_event(frame.section, timeline, stamp)

    @property
    def lead_ms(self) -> float | None:
        """Median time from an announcement to its beat, corrections left out; None before the first."""
        return round(median(self._leads_ms), 1) if self._leads_ms else None

    def lost(self, stamp: Stamp) -> Iterator[Publication]:
        """There is no sound: what was told of its beat and its form, be it by another process, is taken back, once."""
        if self._taken_back:
            return
        self._tempo, self._section, self._taken_back = Gate(), Gate(), True
        yield self._scribe.write(contract.TempoState, stamp, bpm=0.0, confidence=0.0, lock=False)
        yield self._scribe.write(contract.SectionState, stamp, index=0, label="unknown", since_ms=stamp.ts_ms, confidence=0.0,
                                 provisional=True)
        yield from self._end_map(stamp)

    def clock_stepped(self) -> None:
        """The wall clock is another: the tempo map and the section that are out there are wrong."""
        self._anchor, self._section = None, Gate()

    def _beat(self, beat: BeatState, event: BeatEvent, timeline: Timeline, stamp: Stamp) -> Publication:
        ahead_ms = timeline.ahead_ms(event.due, stamp.monotonic_ns)
        if event.number != self.last_number:
            self.last_number = event.number
            self._leads_ms.append(ahead_ms)
        return self._scribe.write(
            contract.Beat, stamp,
            number=event.number, due_in_ms=round(ahead_ms, 1), due_at_ms=round(stamp.ts_ms + ahead_ms),
            bpm=round(beat.tempo_bpm, 2), beat_in_bar=event.in_bar, downbeat=event.downbeat,
            strength=round(event.strength, 3), confidence=round(event.confidence, 3),
        )  # fmt: skip

    def _tempo_map(self, beat: BeatState, event: BeatEvent, timeline: Timeline, stamp: Stamp) -> Iterator[Publication]:
        if beat.tempo_bpm <= 0 or (self._anchor is not None and self._still_true(beat, event, timeline)):
            return
        period_ms = 60_000 / beat.tempo_bpm
        self._anchor = _Anchor(event, beat.beats_per_bar, period_ms)
        self._map = contract.TempoMap.model_construct(
            anchor_ms=timeline.utc_ms(event.due), anchor_monotonic_ms=timeline.stream.monotonic_ns(event.due) // 1_000_000,
            boot_id=self._boot_id, number=event.number, period_ms=round(period_ms, 3), beat_in_bar=event.in_bar,
            beats_per_bar=beat.beats_per_bar, confidence=round(beat.confidence, 3), alternatives=_alternatives(beat),
            valid_until_ms=stamp.ts_ms + round(MAP_LIFE_S * 1000),
        )  # fmt: skip
        yield self._scribe.post(self._scribe.node, self._map, stamp)

    def _end_map(self, stamp: Stamp) -> Iterator[Publication]:
        """No beat is known to come: a map that says otherwise is told once more, as no longer valid."""
        if self._map is not None:
            ended = self._map.model_copy(update={"confidence": 0.0, "valid_until_ms": stamp.ts_ms})
            self._anchor = self._map = None
            yield self._scribe.post(self._scribe.node, ended, stamp)

    def _still_true(self, beat: BeatState, event: BeatEvent, timeline: Timeline) -> bool:
        first, beats_per_bar, period_ms = self._anchor
        passed = event.number - first.number
        in_bar = (first.in_bar - 1 + passed) % beats_per_bar + 1 if first.in_bar and beats_per_bar else 0
        if (in_bar, beats_per_bar) != (event.in_bar, beat.beats_per_bar):
            return False
        passed_ms = (timeline.stream.monotonic_ns(event.due) - timeline.stream.monotonic_ns(first.due)) / 1e6
        return abs(passed_ms - passed * period_ms) < MAP_ERROR_MS and passed_ms < MAP_RENEWED_S * 1000

    def _section_event(self, section: Section, timeline: Timeline, stamp: Stamp) -> Publication:
        self._announced_section = section
        kind = "silence" if section.label == "silence" else "section"
        data = {"index": section.index, "label": section.label, "provisional": section.provisional}
        return self._event(Moment(kind, section.since, section.confidence), data, timeline, stamp)

    def _event(self, moment: Moment, data: dict[str, object], timeline: Timeline, stamp: Stamp) -> Publication:
        return self._scribe.write(
            contract.Event, stamp, kind=moment.kind, due_at_ms=timeline.utc_ms(moment.due), data=data,
            due_in_ms=round(timeline.ahead_ms(moment.due, stamp.monotonic_ns), 1), confidence=round(moment.confidence, 3),
        )  # fmt: skip

    def _frame(self, frame: GenesisFrame, stamp: Stamp) -> Publication:
        features, beat = frame.features, frame.beat
        return self._scribe.write(
            contract.Frame, stamp,
            index=frame.end, level_dbfs=round(features.level_dbfs, 1), centroid_hz=round(features.centroid_hz),
            novelty=round(float(features.novelty.mean()), 3), silent=features.silent, bpm=round(beat.tempo_bpm, 2),
            phase=round(beat.phase, 4), confidence=round(beat.confidence, 3), lock=beat.lock, section=frame.section.label,
            **{name: round(getattr(frame.macros, name), 3) for name in MACROS},
            bands=tuple(features.bands.reshape(FRAME_BANDS, -1).mean(axis=1, dtype=float).round(2).tolist()),
        )  # fmt: skip

    def _states(self, frame: GenesisFrame, timeline: Timeline, stamp: Stamp) -> Iterator[Publication]:
        beat, section = frame.beat, frame.section
        tempo = round(beat.tempo_bpm, 1), round(beat.confidence, 1), beat.lock, beat.beats_per_bar
        if self._tempo.passes(tempo, self._hops):
            yield self._scribe.write(
                contract.TempoState, stamp, bpm=round(beat.tempo_bpm, 2), confidence=round(beat.confidence, 3),
                lock=beat.lock, beats_per_bar=beat.beats_per_bar, alternatives=_alternatives(beat),
            )  # fmt: skip
        form = section.index, section.label, round(section.confidence, 1), section.provisional, frame.bars_left
        if self._section.passes(form, self._hops):
            yield self._scribe.write(
                contract.SectionState, stamp, index=section.index, label=section.label,
                since_ms=timeline.utc_ms(section.since), confidence=round(section.confidence, 3),
                provisional=section.provisional, bars_left=frame.bars_left,
                bars_left_probability=round(frame.bars_left_probability, 3),
            )  # fmt: skip


def _alternatives(beat: BeatState) -> tuple[dict[str, float], ...]:
    return tuple({"bpm": round(bpm, 2), "probability": round(p, 3)} for bpm, p in beat.alternatives[:8])
