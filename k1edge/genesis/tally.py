"""What has been told of a stream so far: the numbers of its beats, whoever finds them.

Consumes the beat state of each hop with its source, a map that leads or None for the live engine; emits it counted on. Every
source counts from a beginning of its own; where another takes over it goes on after what was told last, and a beat that was
told already is not told again.
"""

from __future__ import annotations

from dataclasses import replace

from k1edge.frames import BeatState, StreamFormat
from k1edge.genesis.course import SAME_BEAT_S


class Tally:
    """Of one stream."""

    def __init__(self, fmt: StreamFormat, beats_before: int = 0) -> None:
        """`beats_before`: the last number that was told on the stream before."""
        self._same_beat = fmt.index(SAME_BEAT_S)
        self._number, self._due = beats_before, -fmt.rate_hz
        self._beats_of: object = None
        self._offset = beats_before

    def beat(self, state: BeatState, source: object) -> BeatState:
        """The state of this hop, its beat under the number that it is told with."""
        event = state.announced
        if event is None:
            return state
        if source is not self._beats_of:
            if event.due < self._due + self._same_beat:
                return replace(state, announced=None)
            self._beats_of, self._offset = source, self._number + 1 - event.number
        self._number, self._due = event.number + self._offset, event.due
        return replace(state, announced=replace(event, number=self._number)) if self._offset else state
