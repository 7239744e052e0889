"""The bar pointer: all that is believed about tempo, beat phase and bar position, as one distribution.

Consumes log-likelihood ratios of one step (beat, downbeat, against no beat here); holds the filtered posterior. Time runs
in steps of 20 ms.

**The model.** A hidden pointer moves through a bar (Whiteley, Cemgil & Godsill, ISMIR 2006). Its state is (b, i, a): the
beat `b` of a metre it has last passed, the tempo i (period P_i, log-spaced), and the age `a` of that beat. Or there is no
beat at all: state N.

    ageing      (b, i, a) -> (b, i, a + 1)                    while the beat lasts: nothing to choose
    next beat   (b, i, P_i) -> (b', j, 0)                     with S[b, b'] T[i, j] J_i; only here may anything change
    T[i, j]     ~ exp(-TEMPO_STIFFNESS |P_j / P_i - 1|)       (Krebs, Boeck & Widmer, ISMIR 2015)
    S[b, b']    the next beat of the same metre; rarely a bar that slips, or another metre
    J_i         the entry is spread over three steps, whose mean makes P_i exact though steps are whole, and whose
                variance lets a beat come a little early or late without a change of tempo
    rebirth     RESTART of all mass starts anew each step, as "a beat, now" at a tempo drawn from the prior times the evidence
                of tempo (below); so does what leaves N, LEAVE of it a step, and ENTER of the rest goes there. So no tempo and
                no phase is ever ruled out, and overwhelming evidence wins within a beat or two.

**Evidence of onsets, of beats and half way** weighs every state by how well it foresees what is heard: see `gains`.

**Evidence of tempo** is the network's own opinion, which has heard seconds of music and knows the style. It redistributes mass
among the tempi, never between a beat and N. It is a factor that changes with the opinion, and besides, what it is sure of is
said again at TEMPO_RATE a step: what is said once is forgotten through rebirth, while onsets half way argue for twice the tempo
with each of them. It decides on the metrical level where onsets cannot, and never for good.

**Evidence of bars** redistributes mass among the beats b at each age and tempo and never between ages or tempi: what is
known of bars is too weak to decide on tempo or phase (measured: joint inference cost 5 points of F70 and gave none).

**The cost.** Ageing is free: rows of one age lie in a long buffer whose head moves by one row a step, and is moved back
once in some hundred. A step touches one element per (b, i) that ends, the three rows that are entered, and the row that
leaves the zone, in which all that was heard of its bar is then settled: O(B I) in place of O(B I P). What does not depend on
b, the gains of the onsets, is kept apart and multiplied in when a beat ends; the marginal over b is kept beside, so that
looking is cheap too. About 60 us a step.
"""

from __future__ import annotations

import math

import numpy as np

from k1edge.beat.gains import BEAT_AGE, ZONE, ZONE_WEIGHTS, Gains
from k1edge.beat.prior import TempoPrior
from k1edge.frames import HOPS_PER_S

STEP_HOPS = 2
STEPS_PER_S = HOPS_PER_S // STEP_HOPS
TEMPI = 64
"""2.2 % apart from 55 to 215 bpm. Fewer loses accuracy, more only costs (measured by others: 40 loses 2 points)."""
METRES = ((4, 0.60), (3, 0.20), (2, 0.15), (5, 0.05))
"""Beats in a bar and how common; 6/8 felt in two is 2."""
TEMPO_STIFFNESS = 180.0
JITTER_VARIANCE = 0.30
"""Steps squared; at least 0.25 so that all three weights are positive."""
PENDING = 2
"""Rows of beats that begin 1 and 2 steps from now: ages -1 and -2."""
RESTART = 1e-5
ENTER, LEAVE = 2e-4, 2e-3
TEMPO_RATE, TEMPO_DOUBT = 0.024, 2.0
"""Share of the opinion on tempo that counts anew each step, in full every 0.8 s, and how much less probable than the best, as a
log-ratio, a tempo may be before anything does: where the opinion is in doubt, as with bare clicks, the onsets decide."""
ONSET_SHARE = 0.10
SLIP, NEW_METRE = 0.001, 0.0005
"""Per bar: the bar begins anew on another beat; the metre changes."""
BUFFER_TURNS = 4
TOLERANCE = 1.03
"""A tempo so far beyond either end of the range is within it: what is measured is not exact."""


def within(tempo: float | np.ndarray, low: float, high: float) -> bool | np.ndarray:
    """Whether tempi, or periods, are within a range of them."""
    return (tempo >= low / TOLERANCE) & (tempo <= high * TOLERANCE)


def metre_table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(B,) beats per bar, (B,) 0-based position in the bar, (B,) prior mass of each state."""
    per_bar = np.concatenate([np.full(m, m) for m, _ in METRES])
    position = np.concatenate([np.arange(m) for m, _ in METRES])
    mass = np.concatenate([np.full(m, share / m) for m, share in METRES])
    return per_bar, position, mass


def bar_steps(per_bar: np.ndarray, position: np.ndarray, mass: np.ndarray) -> np.ndarray:
    """(B, B) S: row = from, column = to."""
    same = per_bar[:, None] == per_bar
    follows = same & (position == (position[:, None] + 1) % per_bar[:, None])
    anywhere = same / per_bar
    steps = follows * (1 - (SLIP + NEW_METRE) / per_bar)[:, None]
    return steps + anywhere * (SLIP / per_bar)[:, None] + mass * (NEW_METRE / per_bar)[:, None]


def _tempo_steps(periods: np.ndarray) -> np.ndarray:
    """(I, I) T: row = from, column = to."""
    steps = np.exp(-TEMPO_STIFFNESS * np.abs(periods / periods[:, None] - 1))
    steps[steps < 1e-9] = 0.0  # denormal floats are slow
    return (steps / steps.sum(axis=1, keepdims=True)).astype(np.float32)


def _entry_weights(mean_delay: np.ndarray) -> np.ndarray:
    """(PENDING + 1, I) share that enters 0, 1, 2 steps from now, with the given mean and JITTER_VARIANCE."""
    off = mean_delay - 1
    spread = JITTER_VARIANCE + off**2
    return np.stack([(spread - off) / 2, 1 - spread, (spread + off) / 2])


class BarPointer:
    """The filtered posterior. Masses are relative to `scale`, which keeps float32 in range; `none` is a probability."""

    def __init__(self, prior: TempoPrior, tempo_min_bpm: float, tempo_max_bpm: float) -> None:
        self.periods = np.geomspace(60 / tempo_max_bpm, 60 / tempo_min_bpm, TEMPI) * STEPS_PER_S
        self.tempi_bpm = 60 * STEPS_PER_S / self.periods
        self.per_bar, self.position, self._metre_mass = metre_table()
        steps = bar_steps(self.per_bar, self.position, self._metre_mass).T
        # What begins, of what has ended and, in the last column, is born anew; in the last row the sum over the beats.
        steps = np.column_stack([steps, self._metre_mass])
        self._begin = np.vstack([steps, steps.sum(axis=0)]).astype(np.float32)
        self._tempo_steps = _tempo_steps(self.periods)
        self._last_age = last_age = np.round(self.periods).astype(int) - 1
        self._entry = _entry_weights(self.periods - last_age).astype(np.float32)
        self.oldest = int(last_age.max())
        rows, beats = BUFFER_TURNS * (self.oldest + 1), len(self.per_bar)
        self._masses = np.zeros((rows, beats, TEMPI), np.float32)
        self._marginal = np.zeros((rows, TEMPI), np.float32)
        self._gains = np.ones((rows, TEMPI), np.float32)
        column = np.arange(TEMPI)
        # From the oldest row on.
        self._ending_marginal = column + (self.oldest - last_age) * TEMPI
        self._ending = np.arange(beats)[:, None] * TEMPI + column + (self.oldest - last_age) * beats * TEMPI
        self._head = self.oldest
        self.none, self.scale = 1.0, 1.0
        self.steps = 0
        """Since the start."""
        self.ages = np.arange(self.oldest, -PENDING - 1, -1)
        self._worth = Gains(self.ages, self.periods)
        self._zone_weights = np.array(ZONE_WEIGHTS, np.float32)[:, None]
        self._heard_bars = np.zeros((ZONE, beats), np.float32)
        """What was heard of the bar at the rows of age 0, 1 ..., and is not settled in them yet: log-weights of the beats."""
        self._tempo, self._by_tempo, self._born = np.zeros((3, TEMPI), np.float32)
        self._by_beat = np.ones((2, beats), np.float32)
        """Ones, and the weights of the beats."""
        self._ended = np.empty(self._ending.shape, np.float32)
        self._ended_gains = np.empty(TEMPI, np.float32)
        self._moved, self._begun = np.empty((2, beats + 1, TEMPI), np.float32)
        self._entering = np.empty((PENDING + 1, beats, TEMPI), np.float32)
        self.believe(prior)

    def believe(self, prior: TempoPrior) -> None:
        """Where rebirths go from now on: the prior over tempi times the commonness of metres."""
        self._density = prior.density(self.tempi_bpm).astype(np.float32)
        self._expect_births()

    def step(
        self, beat_llr: float, none_llr: float, onset: float, bar: np.ndarray | None = None,
        *, half_llr: float = 0.0, tempo: np.ndarray | None = None,
    ) -> None:
        """One step with evidence: of a beat, of N, z, and (B,) log-weights of the beats of each metre, if any is known.

        `half_llr`: evidence of what is usual half way between two beats. `tempo`: (I,) log-weights of the
        tempi as they are now.
        """
        self._advance()
        gain = self._worth.process(beat_llr, onset, half_llr, None if tempo is None else self._tempo_news(tempo))
        for rows in (self._gains[self._recent], self._marginal[self._recent]):
            np.multiply(rows, gain, out=rows)
        if bar is not None:
            self._heard_bars += self._zone_weights * bar
        self._settle(ZONE - 1)
        self.none *= math.exp(none_llr)
        self._normalise()

    def age(self) -> None:
        """One step without evidence."""
        self._advance()
        self._settle(ZONE - 1)
        self._normalise()

    def _advance(self) -> None:
        self.steps += 1
        if self._head + PENDING + 1 >= len(self._masses):
            self._move_back()
        self._head = head = self._head + 1
        self._masses[head + PENDING] = 0.0
        self._gains[head + PENDING] = 1.0
        self._heard_bars[1:] = self._heard_bars[:-1]
        self._heard_bars[0] = 0.0
        oldest, ended, moved, begun = head - self.oldest, self._ended, self._moved, self._begun
        masses, marginal = self._masses[oldest:].reshape(-1), self._marginal[oldest:].reshape(-1)
        masses.take(self._ending, out=ended, mode="clip")
        self._gains[oldest:].reshape(-1).take(self._ending_marginal, out=self._ended_gains, mode="clip")
        np.multiply(ended, self._ended_gains, out=ended)
        masses[self._ending] = 0.0
        marginal[self._ending_marginal] = 0.0
        reborn = RESTART * (1 - self.none) + LEAVE * self.none
        self.none += ENTER * (1 - self.none) - LEAVE * self.none
        self.scale *= 1 - RESTART - ENTER
        np.dot(ended, self._tempo_steps, out=moved[:-1])
        np.multiply(self._born, reborn / self.scale, out=moved[-1])
        np.dot(self._begin, moved, out=begun)
        entered = slice(head, head + PENDING + 1)
        share = self._entry / self._gains[entered]
        np.multiply(begun[:-1], share[:, None], out=self._entering)
        self._masses[entered] += self._entering
        self._marginal[entered] += self._entry * begun[-1]

    def plant(self, period: float, due: float, share: float, beats: np.ndarray | None = None) -> None:
        """`share` of all mass moves to one tempo and phase: period and time to the next beat in steps.

        `beats`: (B,) how it is spread over the beat last passed; None, or nothing: as common as metres are.
        """
        self._settle_all()
        tempo = int(np.abs(np.log(self.periods / period)).argmin())
        spread = self._metre_mass if beats is None or not beats.any() else beats / beats.sum()
        due %= self.periods[tempo]
        age = round(BEAT_AGE + self.periods[tempo] - due)
        if age >= self._last_age[tempo]:  # the next beat has begun, or is about to
            age, spread = round(BEAT_AGE - due), self._begin[:-1, :-1] @ spread
        row = self._head - age
        self.scale *= 1 - share
        self.none *= 1 - share
        # Settled, not divided by its gain: that of a level which was refused for a while is next to nothing.
        kept = self._masses[row, :, tempo] * self._gains[row, tempo]
        self._masses[row, :, tempo] = kept + spread * (share / self.scale)
        self._gains[row, tempo] = 1.0
        self._marginal[row, tempo] = self._masses[row, :, tempo].sum()
        self._normalise()

    def seat(self, ago: float) -> None:
        """The beat nearest to `ago` steps before now (after it when negative) is a downbeat, whatever the tempo and metre."""
        self._settle_all()
        recent = self._masses[self._recent]
        beats_on = np.rint((ago - (self.ages[:, None] - BEAT_AGE)) / self.periods).astype(int)[:, None, :]
        for metre in np.unique(self.per_bar):
            members = self.per_bar == metre
            total = recent[:, members].sum(axis=1, keepdims=True)
            recent[:, members] = total * (self.position[members][:, None] == beats_on % metre)
        self._normalise()

    def _tempo_news(self, tempo: np.ndarray) -> np.ndarray:
        """(I,) log-gains that move mass among the tempi and leave its sum."""
        news = tempo - self._tempo
        sure = tempo - (float(np.maximum.reduce(tempo)) - TEMPO_DOUBT)
        np.minimum(sure, 0.0, out=sure)
        sure *= TEMPO_RATE
        news += sure
        masses = np.add.reduce(self.recent(), axis=0, out=self._by_tempo)
        news += math.log(float(np.add.reduce(masses)) / max(float(np.dot(masses, np.exp(news))), 1e-30))
        self._tempo[:] = tempo
        self._expect_births()
        return news

    def _expect_births(self) -> None:
        born = np.exp(self._tempo, out=self._born)
        np.multiply(born, self._density, out=born)
        np.divide(born, np.add.reduce(born), out=born)

    def _settle(self, age: int) -> None:
        """What was heard of the bar at the row of this age moves mass among its beats, at each tempo."""
        row, weights = self._masses[self._head - age], self._by_beat[1]
        np.exp(self._heard_bars[age], out=weights)
        self._heard_bars[age] = 0.0
        before, after = np.dot(self._by_beat, row)
        row *= weights[:, None]
        row *= before / np.maximum(after, 1e-30)

    def _settle_all(self) -> None:
        for age in range(ZONE):
            self._settle(age)

    def recent(self) -> np.ndarray:
        """(ages, I) masses over ages and tempi, as `ages`: oldest first; a view. Times `scale`: probabilities."""
        return self._marginal[self._recent]

    def beats(self, tempi: slice, weights: np.ndarray) -> np.ndarray:
        """(B,) masses of the beats last passed, summed over some tempi with (ages, tempi) weights."""
        self._settle_all()
        return np.einsum("abi,ai->b", self._masses[self._recent, :, tempi], weights * self._gains[self._recent, tempi])

    @property
    def _recent(self) -> slice:
        return slice(self._head - self.oldest, self._head + PENDING + 1)

    def tempo_masses(self) -> np.ndarray:
        """(I,) probability of each tempo; sums to 1 - none."""
        return self._by_tempo * self.scale

    def _normalise(self) -> None:
        by_tempo = np.add.reduce(self.recent(), axis=0, out=self._by_tempo)
        total = float(np.add.reduce(by_tempo)) * self.scale + self.none
        self.none /= total
        self.scale /= total
        if not 1e-12 < self.scale < 1e12:
            self._masses *= np.float32(self.scale)
            self._marginal *= np.float32(self.scale)
            self._by_tempo *= np.float32(self.scale)
            self.scale = 1.0

    def _move_back(self) -> None:
        first, past = self._head - self.oldest, self._head + PENDING + 1
        for rows in (self._masses, self._marginal, self._gains):
            rows[: past - first] = rows[first:past].copy()
        self._marginal[past - first :] = 0.0  # of the other two a row is cleared when it is entered
        self._head = self.oldest
