"""Beats with the whole track in view: the most probable path through the live tracker's own model.

Consumes the evidence of every step (log-likelihood ratios of beat, downbeat and no beat, and onsets, as the live bar
pointer weighs them) and the beats it announced, which count as one more witness; emits beat times with their place in the
bar. The live tracker filters: it knows only what came before. Here one path is chosen for the whole track, twice by dynamic
programming (Viterbi, IEEE T-IT 1967):

    beats   a path is a chain of beats t_1 < t_2 ... with tempi i_1, i_2 ..., so the recursion runs over beats alone:
            score[t, j] = E[t] + max over i, d of score[t - P_i - d, i] + O[t, i] + log T[i, j] J_i[d]
            with E the evidence of a beat and O that of the onsets in the beat before. A stretch without a pulse is a path
            through state N, as in the live model
    bars    of the chain's beats, over (metre, position), with the live model's slips

A step is 20 ms; each beat is then moved to the centre of the evidence near it. Cost: 40 us a step, 150 bytes a step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from k1edge.analysis.recording import Recording
from k1edge.beat.bar_pointer import (
    BEAT_AGE,
    ENTER,
    JITTER_VARIANCE,
    LEAVE,
    ONSET_WEIGHT,
    ONSET_WIDTH,
    RESTART,
    STEP_HOPS,
    STEPS_PER_S,
    TEMPI,
    TEMPO_STIFFNESS,
    ZONE_WEIGHTS,
    bar_steps,
    metre_table,
    onset_template,
)
from k1edge.beat.observation import Activation, bar_evidence, evidence
from k1edge.beat.prior import TempoPrior

NEIGHBOURS = 5
"""Tempi a beat may move to on either side: +-11 %; further is a new start."""
DELAYS = (-1, 0, 1)
LIVE_WEIGHT, LIVE_DOWNBEAT_WEIGHT = 0.5, 0.5
"""Nats that a sure live beat adds: enough to choose between levels and phases that sound alike, no more (tune half)."""
LIVE_TEMPO_WEIGHT, LIVE_TEMPO_WIDTH, LIVE_TEMPO_BEATS = 1.0, 0.05, 6
"""The same for its tempo: a level that was followed with confidence is kept where the track as a whole leaves a choice."""
PER_BAR, POSITION, METRE_MASS = metre_table()
NEVER = np.float32(-1e30)
STEADY_BEATS, STEADY_WITHIN_S, STEADY_SHARE = 3, 0.025, 0.7
ONSET_BUMP = np.exp(-0.5 * (np.arange(-3, 4) / ONSET_WIDTH) ** 2)
LEVELS = 40
"""Of z, between which the normaliser of the onset evidence is interpolated."""
EPSILON = 1e-30


@dataclass(frozen=True, slots=True)
class Evidence:
    """(steps,) log-likelihood ratios of a beat and of no pulse, and onset strength z."""

    beat: np.ndarray
    none: np.ndarray
    onset: np.ndarray
    bars: np.ndarray
    """(steps, B) log-weights of the beats of every metre, if a beat is there."""
    latency_s: float
    """How long before the end of its step the sound was."""
    announced: np.ndarray | None = None
    """(steps, 2) how sure the live tracker was of a beat, and of a downbeat, in each step."""
    tempo: np.ndarray | None = None
    """(steps, 2) the beat period it believed in, steps, and how sure it was; 0 = not at all."""


def weigh(recording: Recording) -> Evidence:
    """What was heard in each step, weighed as the live tracker weighs it."""
    rows = recording.rows[STEP_HOPS - 1 :: STEP_HOPS]
    weighed, bars = np.zeros((len(rows), 2), np.float32), np.zeros((len(rows), len(PER_BAR)), np.float32)
    for n in np.flatnonzero(rows["sounding"]):
        heard = Activation(*rows["heard"][n].tolist())
        weighed[n], bars[n] = evidence(heard), bar_evidence(heard, float(rows["kick"][n]))
    onset = rows["onset"] * rows["sounding"]
    announced, tempo = _announced(recording, len(rows)), _believed_tempo(recording, len(rows))
    return Evidence(*weighed.T, onset, bars, recording.latency_s, announced, tempo)


def _announced(recording: Recording, steps: int) -> np.ndarray:
    """(steps, 2) the live tracker's word, spread over the zone of each beat."""
    said = np.zeros((steps + 2 * len(ZONE_WEIGHTS), 2), np.float32)
    for due_s, sure, in_bar in recording.beats:
        first = round((due_s + recording.latency_s) * STEPS_PER_S) - 1 - BEAT_AGE
        if 0 <= first < steps:
            zone = said[first : first + len(ZONE_WEIGHTS)]
            np.maximum(zone[:, 0], sure * np.array(ZONE_WEIGHTS), out=zone[:, 0])
            zone[:, 1] = np.where(in_bar == 1, zone[:, 0], 0.0)
    return said[:steps]


def _believed_tempo(recording: Recording, steps: int) -> np.ndarray:
    """(steps, 2) median period of the live beats round each step, and the confidence of the next."""
    beats = recording.beats[np.argsort(recording.beats[:, 0])]
    believed = np.zeros((steps, 2), np.float32)
    if len(beats) < LIVE_TEMPO_BEATS:
        return believed
    at = np.clip(np.round((beats[:, 0] + recording.latency_s) * STEPS_PER_S).astype(int), 0, steps)
    periods = np.diff(beats[:, 0]) * STEPS_PER_S
    for n in range(1, len(beats)):
        around = periods[max(n - LIVE_TEMPO_BEATS // 2 - 1, 0) : n + LIVE_TEMPO_BEATS // 2]
        believed[at[n - 1] : at[n]] = np.median(around), beats[n, 1]
    return believed


class _Tempi:
    """The constants of the recursion.

    Weights are relative to the best way on (log 1 = 0), not normalised: the live model adds up all ways of being a little
    early, late or faster, a path is one of them, and would pay for the others at each beat; slow tempi would gain.
    """

    def __init__(self, prior: TempoPrior, tempo_min_bpm: float, tempo_max_bpm: float) -> None:
        periods = np.geomspace(60 / tempo_max_bpm, 60 / tempo_min_bpm, TEMPI) * STEPS_PER_S
        self.whole = np.round(periods).astype(int)
        density = prior.density(60 * STEPS_PER_S / periods)
        self.birth = np.log(density / density.sum()).astype(np.float32)
        offset = np.array(DELAYS)[:, None] - (periods - self.whole)
        entry = -0.5 * offset**2 / JITTER_VARIANCE
        self.entry = (entry - entry.max(axis=0)).astype(np.float32)
        steps = (-TEMPO_STIFFNESS * np.abs(periods / periods[:, None] - 1)).astype(np.float32)
        self.origin = np.arange(TEMPI)[:, None] + np.arange(-NEIGHBOURS, NEIGHBOURS + 1)
        inside = (self.origin >= 0) & (self.origin < TEMPI)
        self.origin = np.clip(self.origin, 0, TEMPI - 1)
        # to[j, k]: from tempo j - NEIGHBOURS + k to tempo j
        self.to = np.where(inside, steps[self.origin, np.arange(TEMPI)[:, None]], NEVER).astype(np.float32)
        self.periods = periods
        self.longest = int(self.whole.max()) + 1
        self.back = self.whole + np.array(DELAYS)[:, None]
        self._template, self._each_age = onset_template(np.arange(self.longest), periods)

    def witnessed(self, tempo: np.ndarray) -> np.ndarray:
        """(steps, 2) what the live tracker believed -> (steps, TEMPI) what a beat of each tempo gains by it."""
        away = np.log(self.periods / np.maximum(tempo[:, :1], 1.0)) / LIVE_TEMPO_WIDTH
        return (LIVE_TEMPO_WEIGHT * tempo[:, 1:] * np.exp(-0.5 * away**2)).astype(np.float32)

    def spans(self, onset: np.ndarray) -> np.ndarray:
        """(steps,) z -> (steps, TEMPI) O: what the onsets say of a beat of each tempo that ends in each step."""
        levels = np.linspace(min(onset.min(), 0.0), max(onset.max(), 1.0), LEVELS)
        gains = np.exp(levels[:, None, None] * self._template)
        norms = np.log(np.einsum("zai,ai->zi", gains, self._each_age))
        # The beat itself is at BEAT_AGE: the ages of one that ends in step t lie in t - BEAT_AGE - P .. t - BEAT_AGE - 1.
        padded = np.concatenate([np.zeros(self.longest + BEAT_AGE, np.float32), onset])
        out = np.empty((len(onset), TEMPI), np.float32)
        for tempo, period in enumerate(self.whole):
            norm = np.concatenate([[0.0], np.cumsum(np.interp(padded, levels, norms[:, tempo]))])
            match = np.correlate(padded, self._template[:period, tempo], "valid")
            first = self.longest - period
            out[:, tempo] = match[first : first + len(onset)]
            out[:, tempo] -= (norm[first + period :][: len(onset)] - norm[first:][: len(onset)]).astype(np.float32)
        return out


class _Path:
    """The recursion over one track, and the way back through it."""

    def __init__(self, tempi: _Tempi, steps: int) -> None:
        self._tempi = tempi
        self._score = np.full((steps + tempi.longest, TEMPI), NEVER, np.float32)
        self._best = np.full(steps + tempi.longest, NEVER, np.float32)
        self._tempo_from = np.zeros((steps, TEMPI), np.uint8)
        self._back_by = np.zeros((steps, TEMPI), np.uint8)  # 0 = a new start
        self._start_from = np.full(steps, -1, np.int32)  # of a new start: the last beat before, -1 = none
        self._none_from = np.full(steps, -1, np.int32)  # of N: the last beat before, -1 = N went on
        self._columns = np.arange(TEMPI)

    def run(self, beat: np.ndarray, none: np.ndarray, spans: np.ndarray) -> list[int]:
        """(steps,) weight of a beat, and of no pulse, (steps, TEMPI) of a beat's onsets -> steps of the best path's beats."""
        quiet, stay = np.float32(0.0), np.log1p(-LEAVE)
        leave, enter, restart = np.log(LEAVE), np.log(ENTER), np.log(RESTART)
        for t in range(len(beat)):
            last, reached = self._recent(t)
            fresh = max(quiet + leave, reached + restart)
            self._start_from[t] = last if reached + restart > quiet + leave else -1
            self._step(t, beat[t], np.float32(fresh), spans[t])
            last, reached = self._recent(t + 1)
            if reached + enter > quiet + stay:
                quiet, self._none_from[t] = np.float32(reached + enter), last
            else:
                quiet = np.float32(quiet + stay)
            quiet += none[t]
        return self._trace(len(beat), quiet)

    def _recent(self, t: int) -> tuple[int, float]:
        """The best beat that may still be sounding just before step `t`, and its score."""
        window = self._best[t : t + self._tempi.longest]
        best = int(window.argmax())
        return t + best - self._tempi.longest, float(window[best])

    def _step(self, t: int, weight: float, fresh: np.float32, span: np.ndarray) -> None:
        tempi, columns = self._tempi, self._columns
        before = self._score[t + tempi.longest - tempi.back, columns] + tempi.entry + span
        delay = before.argmax(axis=0)
        arriving = before[delay, columns]
        chained = arriving[tempi.origin] + tempi.to
        choice = chained.argmax(axis=1)
        reached, born = chained[columns, choice], tempi.birth + fresh
        is_new = born > reached
        origin = tempi.origin[columns, choice]
        self._tempo_from[t] = origin
        self._back_by[t] = np.where(is_new, 0, tempi.back[delay[origin], origin])
        row = np.maximum(reached, born) + weight
        self._score[t + tempi.longest] = row
        self._best[t + tempi.longest] = row.max()

    def _trace(self, steps: int, quiet: float) -> list[int]:
        last, reached = self._recent(steps)
        t = last if reached > quiet else self._before_quiet(steps - 1)
        beats: list[int] = []
        while t >= 0:
            tempo = int(self._score[t + self._tempi.longest].argmax())
            while True:
                beats.append(t)
                back = int(self._back_by[t, tempo])
                if not back:
                    break
                tempo, t = int(self._tempo_from[t, tempo]), t - back
            start = int(self._start_from[t])
            t = start if start >= 0 else self._before_quiet(t - 1)
        return beats[::-1]

    def _before_quiet(self, t: int) -> int:
        """The beat after which N, in which step `t` lies, was entered; -1 if it always was."""
        while t >= 0 and self._none_from[t] < 0:
            t -= 1
        return int(self._none_from[t]) if t >= 0 else -1


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
    if not len(evidence.beat):
        return BeatGrid(np.zeros(0), np.zeros(0, int), np.zeros(0, int))
    worth = _zone(evidence.beat)
    if evidence.announced is not None:
        worth += LIVE_WEIGHT * evidence.announced[:, 0]
    tempi = _Tempi(prior, *tempo_range_bpm)
    spans = tempi.spans(evidence.onset)
    if evidence.tempo is not None:
        spans += tempi.witnessed(evidence.tempo)
    path = _Path(tempi, len(worth))
    steps = np.array(path.run(worth, evidence.none.astype(np.float32), spans), int)
    if not len(steps):
        return BeatGrid(np.zeros(0), steps, steps)
    in_bar, per_bar = _bars(_bar_weights(evidence, steps))
    sharp = worth + ONSET_WEIGHT * np.convolve(evidence.onset, ONSET_BUMP, "same")
    times_s = (steps + 1 + _centred(sharp, steps)) / STEPS_PER_S - evidence.latency_s
    times_s = _steadied(times_s)
    keep = times_s >= 0
    return BeatGrid(times_s[keep], in_bar[keep], per_bar[keep])


def _bar_weights(evidence: Evidence, steps: np.ndarray) -> np.ndarray:
    """(beats, B) what was heard in the zone of each beat, and what the live tracker said of it."""
    padded = np.pad(evidence.bars, ((BEAT_AGE, BEAT_AGE), (0, 0)))
    weights = sum(weight * padded[steps + age] for age, weight in enumerate(ZONE_WEIGHTS))
    if evidence.announced is not None:
        weights = weights + LIVE_DOWNBEAT_WEIGHT * evidence.announced[steps, 1:] * (POSITION == 0)
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
