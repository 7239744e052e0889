"""Catches the songs that are heard on the line: each becomes a file in the library's inbox, and from there a map.

Consumes frames with what the tracker heard, one a hop; emits files of 0.9 MB a minute, written by a thread of their own and
gone when the map is made. The sound itself is not kept. A song ends with silence, with talk or noise, with its stream, or where
one steady tempo gives way to another, which is the next song's. What a map has led through for the most part is not kept once
more. Cost: 10 us a hop; 10 ms where a song follows another without a pause.
"""

from __future__ import annotations

import logging
import statistics
from collections import deque
from collections.abc import Callable
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path

import numpy as np

from k1edge.analysis.recording import Keeper
from k1edge.errand import GOODBYE_S, Errand
from k1edge.frames import HOPS_PER_S, GenesisFrame, StreamFormat
from k1edge.genesis.structure import NOT_MUSIC
from k1edge.library.rules import HEARD_SUFFIX
from k1edge.pipeline import Pipeline
from k1edge.whole import write_whole

SHORTEST_S, FEWEST_BEATS = 45.0, 60
"""Less is a jingle, a sound check, an announcement."""
LONGEST_S = 20 * 60.0
"""18 MB in memory; a set without a pause is cut into pieces."""

MAP_BYTES_A_S = 9_000
"""Written to the disk for each second of music: the map, 6 KB, and the index with its journal."""
HELD_BYTES = 64_000_000
"""Of songs that wait for their analysis: more is a library that does not get on, and the folder may be in memory."""

STEADY_BEATS, CHANGING_BEATS = 24, 12
"""A change of song: STEADY_BEATS in one tempo, at most CHANGING_BEATS of others, then STEADY_BEATS in the next."""
STEADY, OTHER = 0.03, 0.05
"""Spread of a tempo that is steady; difference to one that is another's (logarithms)."""
SAME_SONG = np.log([1 / 3, 1 / 2, 2 / 3, 1.0, 3 / 2, 2.0, 3.0])
"""Ratios that are another reading of the same music."""

log = logging.getLogger("k1edge")


class SongCatcher:
    """One line, song after song."""

    def __init__(self, inbox: Path, mb_a_day: int, utc: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """`mb_a_day`: of maps, that may come of what is caught."""
        self._inbox, self._utc = inbox, utc
        self._daily_hops, self._left_hops = mb_a_day * 1_000_000 // MAP_BYTES_A_S * HOPS_PER_S, 0
        self._day: date | None = None
        self._keeper: Keeper | None = None
        self._led_hops = 0
        self._fmt: StreamFormat | None = None
        self._writer: Errand | None = None
        self._tempi: deque[tuple[int, float]] = deque(maxlen=2 * STEADY_BEATS + CHANGING_BEATS)

    def begin(self, fmt: StreamFormat) -> None:
        """A new stream: what was being caught is complete."""
        self.end()
        self._fmt = fmt

    @property
    def song(self) -> Keeper | None:
        """What is being caught."""
        return self._keeper

    def process(self, frame: GenesisFrame, pipeline: Pipeline) -> None:
        """One hop, and the pipeline that it came out of."""
        strange = frame.section.label == "unknown" and frame.wire in NOT_MUSIC
        if strange or frame.section.label == "silence":
            self.end()
            return
        if self._keeper is None:
            if frame.features.silent:
                return
            self._keeper = Keeper(self._fmt, pipeline.tracker.latency_hops / HOPS_PER_S)
        self._keeper.add(frame.features, frame.beat, pipeline.tracker.heard)
        self._led_hops += pipeline.leader is not None
        if len(self._keeper) >= LONGEST_S * HOPS_PER_S:
            self.end()
        elif frame.beat.announced is not None and frame.beat.lock:
            self._tempi.append((len(self._keeper), float(np.log(frame.beat.tempo_bpm))))
            self._changed()

    def _changed(self) -> None:
        """Whether another song plays: then what is heard since is the beginning of it."""
        if len(self._tempi) < self._tempi.maxlen:
            return
        tempi = np.array([tempo for _, tempo in self._tempi])
        before, after = tempi[:STEADY_BEATS], tempi[-STEADY_BEATS:]
        settled = statistics.median(after.tolist())
        ratio = settled - statistics.median(before.tolist())
        if max(np.ptp(before), np.ptp(after)) > STEADY or np.abs(ratio - SAME_SONG).min() < OTHER:
            return
        first = STEADY_BEATS + int((np.abs(tempi[STEADY_BEATS:] - settled) < STEADY).argmax())
        rest = self._keeper.cut(len(self._keeper) - self._tempi[first][0])
        self.end()
        self._keeper = rest

    def end(self) -> None:
        """The song is over; keeps it if it was one."""
        keeper, led_hops, self._keeper, self._led_hops = self._keeper, self._led_hops, None, 0
        self._tempi.clear()
        if keeper is None or len(keeper) < SHORTEST_S * HOPS_PER_S or keeper.beats < FEWEST_BEATS:
            return
        if 2 * led_hops > len(keeper):
            return
        now = self._utc()
        if now.date() != self._day:
            self._day, self._left_hops = now.date(), self._daily_hops
        if self._left_hops < len(keeper):
            log.info("a song that was heard is not kept: maps of %d s a day are enough for an SD card; [library] live_mb_a_day",
                     self._daily_hops // HOPS_PER_S)
            return
        self._left_hops -= len(keeper)
        name = f"heard-{now:%Y%m%dT%H%M%SZ}{HEARD_SUFFIX}"
        try:
            self._writer = Errand(partial(_write, self._inbox / name, keeper))
        except OSError as fault:
            log.warning("a song that was heard cannot be kept: %s", fault)

    def close(self) -> None:
        """Ends the song that is playing, and waits a moment until it is written."""
        self.end()
        if self._writer is not None:
            self._writer.wait(GOODBYE_S)


def _write(path: Path, keeper: Keeper) -> None:
    try:
        if sum(each.stat().st_size for each in path.parent.glob(f"*{HEARD_SUFFIX}")) > HELD_BYTES:
            raise OSError(f"more than {HELD_BYTES // 1_000_000} MB wait for their analysis already")
        write_whole(path, keeper.packed())
    except OSError as fault:
        log.warning("a song that was heard cannot be kept: %s", fault)
