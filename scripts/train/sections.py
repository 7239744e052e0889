"""Fits the section model (k1edge/genesis/sections.npz) to the random arrangements of seeds 0-49.

Consumes the arrangements with their truth, heard twice: with their true beats and with the tracker's own; and, as music in
which nothing is ever a build or a drop, the tuning half of the annotated excerpts in --data. Emits the weights. Deterministic;
takes about 20 minutes on one core. Seeds 100-149 and the other half of the excerpts are for reports only.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from k1edge.audio.arrangement import arrangement
from k1edge.audio.files import FileSource
from k1edge.audio.synth import SynthSource, Truth
from k1edge.beat.tracker import make_tracker
from k1edge.config import BeatSettings
from k1edge.dsp.features import FeatureExtractor
from k1edge.frames import BeatEvent, BeatState, StreamFormat
from k1edge.genesis.evidence import BAR, Evidence
from k1edge.genesis.grid import BarGrid
from k1edge.genesis.hearing import Ear
from k1edge.genesis.sections import BUILD, DROP, LABELS, MAX_BARS, N_LABELS, STAGES, general_ends, stage_of

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "k1edge/genesis/sections.npz"
DATA = ROOT.parent / "shared/bench/beats/data"
SPLIT = ROOT / "scripts/bench_split.tsv"
NEGATIVE_SETS = ("fof", "groove", "pop909", "loops")
SEEDS = range(50)
N_CLASSES = len(STAGES) * N_LABELS
RIDGE = 1e-3
NEGATIVE_WEIGHT = 0.3
LATER_EVERY = 3
"""Beats late in a section are alike: one in so many is used."""
ENDS_PRIOR = 6.0
"""How many imagined sections the general hazards count as."""
FOLLOWS_PRIOR = 0.5
STEPS = 150


@dataclass(slots=True)
class Song:
    """What the engine hears of one song, with what is true of each beat."""

    rows: np.ndarray
    labels: np.ndarray
    ages: np.ndarray


class _TrueBeats:
    """A tracker that is never wrong."""

    def __init__(self, truth: Truth, fmt: StreamFormat) -> None:
        downbeats = {fmt.index(t) for t in truth.downbeats_s}
        self._events, in_bar = [], 0
        for number, at in enumerate(map(fmt.index, truth.beats_s), 1):
            in_bar = 1 if at in downbeats else in_bar + 1
            self._events.append(BeatEvent(number, at, in_bar, in_bar == 1, 1.0, 1.0))
        self._bpm, self._lead = truth.bpm, fmt.index(0.15)

    def process(self, block, features) -> BeatState:
        event = None
        if self._events and self._events[0].due <= features.end + self._lead:
            event = self._events.pop(0)
        return BeatState(features.end, self._bpm, 0.0, 1.0, True, (), event, 4)


def hear(source, tracker) -> tuple[np.ndarray, np.ndarray]:
    """(beats, N_ROW) rows and (beats,) due times, s, of a source."""
    features, ear, grid, evidence = FeatureExtractor(source.fmt), Ear(), BarGrid(source.fmt), Evidence(source.fmt)
    rows, dues = [], []
    for block in source:
        frame = features.process(block)
        beat = grid.process(tracker.process(block, frame))
        row = evidence.process(frame, ear.process(frame), beat)
        if row is not None and row.on_beat:
            rows.append(row.values)
            dues.append(source.fmt.seconds(row.due))
    return np.array(rows), np.array(dues)


def labelled(rows: np.ndarray, dues_s: np.ndarray, truth: Truth) -> Song:
    """Rows with the true label and age of each beat."""
    starts = np.array([span.start_s for span in truth.sections])
    which = np.maximum(np.searchsorted(starts, dues_s + 0.07, side="right") - 1, 0)
    ages = np.round((dues_s - starts[which]) * truth.bpm / 60).astype(int)
    labels = np.array([LABELS.index(truth.sections[i].label) for i in which])
    return Song(rows, labels, np.maximum(ages, 0))


def _song(seed: int) -> tuple[list[Song], Truth]:
    sound = arrangement(seed)
    fmt = StreamFormat(sound.rate_hz)
    trackers = (_TrueBeats(sound.truth, fmt), make_tracker(BeatSettings(), fmt))
    heard = [hear(SynthSource(sound.samples, sound.rate_hz), tracker) for tracker in trackers]
    return [labelled(rows, dues, sound.truth) for rows, dues in heard], sound.truth


def _excerpt(path: Path) -> np.ndarray:
    source = FileSource(path)
    return hear(source, make_tracker(BeatSettings(), source.fmt))[0]


def tuning_excerpts(data: Path) -> list[Path]:
    """Those of the negative sets that may be looked at."""
    halves = dict(line.split() for line in SPLIT.read_text().splitlines() if line and not line.startswith("#"))
    paths = [path for name in NEGATIVE_SETS for path in sorted(data.glob(f"{name}/*.ogg"))]
    return [path for path in paths if halves.get(f"{path.parent.name}/{path.stem}") == "tune"]


def fit(songs: list[Song], negatives: np.ndarray) -> dict[str, np.ndarray]:
    """The softmax, as a matrix and a bias whose scores are log-likelihoods up to a constant, and the classes' shares."""
    stages = [stage_of(song.ages) for song in songs]
    kept = [(stage < 2) | (np.arange(len(stage)) % LATER_EVERY == 0) for stage in stages]
    rows = np.concatenate([song.rows[keep] for song, keep in zip(songs, kept, strict=True)]).astype(np.float32)
    classes = np.concatenate([
        (stage * N_LABELS + song.labels)[keep] for song, stage, keep in zip(songs, stages, kept, strict=True)
    ])
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 0.1
    inputs, quiet = (np.c_[(part - mean) / spread, np.ones(len(part))].astype(np.float32) for part in (rows, negatives))
    found = minimize(_loss, np.zeros(N_CLASSES * inputs.shape[1]), args=(inputs, classes, quiet), jac=True,
                     method="L-BFGS-B", options={"maxiter": STEPS})
    weights = found.x.reshape(N_CLASSES, -1)
    shares = (np.bincount(classes, minlength=N_CLASSES) + 1.0) / (len(classes) + N_CLASSES)
    matrix = weights[:, :-1] / spread
    return {"matrix": matrix, "bias": weights[:, -1] - matrix @ mean - np.log(shares), "shares": shares}


def _softmax(scores: np.ndarray) -> np.ndarray:
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def _loss(flat: np.ndarray, inputs: np.ndarray, classes: np.ndarray, quiet: np.ndarray) -> tuple[float, np.ndarray]:
    """Cross entropy of the songs, plus that of "neither build nor drop" for the negatives, plus a ridge."""
    weights = flat.reshape(N_CLASSES, -1).astype(np.float32)
    share = _softmax(inputs @ weights.T)
    loss = -np.log(share[np.arange(len(classes)), classes] + 1e-9).mean()
    share[np.arange(len(classes)), classes] -= 1
    gradient = share.T @ inputs / len(inputs)
    if len(quiet):
        tense = np.isin(np.arange(N_CLASSES) % N_LABELS, (BUILD, DROP))
        share = _softmax(quiet @ weights.T)
        calm = np.maximum(share[:, ~tense].sum(axis=1, keepdims=True), 1e-9)
        loss -= NEGATIVE_WEIGHT * np.log(calm).mean()
        gradient += NEGATIVE_WEIGHT * (share - np.where(tense, 0, share) / calm).T @ quiet / len(quiet)
    ridge = weights.copy()
    ridge[:, -1] = 0
    return float(loss + RIDGE * (ridge**2).sum()), (gradient + 2 * RIDGE * ridge).ravel().astype(float)


def grammar(truths: list[Truth]) -> dict[str, np.ndarray]:
    """What follows what, and after how many bars sections end."""
    follows = np.full((N_LABELS, N_LABELS), FOLLOWS_PRIOR)
    np.fill_diagonal(follows, FOLLOWS_PRIOR / 10)
    ended, lived = np.zeros((2, N_LABELS, MAX_BARS + 1))
    for truth in truths:
        for span, following in zip(truth.sections, truth.sections[1:], strict=False):
            label = LABELS.index(span.label)
            bars = min(round((span.end_s - span.start_s) * truth.bpm / 60 / BAR), MAX_BARS)
            follows[label, LABELS.index(following.label)] += 1
            ended[label, bars] += 1
            lived[label, : bars + 1] += 1
    ends = (ended + ENDS_PRIOR * general_ends()) / (lived + ENDS_PRIOR)
    ends[:, 0] = 0
    return {"follows": follows / follows.sum(axis=1, keepdims=True), "ends": ends}


def main() -> None:
    """Hears everything, fits, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="annotated excerpts (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    with Pool(args.jobs) as pool:
        heard = pool.map(_song, SEEDS, chunksize=1)
        negatives = np.concatenate(pool.map(_excerpt, tuning_excerpts(args.data), chunksize=1))
    weights = fit([song for songs, _ in heard for song in songs], negatives) | grammar([truth for _, truth in heard])
    np.savez_compressed(OUT, **{name: array.astype(np.float32) for name, array in weights.items()})


if __name__ == "__main__":
    main()
