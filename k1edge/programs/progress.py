"""How far an analysis of many songs is, for a person: bars on a terminal, lines elsewhere."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from typing import TextIO

from k1edge.k1.terminal import bar
from k1edge.programs.songs import Song

WIDTH = 24
LEAST_NAME, MOST_NAME = 8, 32
BESIDE = WIDTH + 19
"""Columns that the bar, its per cent and what is done take beside a name."""
REFRESH_S = 0.1
UP, CLEAR_BELOW = "\x1b[{}A", "\x1b[0J"
CUT_OFF, WRAP = "\x1b[?7l", "\x1b[?7h"
"""What a terminal does with a line that is wider than itself: only it knows how wide a name is."""
USUAL_COLUMNS, USUAL_LINES = 80, 24


def outcome(name: str, song: Song) -> str:
    """One line on a song that is done."""
    if song.failure:
        return f"✗ {name}: {song.failure.reason}"
    if song.state == "skipped":
        return f"= {name}: has its map already"
    metrics, notes, beats = song.map.global_metrics, song.map.notes, song.map.layers.rhythm.beat_grid_ms
    form = " ".join(section.label for section in notes.sections or [])
    tone = f", {notes.key}" if notes.key else ""
    return f"✓ {name}: {metrics.bpm:.1f} bpm, {len(beats)} beats{tone}, {form} ({song.took_s:.1f} s)"


def summary(songs: Sequence[Song]) -> str:
    """One line on all of them."""
    counts = {state: sum(song.state == state for song in songs) for state in ("completed", "skipped", "failed")}
    said = [f"{counts['completed']} of {len(songs)} done"]
    said += [f"{counts['skipped']} had their map already"] if counts["skipped"] else []
    said += [f"{counts['failed']} failed"] if counts["failed"] else []
    return ", ".join(said)


def _share(song: Song) -> float:
    if song.worker:
        return song.worker.progress
    return float(song.state in ("completed", "skipped", "failed"))


class Lines:
    """A line for each song that is done, and one at the end."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def update(self, songs: Sequence[Song]) -> None:
        """Nothing to see in between."""

    def ended(self, name: str, song: Song) -> None:
        print(outcome(name, song), file=self._out, flush=True)

    def end(self, songs: Sequence[Song]) -> None:
        if len(songs) > 1:
            print(summary(songs), file=self._out, flush=True)


class ProgressBars:
    """A bar for each song under way and one for all, drawn over themselves while there is a terminal to draw them on."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._drawn = 0
        self._next_s = 0.0
        self._began_s = time.monotonic()

    def update(self, songs: Sequence[Song]) -> None:
        """Draws anew, at most every REFRESH_S."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + REFRESH_S
        columns, room = self._size()
        name = min(max(columns - BESIDE, LEAST_NAME), MOST_NAME)
        lines = [self._one(song, name) for song in songs if song.worker]
        if len(songs) > 1:
            lines.append(self._all(songs, now_s - self._began_s, name))
        lines = lines[-room:]
        self._draw(CUT_OFF + "\n".join(lines) + f"\n{WRAP}")
        self._drawn = len(lines)

    def ended(self, name: str, song: Song) -> None:
        self._draw(f"{outcome(name, song)}\n")

    def end(self, songs: Sequence[Song]) -> None:
        self._draw(f"{summary(songs)}\n" if len(songs) > 1 else "")

    def _size(self) -> tuple[int, int]:
        """Columns, and lines that can be drawn over: the cursor waits below them."""
        with contextlib.suppress(OSError):
            size = os.get_terminal_size(self._out.fileno())
            return size.columns or USUAL_COLUMNS, max((size.lines or USUAL_LINES) - 1, 1)
        return 0, 1

    def _draw(self, text: str) -> None:
        """In the place of what was drawn last. A batch outlives its terminal: one in the background is not told of its end."""
        erased = UP.format(self._drawn) + CLEAR_BELOW if self._drawn else ""
        self._drawn = 0
        with contextlib.suppress(OSError):
            self._out.write(erased + text)
            self._out.flush()

    @staticmethod
    def _one(song: Song, width: int) -> str:
        name = song.path.name.encode("utf-8", "replace").decode()
        name = name if len(name) <= width else name[: width - 1] + "…"
        return f"  {name:{width}} {bar(song.worker.progress, WIDTH)} {song.worker.progress:4.0%} {song.worker.stage}"

    @staticmethod
    def _all(songs: Sequence[Song], took_s: float, width: int) -> str:
        share = sum(map(_share, songs)) / len(songs)
        left = f", {took_s / share - took_s:.0f} s left" if share > 0.02 else ""
        done = sum(song.worker is None and song.state != "queued" for song in songs)
        return f"  {f'{done} of {len(songs)}':{width}} {bar(share, WIDTH)} {share:4.0%}{left}"
