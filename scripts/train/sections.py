"""Fits the section model (k1edge/genesis/sections.npz) to random arrangements: seeds 0-49 and 2000-2099.

Consumes the arrangements with their truth, heard three times: with the tracker's beats, with their true ones, and with true
ones that wander; and, as music in which nothing is ever a build or a drop, the tuning half of the annotated excerpts in
--data. Emits the weights. Deterministic; takes about half an hour on one core, half of that where features and beats are in
--cache from the time before. Seeds 100-149 and the other half of the excerpts are for reports only.

No arrangement has a chorus. A chorus sounds as a drop does and differs in what it comes after, so it is given the drop's
weights, and the grammar learns its place from imagined songs.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from heard import DATA, MORE_SEEDS, ROOT, SEEDS, Heard, heard_excerpt, heard_song, tuning_excerpts
from scipy.optimize import minimize

from k1edge.audio.arrangement import truth as truth_of_seed
from k1edge.audio.synth import Truth
from k1edge.frames import BeatEvent, BeatState
from k1edge.genesis.evidence import BAR, ROW, Evidence
from k1edge.genesis.grid import BarGrid
from k1edge.genesis.hearing import Ear
from k1edge.genesis.returns import Returns
from k1edge.genesis.sections import BUILD, DROP, LABELS, MAX_BARS, N_LABELS, STAGES, stage_of

OUT = ROOT / "k1edge/genesis/sections.npz"
NEGATIVE_SETS = ("fof", "groove", "pop909", "loops")
N_CLASSES = len(STAGES) * N_LABELS
HIDDEN = 48
RIDGE, PHASE_RIDGE = 3e-4, 1e-3
STAGE_WEIGHTS = (8.0, 3.0, 1.0)
"""What a row counts for: of first beats there are few, and all depends on them."""
NEGATIVE_WEIGHT = 0.3
LATER_EVERY = 3
"""Beats late in a section are alike: one in so many is used."""
ENDS_PRIOR = 6.0
"""How many imagined sections the general hazards count as."""
ENDS_EVERY = {1: 0.01, 2: 0.02, 4: 0.08, 8: 0.25}
"""Those: that a section ends after so many bars, and after a multiple of them."""
FOLLOWS_PRIOR = 0.3
SELDOM = 0.05
"""The prior of what is as good as never: a section after itself, a chorus where no verse or bridge was, a drop after one."""
CHORUS = LABELS.index("chorus")
IMAGINED_SONGS = (
    ("intro", "verse", "chorus", "verse", "chorus", "bridge", "chorus", "outro"),
    ("intro", "build", "drop", "breakdown", "build", "drop", "outro"),
)
"""Common forms, the arrangements' own being one of many; each counts as so many songs."""
IMAGINED = 10
STEPS, PHASE_STEPS = 400, 150
NEAR_S = 0.07
"""Of a true beat: on it."""
LEAD_S = 0.15
WANDER_S, WANDER_BEATS = 0.025, 8
"""How far trackers are off, and how quickly that changes."""


@dataclass(slots=True)
class Song:
    """What the engine hears of one song, with what is true of each beat."""

    rows: np.ndarray
    labels: np.ndarray
    ages: np.ndarray
    between: np.ndarray
    """Rows from half-way between true beats."""


def true_beats(truth: Truth, heard: Heard, shifts_s: np.ndarray | float = 0.0) -> Iterator[BeatState]:
    """What a tracker that is never wrong says after each hop; or one that is off by `shifts_s` (n beats,)."""
    fmt, downbeats, in_bar, events = heard.fmt, set(truth.downbeats_s), 0, deque()
    for number, (beat_s, at_s) in enumerate(zip(truth.beats_s, truth.beats_s + shifts_s, strict=True), 1):
        in_bar = 1 if beat_s in downbeats else in_bar + 1
        events.append(BeatEvent(number, fmt.index(at_s), in_bar, in_bar == 1, 1.0, 1.0))
    for end in map(int, heard.features["end"]):
        due = events and events[0].due <= end + fmt.index(LEAD_S)
        yield BeatState(end, truth.bpm, 0.0, 1.0, True, (), events.popleft() if due else None, BAR)


def wander(truth: Truth, seed: int) -> np.ndarray:
    """(n beats,) by how much a tracker is off that drifts to and fro about the beat, s."""
    count, random = len(truth.beats_s), np.random.default_rng([seed, 0x5EC7])
    turns = np.arange(0, count + WANDER_BEATS, WANDER_BEATS)
    return np.interp(np.arange(count), turns, random.normal(0, WANDER_S, len(turns)))


def hear(heard: Heard, *courses: Iterator[BeatState]) -> list[list[tuple[np.ndarray, np.ndarray]]]:
    """Of each course of beats and both of its phases (n, N_ROW) rows and (n,) due times, s; returns of the bass among them."""
    ear, returns, fmt = Ear(), Returns(heard.fmt.hop), heard.fmt
    grids = [(BarGrid(fmt), (Evidence(fmt), Evidence(fmt, off_beat=True)), ([], [])) for _ in courses]
    for frame, *states in zip(heard.frames(), *courses, strict=True):
        hearing = ear.process(frame)
        onset = returns.process(hearing, frame.end)
        for (grid, phases, found), state in zip(grids, states, strict=True):
            beat = grid.process(state)
            for evidence, rows in zip(phases, found, strict=True):
                if onset is not None:
                    evidence.look_at(onset)
                heard_now = evidence.process(frame, hearing, beat), evidence.looked(frame, hearing)
                rows += [row for row in heard_now if row is not None]
    return [[(np.array([row.values for row in rows]), np.array([row.due for row in rows]) / fmt.rate_hz) for rows in found]
            for _, _, found in grids]


def labelled(phases: list[tuple[np.ndarray, np.ndarray]], truth: Truth) -> Song:
    """Rows on true beats with the label and age of each, whichever phase they are of; and those well off any."""
    parts, between = [], []
    for rows, dues_s in phases:
        starts = np.array([span.start_s for span in truth.sections])
        which = np.maximum(np.searchsorted(starts, dues_s + NEAR_S, side="right") - 1, 0)
        ages = np.round((dues_s - starts[which]) * truth.bpm / 60).astype(int)
        labels = np.array([LABELS.index(truth.sections[i].label) for i in which])
        off = np.abs((dues_s - truth.beats_s[0]) * truth.bpm / 60 % 1 - 0.5)
        on = (0.5 - off) * 60 / truth.bpm < NEAR_S
        parts.append((rows[on], labels[on], np.maximum(ages[on], 0)))
        between.append(rows[off * 60 / truth.bpm < NEAR_S])
    return Song(*(np.concatenate(part) for part in zip(*parts, strict=True)), np.concatenate(between))


def _song(seed: int, cache: Path | None) -> list[Song]:
    heard, truth = heard_song(seed, cache), truth_of_seed(seed)
    courses = heard.states(), true_beats(truth, heard), true_beats(truth, heard, wander(truth, seed))
    return [labelled(phases, truth) for phases in hear(heard, *courses)]


def _excerpt(path: Path, cache: Path | None) -> np.ndarray:
    heard = heard_excerpt(path, cache)
    return np.concatenate([rows for phases in hear(heard, heard.states()) for rows, _ in phases])


@dataclass(slots=True)
class Shape:
    """Where the weights of the layers lie in one flat array: straight to the classes, to the hidden units, from these on."""

    inputs: int

    def split(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N_CLASSES, inputs), (HIDDEN, inputs), (N_CLASSES, HIDDEN)."""
        straight, hidden = N_CLASSES * self.inputs, HIDDEN * self.inputs
        return (flat[:straight].reshape(N_CLASSES, -1), flat[straight : straight + hidden].reshape(HIDDEN, -1),
                flat[straight + hidden :].reshape(N_CLASSES, -1))

    def drawn(self) -> np.ndarray:
        """To begin with."""
        random = np.random.default_rng(0)
        hidden = random.normal(0, self.inputs**-0.5, HIDDEN * self.inputs)
        return np.concatenate([np.zeros(N_CLASSES * self.inputs), hidden, random.normal(0, 0.1, N_CLASSES * HIDDEN)])


def fit(songs: list[Song], negatives: np.ndarray) -> dict[str, np.ndarray]:
    """The softmax over one hidden layer and what goes past it, whose scores are log-likelihoods up to a constant; and the
    classes' shares."""
    stages = [stage_of(song.ages) for song in songs]
    kept = [(stage < 2) | (np.arange(len(stage)) % LATER_EVERY == 0) for stage in stages]
    rows = np.concatenate([song.rows[keep] for song, keep in zip(songs, kept, strict=True)]).astype(np.float32)
    classes = np.concatenate([
        (stage * N_LABELS + song.labels)[keep] for song, stage, keep in zip(songs, stages, kept, strict=True)
    ])
    worth = np.array(STAGE_WEIGHTS)[classes // N_LABELS]
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 0.1
    inputs, quiet = (np.c_[(part - mean) / spread, np.ones(len(part))].astype(np.float32) for part in (rows, negatives))
    shape = Shape(inputs.shape[1])
    found = minimize(_loss, shape.drawn(), args=(shape, (inputs, classes, worth / worth.sum()), quiet), jac=True,
                     method="L-BFGS-B", options={"maxiter": STEPS})
    straight, into, out = shape.split(found.x)
    shares = (np.bincount(classes, worth, N_CLASSES) + 1.0) / (worth.sum() + N_CLASSES)
    matrix, hidden = straight[:, :-1] / spread, into[:, :-1] / spread
    bias, hidden_bias = straight[:, -1] - matrix @ mean - np.log(shares), into[:, -1] - hidden @ mean
    for stage in range(len(STAGES)):
        chorus, drop = stage * N_LABELS + CHORUS, stage * N_LABELS + DROP
        matrix[chorus], out[chorus], bias[chorus], shares[chorus] = matrix[drop], out[drop], bias[drop], 0.0
    return {"matrix": matrix, "bias": bias, "hidden": hidden, "hidden_bias": hidden_bias, "out": out,
            "shares": shares / shares.sum()}


def fit_phase(songs: list[Song]) -> dict[str, np.ndarray]:
    """A logistic model of how beats sound and moments between them do not, by the first part of a row."""
    on, between = (np.concatenate(parts)[:, ROW["now"]] for parts in ([s.rows for s in songs], [s.between for s in songs]))
    rows, sides = np.concatenate([on, between]), np.repeat([1.0, -1.0], [len(on), len(between)])
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 0.1
    inputs = np.c_[(rows - mean) / spread, np.ones(len(rows))]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sides * (inputs @ weights)
        slope = -sides / (1 + np.exp(margin)) / len(rows)
        return np.logaddexp(0, -margin).mean() + PHASE_RIDGE * weights @ weights, inputs.T @ slope + 2 * PHASE_RIDGE * weights

    found = minimize(loss, np.zeros(inputs.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": PHASE_STEPS}).x
    # No bias: what is compared is a beat with the moment after it.
    return {"phase": found[:-1] / spread}


def _softmax(scores: np.ndarray) -> np.ndarray:
    scores = np.exp(scores - scores.max(axis=1, keepdims=True))
    return scores / scores.sum(axis=1, keepdims=True)


def _loss(flat: np.ndarray, shape: Shape, heard: tuple[np.ndarray, ...], quiet: np.ndarray) -> tuple[float, np.ndarray]:
    """Cross entropy of the songs (rows, classes and what each is worth), plus that of "neither build nor drop" for the
    negatives, plus a ridge."""
    straight, into, out = layers = shape.split(flat.astype(np.float32))
    inputs, classes, worth = heard

    def through(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        units = np.maximum(rows @ into.T, 0)
        return units, _softmax(rows @ straight.T + units @ out.T)

    def back(rows: np.ndarray, units: np.ndarray, slope: np.ndarray) -> np.ndarray:
        slope = slope.astype(np.float32)
        of_units = (slope @ out) * (units > 0)
        return np.concatenate([(slope.T @ rows).ravel(), (of_units.T @ rows).ravel(), (slope.T @ units).ravel()])

    units, share = through(inputs)
    loss = -worth @ np.log(share[np.arange(len(classes)), classes] + 1e-9)
    share[np.arange(len(classes)), classes] -= 1
    gradient = back(inputs, units, share * worth[:, None])
    if len(quiet):
        tense = np.isin(np.arange(N_CLASSES) % N_LABELS, (BUILD, DROP))
        units, share = through(quiet)
        calm = np.maximum(share[:, ~tense].sum(axis=1, keepdims=True), 1e-9)
        loss -= NEGATIVE_WEIGHT * np.log(calm).mean()
        gradient += back(quiet, units, NEGATIVE_WEIGHT * (share - np.where(tense, 0, share) / calm) / len(quiet))
    ridge = np.concatenate([np.c_[straight[:, :-1], np.zeros(N_CLASSES)].ravel(), *(layer.ravel() for layer in layers[1:])])
    return float(loss + RIDGE * (ridge**2).sum()), (gradient + 2 * RIDGE * ridge).astype(float)


def grammar(truths: list[Truth]) -> dict[str, np.ndarray]:
    """What follows what, and after how many bars sections end."""
    follows = np.full((N_LABELS, N_LABELS), FOLLOWS_PRIOR)
    np.fill_diagonal(follows, SELDOM)
    follows[:, CHORUS] = follows[CHORUS, DROP] = SELDOM
    for before, after in (pair for song in IMAGINED_SONGS for pair in pairwise(song)):
        follows[LABELS.index(before), LABELS.index(after)] += IMAGINED
    ended, lived = np.zeros((2, N_LABELS, MAX_BARS + 1))
    general = np.zeros(MAX_BARS + 1)
    for every, hazard in ENDS_EVERY.items():
        general[::every] = hazard
    for truth in truths:
        for span, following in pairwise(truth.sections):
            label = LABELS.index(span.label)
            bars = min(round((span.end_s - span.start_s) * truth.bpm / 60 / BAR), MAX_BARS)
            follows[label, LABELS.index(following.label)] += 1
            ended[label, bars] += 1
            lived[label, : bars + 1] += 1
    ends = (ended + ENDS_PRIOR * general) / (lived + ENDS_PRIOR)
    ends[:, 0] = 0
    return {"follows": follows / follows.sum(axis=1, keepdims=True), "ends": ends}


def main() -> None:
    """Hears everything, fits, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="annotated excerpts (default: %(default)s)")
    parser.add_argument("--cache", type=Path, help="a folder that keeps the features for the next time")
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    seeds = [*SEEDS, *MORE_SEEDS]
    with Pool(args.jobs) as pool:
        heard = pool.map(partial(_song, cache=args.cache), seeds, chunksize=1)
        excerpts = tuning_excerpts(args.data, NEGATIVE_SETS)
        negatives = np.concatenate(pool.map(partial(_excerpt, cache=args.cache), excerpts, chunksize=1))
    songs = [song for each in heard for song in each]
    weights = fit(songs, negatives) | fit_phase(songs) | grammar([truth_of_seed(seed) for seed in seeds])
    np.savez_compressed(OUT, **{name: array.astype(np.float32) for name, array in weights.items()})


if __name__ == "__main__":
    main()
