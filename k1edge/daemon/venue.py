"""What a room has taught the ear: the tempi that people corrected it to, kept across restarts.

Consumes the tracker's `TempoPrior` once a second, emits the one of last time. One file of a few hundred bytes in the state
folder, written only after a lesson and at most once in WRITE_EVERY_S, beside the loop, renamed into place; a file that cannot
be read counts as none, and one that cannot be written as one not wanted: light matters more than memory.
"""

from __future__ import annotations

import contextlib
import json
import math
from functools import partial
from pathlib import Path

from k1edge.beat.prior import MOST_COMPONENTS, TempoPrior, room_prior
from k1edge.config import BeatSettings
from k1edge.errand import GOODBYE_S, Errand
from k1edge.whole import write_whole

NAME = "venue.json"
WRITE_EVERY_S = 60.0
"""A person who taps writes once a minute, not once a tap: an SD card wears."""


class Venue:
    """The memory of one room; its lessons stand beside the broad prior of the configuration."""

    def __init__(self, folder: Path, settings: BeatSettings) -> None:
        self._path = folder / NAME
        self.prior = self._kept = room_prior(settings, _lessons(self._path))
        """What a new stream begins with."""
        self._next_s = 0.0
        self._writer: Errand | None = None

    def process(self, prior: TempoPrior, now_s: float) -> None:
        """What the tracker believes of the room by now."""
        self.prior = prior
        if prior is not self._kept and prior != self._kept and now_s >= self._next_s:
            self._next_s = now_s + WRITE_EVERY_S
            self._save()

    def close(self) -> None:
        """The last lesson is kept, too."""
        if self._is_at_rest(GOODBYE_S) and self.prior != self._kept:
            self._save()
        self._is_at_rest(GOODBYE_S)

    def _is_at_rest(self, limit_s: float) -> bool:
        return self._writer is None or self._writer.wait(limit_s)

    def _save(self) -> None:
        if not self._is_at_rest(0):
            return  # a card that takes a minute for the last one: another time
        self._kept = self.prior
        content = json.dumps({"lessons": self.prior.components[1:]})
        with contextlib.suppress(OSError):  # the machine refuses another thread
            self._writer = Errand(partial(_write, self._path, content))


def _write(path: Path, content: str) -> None:
    with contextlib.suppress(OSError):
        write_whole(path, content.encode())


def _lessons(path: Path) -> list[tuple[float, float, float]]:
    """(bpm, octaves, weight) of each; none where the file is missing or holds anything else."""
    try:
        found = [tuple(map(float, lesson)) for lesson in json.loads(path.read_bytes())["lessons"]]
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return []
    sound = all(len(lesson) == 3 and all(math.isfinite(x) and x > 0 for x in lesson) for lesson in found)
    return found[: MOST_COMPONENTS - 1] if sound and sum(weight for *_, weight in found) < 1 else []
