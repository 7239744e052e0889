"""What it is in: the key of the song, and its chords from beat to beat.

Consumes pitch-class profiles, emits the map's `key` and `chords`. Keys by correlation with the probe-tone profiles of
Krumhansl & Kessler (Psych. Rev. 1982); chords by a hidden Markov model over 24 triads and "none", one observation a beat
(after Sheh & Ellis, ISMIR 2003).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from k1edge.genesis.mood import key_profiles

PITCHES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")
TRIADS = {"": (0, 4, 7), "m": (0, 3, 7)}
HOME_WEIGHT, FIRST_WEIGHT = 0.5, 0.15
"""What a key gains, beside the correlation of its profile, by its triad sounding all the time, and by its sounding first."""
STAY = 0.80
"""Probability that a chord goes on over the next beat: chords last some four beats."""
SHARPNESS = 12.0
"""How much a better fit counts: a full match over none is e ** 12."""
NO_CHORD_FIT = 0.55
SHORTEST_CHORD_MS = 500.0


def _standardised(rows: np.ndarray) -> np.ndarray:
    centred = rows - rows.mean(axis=-1, keepdims=True)
    return centred / (np.linalg.norm(centred, axis=-1, keepdims=True) + 1e-9)


def key_fits(chroma: np.ndarray) -> np.ndarray:
    """(..., 12) profiles -> (..., 24) correlation with each key."""
    return _standardised(chroma) @ key_profiles().T


def key(chroma: np.ndarray, spans: list[dict[str, Any]]) -> dict[str, Any] | None:
    """(n, 12) profiles of a song and its chords -> its key; None when nothing is tonal.

    Keys that share their tones (A minor, C major, E minor but for one) are told apart by whose own triad sounds longest, and
    first. Confidence: the lead over the next best key.
    """
    total = chroma.sum(axis=0)
    if total.sum() < 1e-6:
        return None
    fits = key_fits(total) + _home(spans)
    best = int(fits.argmax())
    rivals = np.delete(fits, best)
    confidence = float(np.clip((fits[best] - rivals.max()) * 4 + max(fits[best], 0) * 0.5, 0.0, 1.0))
    return {"tonic": PITCHES[best % 12], "mode": "major" if best < 12 else "minor", "confidence": round(confidence, 3)}


def _home(spans: list[dict[str, Any]]) -> np.ndarray:
    """(24,) how much of the time the triad of each key sounds, and whether it is the first."""
    shares = np.zeros(24)
    for span in spans:
        shares[CHORD_NAMES.index(span["label"])] += span["end_ms"] - span["start_ms"]
    shares *= HOME_WEIGHT / max(shares.sum(), 1e-9)
    if spans:
        shares[CHORD_NAMES.index(spans[0]["label"])] += FIRST_WEIGHT
    return shares


CHORDS = {PITCHES[root] + suffix: np.roll(np.isin(range(12), intervals), root)
          for suffix, intervals in TRIADS.items() for root in range(12)}  # fmt: skip
CHORD_NAMES = list(CHORDS)
CHORD_TEMPLATES = _standardised(np.array(list(CHORDS.values()), float))
"""(24, 12)."""


def _posteriors(log_fit: np.ndarray) -> np.ndarray:
    """(beats, states) log likelihoods -> probabilities given all beats (forward-backward)."""
    states = log_fit.shape[1]
    to = np.full((states, states), (1 - STAY) / (states - 1))
    np.fill_diagonal(to, STAY)
    fit = np.exp(log_fit - log_fit.max(axis=1, keepdims=True))
    forward, backward = np.empty_like(fit), np.empty_like(fit)
    belief = np.full(states, 1 / states)
    for n in range(len(fit)):
        belief = (belief @ to) * fit[n]
        forward[n] = belief = belief / belief.sum()
    belief = np.ones(states)
    for n in range(len(fit) - 1, -1, -1):
        backward[n] = belief
        belief = to @ (belief * fit[n])
        belief /= belief.sum()
    both = forward * backward
    return both / both.sum(axis=1, keepdims=True)


def chords(chroma: np.ndarray, edges_ms: np.ndarray) -> list[dict[str, Any]]:
    """(n, 12) mean profile between edges, (n + 1,) edges -> spans of one chord each; stretches without one are left out."""
    fits = _standardised(chroma) @ CHORD_TEMPLATES.T
    fits[chroma.sum(axis=1) < 1e-6] = 0.0
    log_fit = SHARPNESS * np.column_stack([fits, np.full(len(fits), NO_CHORD_FIT)])
    posteriors = _posteriors(log_fit)
    states = posteriors.argmax(axis=1)
    found = []
    for first, last in pairwise([0, *(np.flatnonzero(np.diff(states)) + 1).tolist(), len(states)]):
        start_ms, end_ms = float(edges_ms[first]), float(edges_ms[last])
        if states[first] < len(CHORD_NAMES) and end_ms - start_ms >= SHORTEST_CHORD_MS:
            sure = round(float(posteriors[first:last, states[first]].mean()), 3)
            found.append({"label": CHORD_NAMES[states[first]], "start_ms": start_ms, "end_ms": end_ms, "confidence": sure})
    return found
