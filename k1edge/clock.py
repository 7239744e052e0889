"""Relates the three times of the house: sample index, monotonic clock, wall clock.

Consumes (sample index, arrival) pairs, answers "when is this sample?". Nothing else converts between them.

A hop cannot arrive before its last sample was converted, so the arrivals' lower envelope is the stream's true time line:

    offset = min over the last WINDOW_S of (arrived_ns - index / rate)

A running minimum alone would hold a stale value for ever when the sound card's clock is slower than ours (100 ppm are common,
0.36 s an hour); a windowed one follows within WINDOW_S * drift = 2 ms at 200 ppm.
"""

from __future__ import annotations

from collections import deque

from k1edge.frames import StreamFormat

WINDOW_S = 10
"""Long enough to meet an undelayed arrival on a busy machine, short enough to follow the card's drift."""
DRIFT_SPAN_S = 300
"""The card's rate error is read over up to five minutes: 1 ms of jitter is then 3 ppm."""


class StreamClock:
    """Sample index -> CLOCK_MONOTONIC ns, for one stream.

    `input_latency_ms` is how long sound takes from the line input to the arrival of its hop, beyond the hop itself: all times
    given out are those of the sound at the line input.
    """

    def __init__(self, fmt: StreamFormat, input_latency_ms: float = 0.0) -> None:
        self._rate_hz = fmt.rate_hz
        self._latency_ns = round(input_latency_ms * 1e6)
        self._second = -1
        self._minima: deque[int] = deque(maxlen=WINDOW_S)
        self._history: deque[tuple[int, int]] = deque(maxlen=DRIFT_SPAN_S)
        self._offset_ns = 0

    def observe(self, end: int, arrived_ns: int) -> int:
        """Learns that the audio up to `end` had arrived at `arrived_ns`; returns how late that was, ns >= 0."""
        residual = arrived_ns - self._nominal_ns(end)
        second = end // self._rate_hz
        if second != self._second or not self._minima:
            if self._minima:
                self._history.append((self._second, self._minima[-1]))
            self._second = second
            self._minima.append(residual)
        elif residual < self._minima[-1]:
            self._minima[-1] = residual
        self._offset_ns = min(self._minima)
        return residual - self._offset_ns

    def monotonic_ns(self, index: int) -> int:
        """When sample `index` was, or will be, at the line input."""
        return self._offset_ns + self._nominal_ns(index) - self._latency_ns

    def index(self, monotonic_ns: int) -> int:
        """The sample that is at the line input at that moment; the inverse of `monotonic_ns`."""
        return (monotonic_ns + self._latency_ns - self._offset_ns) * self._rate_hz // 1_000_000_000

    @property
    def drift_ppm(self) -> float:
        """How much slower (+) the sound card counts than our clock; 0.0 until a minute has been seen."""
        if len(self._history) < 60:
            return 0.0
        edge = len(self._history) // 6
        early, late = list(self._history)[:edge], list(self._history)[-edge:]
        first, last = min(early, key=lambda e: e[1]), min(late, key=lambda e: e[1])
        return (last[1] - first[1]) / max(1, last[0] - first[0]) / 1e3

    def _nominal_ns(self, index: int) -> int:
        return index * 1_000_000_000 // self._rate_hz


class WallClock:
    """CLOCK_MONOTONIC ns -> UTC ms; told the difference, and whether it can be trusted, from outside."""

    def __init__(self, wall_ns: int, monotonic_ns: int, synced: bool) -> None:
        self._offset_ns = wall_ns - monotonic_ns
        self.synced = synced

    def update(self, wall_ns: int, monotonic_ns: int, synced: bool) -> float:
        """Call once a second: the wall clock steps when the network first tells the time. Returns by how much, s."""
        before_ns, self._offset_ns = self._offset_ns, wall_ns - monotonic_ns
        self.synced = synced
        return (self._offset_ns - before_ns) / 1e9

    def utc_ms(self, monotonic_ns: int) -> int:
        return (monotonic_ns + self._offset_ns) // 1_000_000

    def monotonic_ns(self, utc_ms: float) -> int:
        return round(utc_ms * 1e6) - self._offset_ns


class Timeline:
    """The stream's clock and the wall clock as one: sample index -> UTC ms, and how far away it is from now."""

    def __init__(self, stream: StreamClock, wall: WallClock) -> None:
        self.stream = stream
        self.wall = wall

    def utc_ms(self, index: int) -> int:
        return self.wall.utc_ms(self.stream.monotonic_ns(index))

    def index(self, utc_ms: float) -> int:
        """The sample that is at the line input at a wall time."""
        return self.stream.index(self.wall.monotonic_ns(utc_ms))

    def ahead_ms(self, index: int, now_ns: int) -> float:
        """From `now_ns` until sample `index` is at the line input, ms; negative = past."""
        return (self.stream.monotonic_ns(index) - now_ns) / 1e6
