"""Which parts of a song are the same music.

Consumes what each bar sounds like and where the sections lie, emits a letter for each section: the same where they sound alike
(self-similarity: Paulus et al., ISMIR 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

UNLIKE = 0.20
"""By which share of their own likeness the bars of two sections may be less alike, and still be the same music."""
QUIETEST_DBFS = -80.0
LEAST_SPREAD_DB, LEAST_SPREAD_BANDS, LEAST_SPREAD_CHROMA = 2.0, 0.25, 0.03
"""Differences between bars smaller than these are not form."""
SOUND_SHARE = 0.7
"""Of loudness and timbre; the rest is harmony."""
LEAST_CONTRAST = 0.5
LEAST_ALIKE = 0.5


@dataclass(frozen=True, slots=True)
class Bars:
    """What each of n bars sounds like."""

    dbfs: np.ndarray
    """(n, 4) bass, mids, highs, everything."""
    timbre: np.ndarray
    """(n, bands) mean log bands."""
    chroma: np.ndarray
    """(n, 12)."""


def _standardised(columns: np.ndarray, least: float) -> np.ndarray:
    """Columns of mean 0 and spread 1; a spread below `least` is not stretched, it is as good as none."""
    return (columns - columns.mean(axis=0)) / np.maximum(columns.std(axis=0), least)


def _directions(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; those near the average of the song stay short: they resemble everything a little."""
    least = LEAST_CONTRAST * np.sqrt(rows.shape[1])
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), least)


def _likenesses(bars: Bars) -> np.ndarray:
    """(n, columns): the product of two rows is -1..1, how alike those bars are in loudness and timbre, and in harmony."""
    loudness = _standardised(np.maximum(bars.dbfs, QUIETEST_DBFS), LEAST_SPREAD_DB)
    sounds = _directions(np.column_stack([loudness, _standardised(bars.timbre, LEAST_SPREAD_BANDS)]))
    tones = _directions(_standardised(bars.chroma, LEAST_SPREAD_CHROMA))
    return np.column_stack([np.sqrt(SOUND_SHARE) * sounds, np.sqrt(1 - SOUND_SHARE) * tones])


def letters(bars: Bars, cuts: list[int]) -> list[str]:
    """One letter a section, from each of `cuts` (bars, rising) to the next; the same where they sound the same."""
    rows = _likenesses(bars)
    # A section shorter than a bar has the one it lies in.
    parts = [rows[(first := min(a, len(rows) - 1)) : max(b, first + 1)] for a, b in pairwise(cuts)]
    # The mean likeness of two sections' bars is that of their means: hours of bars are never compared one by one.
    centres = np.array([part.mean(axis=0) for part in parts])
    means, own = centres @ centres.T, np.array([_within(part) for part in parts])
    given: list[int] = []
    for n in range(len(means)):
        like = [m for m in range(n) if (own[n] + own[m]) / 2 - means[n, m] <= UNLIKE * max(own[n], own[m], LEAST_ALIKE)]
        given.append(given[max(like, key=lambda m: means[n, m])] if like else max(given, default=-1) + 1)
    return [chr(ord("A") + number % 26) for number in given]


def _within(part: np.ndarray) -> float:
    """How much the bars of a section resemble each other; a bar's likeness to itself says nothing."""
    n, total, themselves = len(part), part.sum(axis=0), (part * part).sum()
    return float((total @ total - themselves) / (n * n - n)) if n > 1 else float(themselves)
