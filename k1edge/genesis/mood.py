"""Key, mode, valence and arousal: slow colours of the music.

Consumes chroma, macros and tempo, emits `Mood`, 100 a second, decided every second. The key is the best of 24 correlations
of the leaky chroma of the last KEY_S with the probe-tone profiles of Krumhansl and Kessler (1982). Valence follows the mode
and the brightness, arousal the energy, the percussion and the tempo, each a mean over MOOD_S; before that much has been heard
there is none, since whoever takes a mood keeps it for a while.

Cost: below 1 us a hop, 30 us each second.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from k1edge.dsp.features import CHROMA_EVERY
from k1edge.frames import HOPS_PER_S, BeatState, FeatureFrame, Macros

KEY_S = 30.0
MOOD_S = 15.0
DECIDE_HOPS = HOPS_PER_S
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
PITCHES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
KEY_AT = 0.5
"""Correlation below which no key is claimed: drums alone stay under it."""
KEY_MARGIN = 0.03
"""By which another key must be better than the one believed."""
TEMPI_BPM = (60.0, 180.0)


@dataclass(frozen=True, slots=True)
class Mood:
    """How the music feels."""

    key: str = ""
    """Such as "A minor"; empty while none is clear."""
    valence: float = 0.0
    """-1 dark .. 1 bright."""
    arousal: float = 0.0
    """0 calm .. 1 excited; 0, as valence is, while too little has been heard."""


def key_profiles() -> np.ndarray:
    """(24, 12) normalised profiles: major from C, then minor from C."""
    rows = np.array([np.roll(profile, tonic) for profile in (MAJOR, MINOR) for tonic in range(12)])
    rows -= rows.mean(axis=1, keepdims=True)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class MoodWatch:
    """Features, macros and tempo in, `Mood` out; one per stream."""

    def __init__(self) -> None:
        self._profiles = key_profiles()
        self._chroma = np.zeros(12)
        self._forget_key = math.exp(-CHROMA_EVERY / (KEY_S * HOPS_PER_S))
        self._rate = 1 - math.exp(-DECIDE_HOPS / (MOOD_S * HOPS_PER_S))
        self._hops = self._decisions = 0
        self._best = 0
        self._valence = self._arousal = 0.0
        self._mood = Mood()

    def process(self, features: FeatureFrame, macros: Macros, beat: BeatState) -> Mood:
        """The mood after one hop; the same object until it changes."""
        self._hops += 1
        if features.silent:
            return self._mood
        if self._hops % CHROMA_EVERY == 0:
            self._chroma *= self._forget_key
            self._chroma += features.chroma
        if self._hops % DECIDE_HOPS == 0:
            self._mood = self._decide(macros, beat)
        return self._mood

    def _key(self) -> tuple[str, float]:
        centred = self._chroma - self._chroma.mean()
        fits = self._profiles @ centred / (np.linalg.norm(centred) + 1e-9)
        best = int(fits.argmax())
        if fits[best] > fits[self._best] + KEY_MARGIN:
            self._best = best
        fit = float(max(fits[self._best], 0.0))
        name = f"{PITCHES[self._best % 12]} {'major' if self._best < 12 else 'minor'}"
        return (name, fit) if fit >= KEY_AT else ("", fit)

    def _decide(self, macros: Macros, beat: BeatState) -> Mood:
        key, fit = self._key()
        mode = {"major": 1.0, "minor": -1.0}.get(key.rpartition(" ")[2], 0.0) * fit
        valence = 0.6 * mode + 0.4 * (2 * macros.brightness - 1)
        slow, fast = TEMPI_BPM
        haste = min(max((beat.tempo_bpm - slow) / (fast - slow), 0.0), 1.0) * beat.lock
        arousal = 0.45 * macros.energy + 0.3 * macros.percussiveness + 0.25 * haste
        self._decisions += 1
        rate = max(1 / self._decisions, self._rate)
        self._valence += rate * (valence - self._valence)
        self._arousal += rate * (arousal - self._arousal)
        if self._decisions * DECIDE_HOPS < MOOD_S * HOPS_PER_S:
            return Mood(key)
        return Mood(key, self._valence, self._arousal)
