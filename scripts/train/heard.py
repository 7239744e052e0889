"""What the engine hears of songs and excerpts, heard once and kept: features, and the beats of the tracker as it stands.

Consumes sources, emits `Heard`; a cache folder keeps both, under a name that changes with the code they came from, so that
nothing stale is ever used. Rendering, features and beats take about 1/40 of a song's duration, reading them back nothing.
Says, too, what may be looked at for tuning: the songs of SEEDS and MORE_SEEDS and the tuning half of the annotated excerpts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from k1edge.audio import Source
from k1edge.audio.arrangement import arrangement
from k1edge.audio.files import FileSource
from k1edge.audio.synth import SynthSource
from k1edge.beat.tracker import make_tracker
from k1edge.config import BeatSettings
from k1edge.daemon.recorder import FEATURES, as_features, feature_row
from k1edge.dsp.features import FeatureExtractor
from k1edge.frames import HOPS_PER_S, AudioBlock, BeatEvent, BeatState, FeatureFrame, StreamFormat

ROOT = Path(__file__).resolve().parents[2]
CODE = ROOT / "k1edge"
DATA = ROOT.parent / "shared/bench/beats/data"
SPLIT = ROOT / "scripts/bench_split.tsv"
SEEDS = range(50)
MORE_SEEDS = range(2_000, 2_100)
"""Of no report, and nothing else was trained on them."""
BEATS = np.dtype([
    ("end", "<i8"), ("tempo_bpm", "<f8"), ("phase", "<f8"), ("confidence", "<f8"), ("lock", "?"), ("number", "<i8"),
    ("due", "<i8"), ("in_bar", "<i4"), ("strength", "<f8"), ("certain", "<f8"), ("per_bar", "<i4"),
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class Heard:
    """One song or excerpt."""

    name: str
    features: np.ndarray
    """(n,) of FEATURES."""
    folder: Path | None

    @property
    def fmt(self) -> StreamFormat:
        ends = self.features["end"]
        return StreamFormat(int(ends[1] - ends[0]) * HOPS_PER_S)

    def frames(self) -> Iterator[FeatureFrame]:
        return map(as_features, self.features)

    def states(self) -> Iterator[BeatState]:
        """Of the tracker, which is run if it has not been."""
        name = f"{self.name}-beats-{_version('audio', 'dsp', 'beat')}"
        return map(_as_state, _kept(self.folder, name, lambda: _beats(self)))


def heard_song(seed: int, folder: Path | None) -> Heard:
    """The arrangement of a seed."""
    return _heard(f"seed{seed}", lambda: _song_source(seed), folder)


def heard_excerpt(path: Path, folder: Path | None) -> Heard:
    """An annotated excerpt."""
    return _heard(f"{path.parent.name}-{path.stem}", lambda: FileSource(path), folder)


def tuning_excerpts(data: Path, sets: tuple[str, ...]) -> list[Path]:
    """Those of some sets that may be looked at."""
    halves = dict(line.split() for line in SPLIT.read_text().splitlines() if line and not line.startswith("#"))
    paths = [path for name in sets for path in sorted(data.glob(f"{name}/*.ogg"))]
    return [path for path in paths if halves.get(f"{path.parent.name}/{path.stem}") == "tune"]


def _heard(name: str, make: Callable[[], Source], folder: Path | None) -> Heard:
    return Heard(name, _kept(folder, f"{name}-{_version('audio', 'dsp')}", lambda: _features(make())), folder)


def _song_source(seed: int) -> Source:
    sound = arrangement(seed)
    return SynthSource(sound.samples, sound.rate_hz)


def _kept(folder: Path | None, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    path = folder / f"{name}.npy" if folder else None
    if path and path.exists():
        return np.load(path)
    rows = make()
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, rows)
    return rows


@cache
def _version(*rooms: str) -> str:
    files = sorted(file for room in rooms for file in (CODE / room).glob("*") if file.suffix in (".py", ".npz"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:10]


def _features(source: Source) -> np.ndarray:
    extractor = FeatureExtractor(source.fmt)
    return np.array([feature_row(extractor.process(block)) for block in source], FEATURES)


def _beats(heard: Heard) -> np.ndarray:
    """Trackers listen to the features, not to the sound."""
    fmt = heard.fmt
    tracker, silence = make_tracker(BeatSettings(), fmt), np.zeros(fmt.hop, np.float32)
    return np.array([_beat_row(tracker.process(AudioBlock(silence, f.end - fmt.hop, 0), f)) for f in heard.frames()], BEATS)


def _beat_row(state: BeatState) -> tuple:
    event = state.announced
    said = (event.number, event.due, event.in_bar, event.strength, event.confidence) if event else (0, 0, 0, 0.0, 0.0)
    return (state.end, state.tempo_bpm, state.phase, state.confidence, state.lock, *said, state.beats_per_bar)


def _as_state(row: np.void) -> BeatState:
    end, bpm, phase, confidence, lock, number, due, in_bar, strength, certain, per_bar = row.item()
    event = BeatEvent(number, due, in_bar, in_bar == 1, strength, certain) if number else None
    return BeatState(end, bpm, phase, confidence, lock, (), event, per_bar)
