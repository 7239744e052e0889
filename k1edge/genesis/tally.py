"""What has been told of a stream so far: the numbers of its beats and the indices of its sections, whoever finds them.

Consumes the beat state and the form of each hop with their source, a map that leads or None for the live engine; emits them
counted on. Every source counts from a beginning of its own; where another takes over it goes on after what was told last, and
a beat that was told already is not told again. A section is the same object as long as its source says so.
"""

from __future__ import annotations

from dataclasses import replace

from k1edge.frames import BeatState, Section, StreamFormat
from k1edge.genesis.course import SAME_BEAT_S
from k1edge.genesis.structure import Form


class Tally:
    """Of one stream."""

    def __init__(self, fmt: StreamFormat, beats_before: int = 0) -> None:
        """`beats_before`: the last number that was told on the stream before."""
        self._same_beat = fmt.index(SAME_BEAT_S)
        self._number, self._due = beats_before, -fmt.rate_hz
        self._beats_of: object = None
        self._beats_on = beats_before
        self._found: Section | None = None
        self._told: Section | None = None
        self._sections_of: object = None
        self._sections_on = 0

    def beat(self, state: BeatState, source: object) -> BeatState:
        """The state of this hop, its beat under the number that it is told with."""
        event = state.announced
        if event is None:
            return state
        if source is not self._beats_of:
            if event.due < self._due + self._same_beat:
                return replace(state, announced=None)
            self._beats_of, self._beats_on = source, self._number + 1 - event.number
        self._number, self._due = event.number + self._beats_on, event.due
        return replace(state, announced=replace(event, number=self._number)) if self._beats_on else state

    def form(self, form: Form, source: object) -> Form:
        """The form of this hop, its section under the index that it is told with."""
        section = form.section
        if section is not self._found:
            if source is not self._sections_of:
                last = -1 if self._told is None else self._told.index
                self._sections_of, self._sections_on = source, last + 1 - section.index
            self._found = section
            self._told = replace(section, index=section.index + self._sections_on) if self._sections_on else section
        return form if self._told is section else replace(form, section=self._told)
