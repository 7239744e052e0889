"""The flight recorder: the last minutes of what was heard and what was decided, in memory, saved when something was wrong.

Consumes `GenesisFrame`s; emits files that `k1edge replay` decides anew, bit for bit. Recorded are the features (what the
decisions were made of, never the audio), a few numbers of every decision, what was done to the pipeline between two hops, and
at the start of each stretch a checkpoint of all of it, since a decision depends on everything heard before. Cost: about 8 us a
hop, 470 bytes of memory.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakSet

import numpy as np

from k1edge.frames import HOPS_PER_S, FeatureFrame, GenesisFrame
from k1edge.whole import write_whole

MAGIC = b"K1REC5\n"
KEPT = 3
"""Recordings on the card."""
STRETCHES = 4
"""The recording is kept in this many pieces and the one being written: they are dropped whole."""
MOST_NOTED = 1 << 18
"""Bytes of what was done in one stretch, after which another begins: a map of a song is 23 KB, a tap 50 bytes."""
FEATURES = np.dtype([
    ("end", "<i8"), ("bands", "<f4", 40), ("novelty", "<f4", 4), ("level_dbfs", "<f8"), ("noise_floor_dbfs", "<f8"),
    ("centroid_hz", "<f8"), ("chroma", "<f4", 12), ("silent", "?"),
])  # fmt: skip
DECISIONS = np.dtype([
    ("tempo_bpm", "<f8"), ("phase", "<f8"), ("confidence", "<f8"), ("lock", "?"), ("number", "<i8"), ("due", "<i8"),
    ("in_bar", "<i4"), ("macros", "<f8", 5), ("section", "<i8"), ("label", "S16"), ("bars_left", "<i4"), ("moments", "S32"),
    ("wire", "S8"), ("wire_confidence", "<f8"), ("valence", "<f8"), ("arousal", "<f8"), ("look", "S24"), ("palette", "<i4"),
    ("brightness", "<f8"),
])  # fmt: skip


def feature_row(features: FeatureFrame) -> tuple:
    """A frame as a row of FEATURES."""
    return (features.end, features.bands, features.novelty, features.level_dbfs, features.noise_floor_dbfs,
            features.centroid_hz, features.chroma, features.silent)  # fmt: skip


def decision_row(frame: GenesisFrame) -> tuple:
    """What was decided, as a row of DECISIONS; number 0 = nothing announced."""
    beat, m, section = frame.beat, frame.macros, frame.section
    event = beat.announced
    announced = (event.number, event.due, event.in_bar) if event is not None else (0, 0, 0)
    macros = (m.energy, m.vocal_presence, m.bass_weight, m.percussiveness, m.brightness)
    moments = " ".join([moment.kind for moment in frame.moments]).encode() if frame.moments else b""
    look = frame.look
    return (beat.tempo_bpm, beat.phase, beat.confidence, beat.lock, *announced, macros, section.index, section.label.encode(),
            frame.bars_left, moments, frame.wire.encode(), frame.wire_confidence, frame.valence, frame.arousal,
            look.name.encode(), look.palette, dict(look.parameters).get("brightness", 1.0))  # fmt: skip


def as_features(row: np.void) -> FeatureFrame:
    """A row of FEATURES as the frame it was."""
    return FeatureFrame(*row.item())


@dataclass(slots=True)
class Stretch:
    """One piece: the pipeline as it was, then what it heard and decided."""

    checkpoint: bytes | memoryview
    features: np.ndarray
    decisions: np.ndarray
    used: int = 0
    began: int = 0
    """Hops that had been recorded before."""
    acts: dict[int, bytes] = field(default_factory=dict)
    """What was done before a hop of it, by the hop's number."""
    noted: int = 0
    """Bytes of `acts`."""

    @property
    def full(self) -> bool:
        return self.used == len(self.features) or self.noted > MOST_NOTED

    @property
    def end(self) -> int:
        """Hops that had been recorded after it."""
        return self.began + self.used


class Recorder:
    """The last `minutes` of one edge."""

    def __init__(self, minutes: float) -> None:
        self._hops = max(1, round(minutes * 60 * HOPS_PER_S / STRETCHES))
        self._stretches: deque[Stretch] = deque()
        self._readings: WeakSet[Iterator[bytes | memoryview]] = WeakSet()

    @property
    def wants_checkpoint(self) -> bool:
        """Whether `begin` is due before the next frame."""
        return not self._stretches or self._stretches[-1].full

    def begin(self, dump: Callable[[bytearray], bytes | memoryview]) -> None:
        """A new stretch; `dump` makes a checkpoint of the pipeline as it is now, or of a new one, in memory it may use."""
        # The memory of the stretch that is dropped is used again: nothing is allocated in steady running.
        began = self._stretches[-1].end if self._stretches else 0
        old = self._drop() if len(self._stretches) > STRETCHES else None
        if old is None or self._readings:
            features, decisions = np.empty(self._hops, FEATURES), np.empty(self._hops, DECISIONS)
            memory = bytearray(len(self._stretches[-1].checkpoint) * 9 // 8 if self._stretches else 0)
        else:
            features, decisions, memory = old.features, old.decisions, getattr(old.checkpoint, "obj", bytearray())
        self._stretches.append(Stretch(dump(memory), features, decisions, began=began))

    def _drop(self) -> Stretch:
        """The oldest goes once all that is to be kept came after it; before that the shortest, which is missed least."""
        since = self._stretches[-1].end - self._stretches[0].end
        lengths = [stretch.used for stretch in self._stretches]
        place = 0 if since >= STRETCHES * self._hops else lengths.index(min(lengths))
        old = self._stretches[place]
        del self._stretches[place]
        return old

    def note(self, acts: bytes) -> None:
        """What was done to the pipeline since the last frame."""
        stretch = self._stretches[-1]
        stretch.acts[stretch.used] = acts
        stretch.noted += len(acts)

    def add(self, frame: GenesisFrame) -> None:
        """One hop."""
        stretch = self._stretches[-1]
        stretch.features[stretch.used] = feature_row(frame.features)
        stretch.decisions[stretch.used] = decision_row(frame)
        stretch.used += 1

    @property
    def nbytes(self) -> int:
        """What a file of it takes, but for a few lines."""
        row = FEATURES.itemsize + DECISIONS.itemsize
        return sum(len(each.checkpoint) + each.used * row + 2 * each.noted for each in self._stretches)  # notes are in hex

    def contents(self) -> Iterator[bytes | memoryview]:
        """The recording as a file's content, piece by piece; what is added meanwhile is left out, and disturbs nothing."""
        reading = _contents([(stretch, stretch.used, list(stretch.acts.items())) for stretch in self._stretches])
        self._readings.add(reading)  # until it is read to its end, or nobody wants it any more
        return reading


def _contents(stretches: list[tuple[Stretch, int, list[tuple[int, bytes]]]]) -> Iterator[bytes | memoryview]:
    yield MAGIC
    for stretch, rows, acts in stretches:
        head = {"checkpoint": len(stretch.checkpoint), "rows": rows, "acts": [(hop, done.hex()) for hop, done in acts]}
        yield json.dumps(head).encode() + b"\n"
        yield stretch.checkpoint
        yield stretch.features[:rows].view(np.uint8).data
        yield stretch.decisions[:rows].view(np.uint8).data


def save(contents: Iterator[bytes | memoryview], folder: Path, name: str) -> Path:
    """Writes a recording whole or not at all, and keeps only the newest few with it. Raises OSError."""
    path = folder / f"{name}.k1rec"
    write_whole(path, contents)
    with suppress(FileNotFoundError):  # another save may have been faster
        # A clock that was ahead has made others look newer than what has just been asked for.
        for old in sorted(folder.glob("*.k1rec"), key=lambda each: (each == path, each.stat().st_mtime))[:-KEPT]:
            old.unlink()
    return path


def read(path: Path) -> list[Stretch]:
    """The stretches of a saved recording. Raises ValueError when it is not one, or damaged; OSError."""
    content = path.read_bytes()
    if not content.startswith(MAGIC):
        raise ValueError(f"{path} is not a recording of this version of k1edge")
    stretches, at = [], len(MAGIC)
    while at < len(content):
        stretch, at = _stretch(content, at, path)
        stretches.append(stretch)
    return stretches


def _stretch(content: bytes, at: int, path: Path) -> tuple[Stretch, int]:
    line_end = content.find(b"\n", at)
    try:
        head = json.loads(content[at:line_end])
        size, rows = int(head["checkpoint"]), int(head["rows"])
        acts = {int(hop): bytes.fromhex(done) for hop, done in head["acts"]}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged at byte {at}") from error
    begin = line_end + 1
    middle = begin + size
    later = middle + rows * FEATURES.itemsize
    end = later + rows * DECISIONS.itemsize
    if min(size, rows) < 0 or end > len(content):
        raise ValueError(f"{path} ends too early: {len(content)} of at least {end} bytes")
    features = np.frombuffer(content, FEATURES, rows, middle)
    return Stretch(content[begin:middle], features, np.frombuffer(content, DECISIONS, rows, later), rows, acts=acts), end
