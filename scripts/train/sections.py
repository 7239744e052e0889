"""Fits the section model (k1edge/genesis/sections.npz) to the random arrangements of seeds 0-49.

Consumes the arrangements with their truth, heard three times: with the tracker's beats, with their true ones, and with true
ones that wander; and, as music in which nothing is ever a build or a drop, the tuning half of the annotated excerpts in
--data. Emits the weights. Deterministic; takes about 12 minutes on one core, six where features and beats are in --cache from
the time before. Seeds 100-149 and the other half of the excerpts are for reports only.

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
from heard import DATA, ROOT, SEEDS, Heard, heard_excerpt, heard_song, tuning_excerpts
from scipy.optimize import minimize

from k1edge.audio.arrangement import truth as truth_of_seed
from k1edge.audio.synth import Truth
from k1edge.frames import BeatEvent, BeatState
from k1edge.genesis.evidence import BAR, ROW, Evidence
from k1edge.genesis.grid import BarGrid
from k1edge.genesis.hearing import Ear
from k1edge.genesis.returns import Returns
from k1edge.genesis.sections import BUILD, DROP, LABELS, MAX_BARS, N_LABELS, STAGES, general_ends, stage_of

OUT = ROOT / "k1edge/genesis/sections.npz"
NEGATIVE_SETS = ("fof", "groove", "pop909", "loops")
N_CLASSES = len(STAGES) * N_LABELS
RIDGE = 1e-3
NEGATIVE_WEIGHT = 0.3
LATER_EVERY = 3
"""Beats late in a section are alike: one in so many is used."""
ENDS_PRIOR = 6.0
"""How many imagined sections the general hazards count as."""
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
STEPS = 150
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
    bias = weights[:, -1] - matrix @ mean - np.log(shares)
    for stage in range(len(STAGES)):
        chorus, drop = stage * N_LABELS + CHORUS, stage * N_LABELS + DROP
        matrix[chorus], bias[chorus], shares[chorus] = matrix[drop], bias[drop], 0.0
    return {"matrix": matrix, "bias": bias, "shares": shares / shares.sum()}


def fit_phase(songs: list[Song]) -> dict[str, np.ndarray]:
    """A logistic model of how beats sound and moments between them do not, by the first part of a row."""
    on, between = (np.concatenate(parts)[:, ROW["now"]] for parts in ([s.rows for s in songs], [s.between for s in songs]))
    rows, sides = np.concatenate([on, between]), np.repeat([1.0, -1.0], [len(on), len(between)])
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 0.1
    inputs = np.c_[(rows - mean) / spread, np.ones(len(rows))]

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sides * (inputs @ weights)
        slope = -sides / (1 + np.exp(margin)) / len(rows)
        return np.logaddexp(0, -margin).mean() + RIDGE * weights @ weights, inputs.T @ slope + 2 * RIDGE * weights

    found = minimize(loss, np.zeros(inputs.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": STEPS}).x
    # No bias: what is compared is a beat with the moment after it.
    return {"phase": found[:-1] / spread}


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
    np.fill_diagonal(follows, SELDOM)
    follows[:, CHORUS] = follows[CHORUS, DROP] = SELDOM
    for before, after in (pair for song in IMAGINED_SONGS for pair in pairwise(song)):
        follows[LABELS.index(before), LABELS.index(after)] += IMAGINED
    ended, lived = np.zeros((2, N_LABELS, MAX_BARS + 1))
    for truth in truths:
        for span, following in pairwise(truth.sections):
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
    parser.add_argument("--cache", type=Path, help="a folder that keeps the features for the next time")
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args()
    with Pool(args.jobs) as pool:
        heard = pool.map(partial(_song, cache=args.cache), SEEDS, chunksize=1)
        excerpts = tuning_excerpts(args.data, NEGATIVE_SETS)
        negatives = np.concatenate(pool.map(partial(_excerpt, cache=args.cache), excerpts, chunksize=1))
    songs = [song for each in heard for song in each]
    weights = fit(songs, negatives) | fit_phase(songs) | grammar([truth_of_seed(seed) for seed in SEEDS])
    np.savez_compressed(OUT, **{name: array.astype(np.float32) for name, array in weights.items()})


if __name__ == "__main__":
    main()
