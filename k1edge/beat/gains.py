"""What is heard in one step, as the gain of every state of the bar pointer.

Consumes log-likelihood ratios and the onset strength of one step, emits (ages, tempi) float32 gains. Ages and periods are in
steps of the bar pointer.

**Evidence of onsets.** z, the standardised novelty, weighs every phase: a state gains exp(z W[a, i]) over its mean for that
tempo, with W a template of a beat: ONSET_WEIGHT at the beat, less at its half, zero mean and unit variance per tempo, or
slow tempi would win. N gains 1: it expects as many onsets but never says when.

**Evidence of beats.** Let r = p(heard | a beat is here) / p(heard | none is). A state within ZONE of its beat gains r ** w, w
falling off from the middle, all others 1. N, in which beats come at random, gains 1 - ONSET_SHARE + ONSET_SHARE r. So a
pulse beats N by foresight alone, and noise does not.

**Evidence half way.** A weak activation is commoner half way between two beats than elsewhere between them: states within ZONE
of their half gain by it. So doubling a tempo explains nothing that the tempo itself does not.

All three are exponents, each of a number heard and a pattern that stays: one product with three rows makes their sum, and the
mean over a tempo's ages, which only z changes, is a power series in z. Cost: 10 us a step.
"""

from __future__ import annotations

import numpy as np

ZONE_WEIGHTS = (0.4, 0.8, 1.0, 0.8, 0.4)
"""How well a beat is heard at ages 0, 1 ...; the beat itself is the middle one."""
ZONE = len(ZONE_WEIGHTS)
BEAT_AGE = ZONE // 2
ONSET_WEIGHT = 0.24
HALF_BEAT = 0.50
"""How strong an onset half way between beats is, beside one on a beat."""
ONSET_RANGE, MEAN_TERMS = (-1.0, 3.2), 12
"""z is believed within these; there, so many terms of a power series give the logarithm of a tempo's mean gain to 1e-6."""
ONSET_WIDTH = 1.0
"""Standard deviation of an onset's place, steps."""


def onset_template(ages: np.ndarray, periods: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(ages, I) W, and whether a tempo has that age at all."""
    after = ages[:, None] - BEAT_AGE
    exists = after < periods - BEAT_AGE

    def bump(at: np.ndarray | float) -> np.ndarray:
        return np.exp(-0.5 * ((after - at) / ONSET_WIDTH) ** 2)

    shape = bump(0.0) + bump(periods) + HALF_BEAT * bump(periods / 2)
    count = exists.sum(axis=0)
    mean = (shape * exists).sum(axis=0) / count
    spread = np.sqrt(((shape - mean) ** 2 * exists).sum(axis=0) / count)
    return (ONSET_WEIGHT * (shape - mean) / spread).astype(np.float32), (exists / count).astype(np.float32)


def half_zone(ages: np.ndarray, periods: np.ndarray) -> np.ndarray:
    """(ages, I) how near a state is to half way between two beats."""
    off = np.abs(ages[:, None] - BEAT_AGE - periods / 2)
    return np.interp(off, np.arange(BEAT_AGE + 2), (*ZONE_WEIGHTS[BEAT_AGE:], 0.0))


def _log_means(template: np.ndarray, each_age: np.ndarray) -> np.ndarray:
    """(MEAN_TERMS, I): the coefficients, by powers of z, of the logarithm of the mean of exp(z W) over the ages of a tempo."""
    z = np.linspace(*ONSET_RANGE, 200)
    means = np.einsum("zai,ai->zi", np.exp(z[:, None, None] * template.astype(float)), each_age)
    return np.linalg.lstsq(z[:, None] ** np.arange(MEAN_TERMS), np.log(means), rcond=None)[0]


class Gains:
    """Of one state space."""

    def __init__(self, ages: np.ndarray, periods: np.ndarray) -> None:
        template, each_age = onset_template(ages, periods)
        self._powers, self._log_means = np.arange(MEAN_TERMS, dtype=float), -_log_means(template, each_age)
        zone = np.zeros_like(template)
        zone[(ages >= 0) & (ages < ZONE)] = np.array(ZONE_WEIGHTS)[:, None]
        patterns = (template, zone, half_zone(ages, periods))
        self._patterns = np.stack([pattern.reshape(-1) for pattern in patterns]).astype(np.float32)
        self._gain = np.empty_like(template)

    def process(self, beat_llr: float, onset: float, half_llr: float, by_tempo: np.ndarray | None) -> np.ndarray:
        """(ages, I) gains, overwritten by the next call; `by_tempo`: (I,) log-gains of all states of a tempo."""
        z = min(max(onset, ONSET_RANGE[0]), ONSET_RANGE[1])
        exponents = np.dot(z**self._powers, self._log_means).astype(np.float32)
        if by_tempo is not None:
            exponents += by_tempo
        gain = self._gain
        np.dot(np.array((z, beat_llr, half_llr), np.float32), self._patterns, out=gain.reshape(-1))
        np.add(gain, exponents, out=gain)
        return np.exp(gain, out=gain)
