"""The most probable chain of beats through a whole track, by dynamic programming over tempi and steps.

Consumes what a beat in each step is worth, and no pulse; emits the steps of the beats. See `beats` for the recursion.
Cost: 40 us and 80 bytes a step: what is only looked at on the way is there in pieces of PIECE steps.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from k1edge.beat.bar_pointer import BEAT_AGE, ENTER, JITTER_VARIANCE, LEAVE, RESTART, STEPS_PER_S, TEMPI, TEMPO_STIFFNESS
from k1edge.beat.gains import onset_template
from k1edge.beat.observation import TEMPO_FLOOR, near_classes
from k1edge.beat.prior import TempoPrior

NEIGHBOURS = 5
"""Tempi a beat may move to on either side: +-11 %; further is a new start."""
DELAYS = (-1, 0, 1)
WAYS = len(DELAYS) + 1
OPINION_WEIGHT, OPINION_S = 4.0, 40.0
"""Nats that a second of music adds for a level e times as likely by the network, which hears the style of it."""
PIECE = 2 * round(OPINION_S * STEPS_PER_S)
LEVELS = 40
"""Of z, between which the normaliser of the onset evidence is interpolated."""
NEVER = np.float32(-1e30)


class Tempi:
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

    def views(self, said: np.ndarray) -> Iterator[np.ndarray]:
        """(steps, N_TEMPI) the network's probabilities of the tempo -> (steps, TEMPI) their mean logarithms, in pieces.

        Of the whole neighbourhood, OPINION_S to either side: a view is one of the style, which changes with the song.
        """
        near = near_classes(60 * STEPS_PER_S / self.periods).T
        reach, steps = round(OPINION_S * STEPS_PER_S), len(said)
        sums, counts, begin = np.zeros((1, TEMPI)), np.zeros(1, int), 0  # of all before step `begin`, and each that follows
        for first in range(0, steps, PIECE):
            end = min(first + PIECE, steps)
            ahead = said[begin + len(sums) - 1 : min(end + reach, steps)]
            sounding = ahead.any(axis=1)
            views = np.log(np.maximum(ahead @ near, TEMPO_FLOOR)) * sounding[:, None]
            past = max(first - reach, 0) - begin
            begin += past
            sums, counts = _summed(sums[past:], views), _summed(counts[past:], sounding)
            n = np.arange(first, end)
            low, high = np.maximum(n - reach, 0) - begin, np.minimum(n + reach + 1, steps) - begin
            yield (sums[high] - sums[low]) / np.maximum(counts[high] - counts[low], 1)[:, None]

    def views_at(self, steps: np.ndarray, said: np.ndarray) -> np.ndarray:
        """(n,) rising steps -> (n, TEMPI) their views."""
        edges = np.searchsorted(steps, np.arange(0, len(said) + PIECE, PIECE))
        parts = zip(self.views(said), pairwise(edges), strict=False)
        return np.concatenate([views[steps[low:high] % PIECE] for views, (low, high) in parts])

    def opinions(self, views: np.ndarray) -> np.ndarray:
        """(steps, TEMPI) views -> (steps, TEMPI) what a beat of each tempo gains by them."""
        # Counted from half way between the usual tempo and the best, an opinion speaks for a tempo more than against any beat.
        usual = (views.mean(axis=1, keepdims=True) + views.max(axis=1, keepdims=True)) / 2
        return (OPINION_WEIGHT * (views - usual) * self.periods / STEPS_PER_S).astype(np.float32)

    def spans(self, onset: np.ndarray) -> Iterator[np.ndarray]:
        """(steps,) z -> (steps, TEMPI) O: what the onsets say of a beat of each tempo that ends in each step, in pieces."""
        levels = np.linspace(min(onset.min(), 0.0), max(onset.max(), 1.0), LEVELS)
        gains = np.exp(levels[:, None, None] * self._template)
        norms = np.log(np.einsum("zai,ai->zi", gains, self._each_age))
        # The beat itself is at BEAT_AGE: the ages of one that ends in step t lie in t - BEAT_AGE - P .. t - BEAT_AGE - 1.
        padded = np.concatenate([np.zeros(self.longest + BEAT_AGE, np.float32), onset])
        before = np.zeros((TEMPI, 1))
        for start in range(0, len(onset), PIECE):
            steps = min(PIECE, len(onset) - start)
            heard = padded[start : start + steps + self.longest]
            out = np.empty((steps, TEMPI), np.float32)
            for tempo, period in enumerate(self.whole):
                norm = _summed(before[tempo], np.interp(heard, levels, norms[:, tempo]))
                match = np.correlate(heard, self._template[:period, tempo], "valid")
                first = self.longest - period
                out[:, tempo] = match[first : first + steps]
                out[:, tempo] -= (norm[first + period :][:steps] - norm[first:][:steps]).astype(np.float32)
                before[tempo] = norm[steps]
            yield out


def _summed(sums: np.ndarray, more: np.ndarray) -> np.ndarray:
    """Running sums, and those that follow when `more` is added."""
    return np.concatenate([sums[:-1], np.cumsum(np.concatenate([sums[-1:], more]), axis=0)])


class BeatPath:
    """The recursion over one track, and the way back through it."""

    def __init__(self, tempi: Tempi, steps: int) -> None:
        self._tempi = tempi
        self._score = np.full((tempi.longest, TEMPI), NEVER, np.float32)  # of the last steps, in the rows t % longest
        self._best = np.full(steps + tempi.longest, NEVER, np.float32)
        self._best_tempo = np.zeros(steps, np.uint8)
        self._from = np.zeros((steps, TEMPI), np.uint8)  # 0 = a new start, else 1 + WAYS * tempo before + delay
        self._start_from = np.full(steps, -1, np.int32)  # of a new start: the last beat before, -1 = none
        self._none_from = np.full(steps, -1, np.int32)  # of N: the last beat before, -1 = N went on
        self._columns = np.arange(TEMPI)

    def run(self, beat: np.ndarray, none: np.ndarray, spans: Iterable[np.ndarray]) -> list[int]:
        """(steps,) weight of a beat, and of no pulse, (TEMPI,) each of a beat's onsets -> steps of the best path's beats."""
        quiet, stay = np.float32(0.0), np.log1p(-LEAVE)
        leave, enter, restart = np.log(LEAVE), np.log(ENTER), np.log(RESTART)
        for t, span in enumerate(spans):
            last, reached = self._recent(t)
            fresh = max(quiet + leave, reached + restart)
            self._start_from[t] = last if reached + restart > quiet + leave else -1
            self._step(t, beat[t], np.float32(fresh), span)
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
        before = self._score[(t - tempi.back) % tempi.longest, columns] + tempi.entry + span
        delay = before.argmax(axis=0)
        arriving = before[delay, columns]
        chained = arriving[tempi.origin] + tempi.to
        choice = chained.argmax(axis=1)
        reached, born = chained[columns, choice], tempi.birth + fresh
        is_new = born > reached
        origin = tempi.origin[columns, choice]
        self._from[t] = np.where(is_new, 0, 1 + WAYS * origin + delay[origin])
        row = np.maximum(reached, born) + weight
        self._score[t % tempi.longest] = row
        self._best_tempo[t] = best = row.argmax()
        self._best[t + tempi.longest] = row[best]

    def _trace(self, steps: int, quiet: float) -> list[int]:
        last, reached = self._recent(steps)
        t = last if reached > quiet else self._before_quiet(steps - 1)
        beats: list[int] = []
        while t >= 0:
            tempo = int(self._best_tempo[t])
            beats.append(t)
            while origin := int(self._from[t, tempo]):
                tempo, delay = divmod(origin - 1, WAYS)
                t -= int(self._tempi.back[delay, tempo])
                beats.append(t)
            start = int(self._start_from[t])
            t = start if start >= 0 else self._before_quiet(t - 1)
        return beats[::-1]

    def _before_quiet(self, t: int) -> int:
        """The beat after which N, in which step `t` lies, was entered; -1 if it always was."""
        while t >= 0 and self._none_from[t] < 0:
            t -= 1
        return int(self._none_from[t]) if t >= 0 else -1
