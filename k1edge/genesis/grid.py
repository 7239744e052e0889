"""Beats as they pass, bars and phrases counted from them.

Consumes the tracker's announcements, emits `Beat` when one is due. Positions are read from the scheduled beats, never
from elapsed time over a period, which drifts. Where no beat is trusted the grid goes on with a steady pulse of its
own, marked `scheduled = False`, so that form can still be followed in free music; nothing that is shown on the beat
uses those.

Cost: below 2 us a hop.
"""

from __future__ import annotations

from dataclasses import dataclass

from k1edge.frames import BeatEvent, BeatState, StreamFormat

FREE_PULSE_S = 0.5
PATIENCE_PERIODS = 1.6
"""A beat this late is not coming: the free pulse takes over."""
BEATS_PER_BAR = 4
"""Where the tracker has never said how many."""


@dataclass(frozen=True, slots=True)
class Beat:
    """One beat that is due now."""

    index: int
    """Counts every beat of this stream, scheduled or free, from 0."""
    due: int
    in_bar: int
    """1-based, always known here: counted on where the tracker does not know."""
    bar: int
    """Counts bars from 0."""
    period: int
    """Samples from the previous beat to this."""
    scheduled: bool
    per_bar: int = BEATS_PER_BAR
    """Of the bar it is counted in."""

    @property
    def downbeat(self) -> bool:
        return self.in_bar == 1


class BarGrid:
    """Beat states in, beats out when due; one per stream."""

    def __init__(self, fmt: StreamFormat) -> None:
        self._rate_hz = fmt.rate_hz
        self._pending: dict[int, tuple[BeatEvent, int]] = {}
        """Beats that are announced, with how many there are in the bar of each."""
        self._last_number = 0
        self.last: Beat | None = None
        """The newest beat that has passed."""

    def process(self, state: BeatState) -> Beat | None:
        """The beat that became due within this hop, if any; also takes in what the tracker announced."""
        event = state.announced
        if event is not None and event.number > self._last_number:
            self._pending[event.number] = event, state.beats_per_bar
        due = [each for each in self._pending.values() if each[0].due <= state.end]
        if due:
            event, per_bar = max(due, key=lambda each: each[0].number)
            self._pending = {n: each for n, each in self._pending.items() if n > event.number}
            self._last_number = event.number
            return self._pass(event.due, event.in_bar, per_bar, scheduled=True)
        return self._free(state)

    def _free(self, state: BeatState) -> Beat | None:
        period = round(self._rate_hz * (60 / state.tempo_bpm if state.tempo_bpm > 0 else FREE_PULSE_S))
        if self._pending:
            return None
        if self.last is None:
            return self._pass(state.end)
        patience = period * PATIENCE_PERIODS if self.last.scheduled else period
        if state.end - self.last.due < patience:
            return None
        return self._pass(self.last.due + period)

    def _pass(self, due: int, in_bar: int = 0, per_bar: int = 0, *, scheduled: bool = False) -> Beat:
        last = self.last
        if last is None:
            period = round(self._rate_hz * FREE_PULSE_S)
            beat = Beat(0, due, in_bar or 1, 0, period, scheduled, per_bar or BEATS_PER_BAR)
        else:
            in_bar, per_bar = in_bar or last.in_bar % last.per_bar + 1, per_bar or last.per_bar
            period = due - last.due if due > last.due else last.period
            beat = Beat(last.index + 1, due, in_bar, last.bar + (in_bar == 1), period, scheduled, per_bar)
        self.last = beat
        return beat
