"""When a scene may change: rarely, musically, and always for a drop.

Consumes times as sample indices, answers yes or no. Changes are at least `min_gap_s` apart; after each there is a
cool-down which only a drop may break, once; no minute holds more than `changes_per_minute`. The last of those is kept for a
drop: by a build, which promises one, and by all music where there has been one lately. The first light of a stream is none
of them, since no other was seen before it, but stays for as long. Where a scene has stood for long, its palette may change.
"""

from __future__ import annotations

from collections import deque

from k1edge.config import RulesSettings
from k1edge.config.looks import IDLE
from k1edge.frames import StreamFormat

MINUTE_S = 60.0
DROPS_GO_ON_S = 300.0
"""After one there will be another; music without drops has all its changes. Of 18 drops in six songs, 12 are shown at once; 8
if builds alone leave room, and 13 if everything always does."""


STANDS_S = 90.0
"""Music of one section in one mood would otherwise be one colour from its beginning to its end."""


class SceneBudget:
    """Counts scene changes and answers whether another is allowed; one per stream."""

    def __init__(self, fmt: StreamFormat, rules: RulesSettings) -> None:
        self._min_gap, self._cool_down = fmt.index(rules.min_gap_s), fmt.index(rules.cool_down_s)
        self._minute, self._per_minute = fmt.index(MINUTE_S), rules.changes_per_minute
        self._changes: deque[int] = deque(maxlen=self._per_minute)
        self._last: int | None = None
        self._cool_down_broken = False
        self._drops_go_on, self._drops_until = fmt.index(DROPS_GO_ON_S), 0
        self._stands = fmt.index(STANDS_S)

    def hear(self, at: int, label: str) -> None:
        """A section of this label plays at `at`. A drop promises another, even if it came too late for a scene of its own."""
        if label == "drop":
            self._drops_until = at + self._drops_go_on

    def allows(self, at: int, label: str) -> bool:
        """Whether the scene may change at sample `at` for a section of this label."""
        recent = sum(at - t < self._minute for t in self._changes)
        awaited = label == "build" or (at < self._drops_until and self._per_minute > 1 and label not in IDLE)
        if recent >= self._per_minute - (awaited and label != "drop"):
            return False
        if self._last is None:
            return True
        since = at - self._last
        if since < self._min_gap:
            return False
        return since >= self._cool_down or (label == "drop" and not self._cool_down_broken)

    def is_stale(self, at: int) -> bool:
        """Whether the scene has stood for long, and no drop may come that would have to wait for what takes its place."""
        return self._last is not None and at - self._last >= self._stands and at >= self._drops_until

    def spend(self, at: int, label: str, *, first: bool = False) -> None:
        """The scene changed at `at` to that of a section of this label; `first` = there was no light before."""
        self._cool_down_broken = self._last is not None and at - self._last < self._cool_down
        self._last = at
        if not first:
            self._changes.append(at)
        if label in IDLE:
            self._drops_until = at
