"""Beats with the whole track in view: the most probable path through the live tracker's own model.

Consumes the evidence of every step (log-likelihood ratios of beat, downbeat and no beat, onsets, the network's view of the
tempo; see `witnesses`); emits beat times with their place in the bar. The live tracker filters: it knows only what came
before. Here one path is chosen for the whole track, twice by dynamic programming (Viterbi, IEEE T-IT 1967):

    beats   a path is a chain of beats t_1 < t_2 ... with tempi i_1, i_2 ..., so the recursion runs over beats alone:
            score[t, j] = E[t] + max over i, d of score[t - P_i - d, i] + O[t, i] + log T[i, j] J_i[d]
            with E the evidence of a beat and O that of the onsets and of the tempo in the beat before. A stretch without
            a pulse is a path through state N, as in the live model
    bars    of the beats that a listener would tap (`tapping`), over (metre, position), with the live model's slips and its
            ear for them

A step is 20 ms; each beat is then moved to the centre of the evidence near it. Cost: 40 us a step, 0.3 KB a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from k1edge.analysis.path import BeatPath, Tempi
from k1edge.analysis.recording import Recording
from k1edge.analysis.tapping import tapped
from k1edge.analysis.witnesses import Evidence, weigh
from k1edge.beat.bar_pointer import BEAT_AGE, STEPS_PER_S, ZONE_WEIGHTS, bar_steps, metre_table
from k1edge.beat.downbeats import LAG, BarEar
from k1edge.beat.gains import ONSET_WEIGHT, ONSET_WIDTH
from k1edge.beat.prior import TempoPrior, room_prior
from k1edge.beat.rows import in_a_row
from k1edge.config import BeatSettings

PER_BAR, POSITION, METRE_MASS = metre_table()
STEADY_BEATS, STEADY_WITHIN_S, STEADY_SHARE = 3, 0.025, 0.7
ONSET_BUMP = np.exp(-0.5 * (np.arange(-3, 4) / ONSET_WIDTH) ** 2)
EPSILON = 1e-30
EAR_WEIGHT = 0.2
"""Of the ear's word at each beat: it concludes from all beats before, so a chain of its words counts them many times over."""


def _zone(llr: np.ndarray) -> np.ndarray:
    """(steps,) what a beat in each step is worth: the evidence of its zone, weighed as in the live model."""
    return np.convolve(llr, ZONE_WEIGHTS[::-1], "same").astype(np.float32)


def _bars(weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(beats, B) log-weights -> (beats,) 1-based position, (beats,) beats per bar, of the best path."""
    to = np.log(bar_steps(PER_BAR, POSITION, METRE_MASS) + EPSILON)
    score = np.log(METRE_MASS)
    origins = np.zeros(weights.shape, int)
    for n, weight in enumerate(weights):
        if n:
            moves = score[:, None] + to
            origins[n] = moves.argmax(axis=0)
            score = moves.max(axis=0)
        score = score + weight
    states = np.zeros(len(weights), int)
    for n in range(len(weights) - 1, -1, -1):
        states[n] = score.argmax() if n == len(weights) - 1 else origins[n + 1][states[n + 1]]
    return POSITION[states] + 1, PER_BAR[states]


@dataclass(frozen=True, slots=True)
class BeatGrid:
    """All beats of a track."""

    times_s: np.ndarray
    in_bar: np.ndarray
    """1 = downbeat."""
    per_bar: np.ndarray


def decode(evidence: Evidence, prior: TempoPrior, tempo_range_bpm: tuple[float, float]) -> BeatGrid:
    """The beats of the most probable path; none where there is no pulse."""
    if len(evidence.beat) < len(ONSET_BUMP):  # not even one beat long
        return BeatGrid(np.zeros(0), np.zeros(0, int), np.zeros(0, int))
    worth = _zone(evidence.beat)
    tempi = Tempi(prior, *tempo_range_bpm)
    path = BeatPath(tempi, len(worth))
    steps = np.array(path.run(worth, evidence.none.astype(np.float32), _spans(evidence, tempi)), int)
    del path
    steps = tapped(steps, evidence, tempi, tempi.views_at(steps, evidence.opinion))
    in_bar, per_bar = _bars(_bar_weights(evidence, steps) + _heard_bars(evidence, steps))
    sharp = worth + ONSET_WEIGHT * np.convolve(evidence.onset, ONSET_BUMP, "same")
    times_s = _steadied((steps + 1 + _centred(sharp, steps)) / STEPS_PER_S - evidence.latency_s)
    keep = times_s >= 0
    return BeatGrid(times_s[keep], in_bar[keep], per_bar[keep])


def found(recording: Recording, settings: BeatSettings) -> BeatGrid:
    """The beats of a recording, by the tempi that the configuration allows and prefers."""
    return decode(weigh(recording), room_prior(settings), (settings.tempo_min_bpm, settings.tempo_max_bpm))


def _spans(evidence: Evidence, tempi: Tempi) -> Iterator[np.ndarray]:
    """(TEMPI,) for each step: what the onsets and the tempo say of a beat that ends there."""
    for piece, views in zip(tempi.spans(evidence.onset), tempi.views(evidence.opinion), strict=True):
        piece += tempi.opinions(views)
        yield from piece


def _bar_weights(evidence: Evidence, steps: np.ndarray) -> np.ndarray:
    """(beats, B) what was heard in the zone of each beat."""
    weights = np.zeros((len(steps), len(POSITION)))
    for age, weight in enumerate(ZONE_WEIGHTS, -BEAT_AGE):
        inside = (steps + age >= 0) & (steps + age < len(evidence.bars))
        weights[inside] += weight * evidence.bars[steps[inside] + age]
    return weights


def _heard_bars(evidence: Evidence, steps: np.ndarray) -> np.ndarray:
    """(beats, B) what the sound of the beats says of their places in the bar, as the live tracker's ear."""
    weights = np.zeros((len(steps), len(POSITION)))
    ear, before = BarEar(), len(evidence.rows)
    for n, (first, last) in enumerate(pairwise(evidence.rows_at(steps))):
        if not in_a_row(last - first, last - first, before):
            ear.begin()
        elif (said := ear.process(evidence.rows[first:last])) is not None:
            weights[n - LAG] = EAR_WEIGHT * said
        before = last - first
    return weights


def _centred(worth: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(beats,) -1..1 step to the top of the parabola through the evidence round each beat."""
    padded = np.pad(worth, 1, mode="edge")
    left, middle, right = padded[steps], padded[steps + 1], padded[steps + 2]
    bend = left - 2 * middle + right
    top = np.where(bend < -1e-6, 0.5 * (left - right) / np.minimum(bend, -1e-6), 0.0)
    return np.clip(top, -1.0, 1.0)


def _steadied(times_s: np.ndarray) -> np.ndarray:
    """Each beat most of the way to the line through its neighbours, where they lie on one: steps are coarser than players."""
    if len(times_s) < 2 * STEADY_BEATS + 1:
        return times_s
    around = np.lib.stride_tricks.sliding_window_view(times_s, 2 * STEADY_BEATS + 1)
    count = np.arange(-STEADY_BEATS, STEADY_BEATS + 1)
    slope = (around @ count) / (count @ count)
    line = around.mean(axis=1)
    residual_s = np.abs(around - line[:, None] - slope[:, None] * count).max(axis=1)
    steady = times_s.copy()
    inner = steady[STEADY_BEATS:-STEADY_BEATS]
    inner += np.where(residual_s < STEADY_WITHIN_S, STEADY_SHARE * (line - inner), 0.0)
    return steady
