"""How well the engine does, by its own account: what can be told without knowing the truth.

Consumes `GenesisFrame`s, emits a dict of figures for the hour so far. A venue whose figures get worse has a reason: a cable, a
level, another kind of music. Cost: below 2 us a hop.
"""

from __future__ import annotations

from k1edge.frames import HOPS_PER_S, BeatEvent, GenesisFrame, Look
from k1edge.genesis.structure import NOT_MUSIC

BINS = 10
HOUR_S = 3600
LIT = 0.02
"""Brightness from which a look is not dark."""


class SelfScore:
    """Figures since the last `report`."""

    def __init__(self) -> None:
        self._unlocked = 0
        self._locked = False
        self._last: BeatEvent | None = None
        self._section = -1
        self._look: Look | None = None
        self._unlit = False
        self._ever = False
        """Whether there has been a lock before this report's time."""
        self._limited = 0
        self._begin()

    def _begin(self) -> None:
        self._hops = self._music = self._dark = 0
        self._locks = self._lock_hops = self._longest_lock = 0
        self._beats = self._corrections = self._downbeat_moves = self._sections = 0
        self._histogram = [0] * BINS

    def process(self, frame: GenesisFrame) -> None:
        """One hop."""
        self._hops += 1
        music = not frame.features.silent and frame.wire not in NOT_MUSIC
        self._follow_lock(frame, music)
        if frame.section.index != self._section:
            self._section = frame.section.index
            self._sections += 1
        if music:
            self._music += 1
            self._dark += self._is_dark(frame.look)
            self._histogram[min(int(frame.beat.confidence * BINS), BINS - 1)] += 1
        if frame.beat.announced is not None:
            self._count(frame.beat.announced, frame.beat.beats_per_bar)

    def report(self, limited: int = 0) -> dict[str, float]:
        """The figures, with the unit in every key; begins anew. `limited`: what the limiter has stopped since the start."""
        hours = self._hops / HOPS_PER_S / HOUR_S or 1.0
        heard = self._music or 1
        figures = {
            "hours": round(self._hops / HOPS_PER_S / HOUR_S, 3),
            "music_s": self._music / HOPS_PER_S,
            "dark_s": self._dark / HOPS_PER_S,
            "locks": self._locks,
            "relocks": max(self._locks - (not self._ever), 0),
            "lock_time_s_mean": round(self._lock_hops / HOPS_PER_S / self._locks, 2) if self._locks else 0.0,
            "lock_time_s_max": self._longest_lock / HOPS_PER_S,
            "beats": self._beats,
            "corrections": self._corrections,
            "downbeat_moves": self._downbeat_moves,
            "sections_per_hour": round(self._sections / hours, 1),
            "limited": limited - self._limited,
        }  # fmt: skip
        figures |= {f"confidence_{i}": round(count / heard, 3) for i, count in enumerate(self._histogram)}
        self._ever, self._limited = self._ever or self._locks > 0, limited
        self._begin()
        return figures

    def _follow_lock(self, frame: GenesisFrame, music: bool) -> None:
        """`_unlocked` counts the hops of music since a lock was lost, or since the beginning."""
        if frame.beat.lock and not self._locked:
            self._locks += 1
            self._lock_hops += self._unlocked
            self._longest_lock = max(self._longest_lock, self._unlocked)
        self._locked = frame.beat.lock
        self._unlocked = self._unlocked + 1 if music and not self._locked else 0

    def _is_dark(self, look: Look) -> bool:
        """Whether it shows nothing, by whatever name: after a silence the last scene stands, without light."""
        if look is not self._look:
            self._look, self._unlit = look, dict(look.parameters).get("brightness", 1.0) < LIT
        return self._unlit

    def _count(self, event: BeatEvent, beats_per_bar: int) -> None:
        last, self._last = self._last, event
        if last is not None and event.number == last.number:
            self._corrections += 1
            return
        self._beats += 1
        if last is not None and event.number == last.number + 1 and last.in_bar and event.in_bar and beats_per_bar:
            self._downbeat_moves += event.in_bar != last.in_bar % beats_per_bar + 1
