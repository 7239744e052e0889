"""The form of a song: its sections with repeats recognised, its drops, builds and breakdowns.

Consumes what each bar sounds like, emits spans and moments in bars. Boundaries lie where the self-similarity of the bars
changes (checkerboard novelty: Foote, ICME 2000), chosen together by dynamic programming that knows that sections last
multiples of four bars; sections that sound alike share a letter (self-similarity: Paulus et al., ISMIR 2010).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from k1edge.frames import SECTION_LABELS

BASS, MIDS, HIGHS, LEVEL = range(4)
KERNEL_BARS = (4, 8)
"""Half the width of the kernels: shorter ones see chord changes."""
SHORTEST_BARS, LONGEST_BARS = 4, 32
SECTION_COST = 0.35
"""What a boundary must be worth: below it, 2-bar fills become sections."""
ODD_COST = 0.12
"""Extra for a section whose bars are no multiple of four."""
EDGE_BARS = 2
STUB_COST = 0.45
"""Extra for a first or last section shorter than SHORTEST_BARS: a pick-up, the last chord."""
ALIKE = 0.80
"""Similarity above which two sections are the same music."""

QUIETEST_DBFS = -80.0
LEAST_SPREAD_DB, LEAST_SPREAD_BANDS, LEAST_SPREAD_CHROMA = 2.0, 0.25, 0.03
"""Differences between bars smaller than these are not form."""
LEAST_CONTRAST = 0.5
LEAST_NOVELTY = 0.25

UNNAMED = ("unknown", "silence")
ONCE_IN_A_ROW = ("intro", "build", "drop", "breakdown", "outro")
LEAST_SHARE = 0.5

GONE_DB = -9.0
"""A band this far under its loud level (90th percentile) is gone."""
LEAST_GONE_BARS = 2
DROP_RISE_DB = 3.0
SHORTEST_BUILD_BARS, LONGEST_BUILD_BARS = 2, 16
RISE, STEP_BACK = 0.5, 0.1
"""Standard deviations by which a build climbs at least, and may step back on the way, in level, highs and onsets."""


@dataclass(frozen=True, slots=True)
class Bars:
    """What each of n bars sounds like."""

    dbfs: np.ndarray
    """(n, 4) bass, mids, highs, everything."""
    timbre: np.ndarray
    """(n, bands) mean log bands."""
    chroma: np.ndarray
    """(n, 12)."""
    onsets: np.ndarray
    """(n,) novelty per bar."""
    live: np.ndarray | None = None
    """(n, labels) share of each bar that the live engine gave each of SECTION_LABELS."""

    def __len__(self) -> int:
        return len(self.dbfs)


@dataclass(frozen=True, slots=True)
class Part:
    """Bars `first` to before `last`."""

    first: int
    last: int
    label: str
    letter: str
    confidence: float


@dataclass(frozen=True, slots=True)
class Form:
    """The parts, in order, and what happens in them, in bars."""

    parts: list[Part]
    drops: list[tuple[int, float]]
    """(bar, confidence)."""
    builds: list[tuple[int, int, float]]
    breakdowns: list[tuple[int, int, float]]


def _standardised(columns: np.ndarray, least: float) -> np.ndarray:
    """Columns of mean 0 and spread 1; a spread below `least` is not stretched, it is as good as none."""
    return (columns - columns.mean(axis=0)) / np.maximum(columns.std(axis=0), least)


def _directions(rows: np.ndarray) -> np.ndarray:
    """Rows of length 1; those near the average of the song stay short: they resemble everything a little."""
    least = LEAST_CONTRAST * np.sqrt(rows.shape[1])
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), least)


def similarity(bars: Bars) -> np.ndarray:
    """(n, n) -1..1: loudness and timbre, and harmony, each bar with each."""
    loudness = _standardised(np.maximum(bars.dbfs, QUIETEST_DBFS), LEAST_SPREAD_DB)
    sounds = _directions(np.column_stack([loudness, _standardised(bars.timbre, LEAST_SPREAD_BANDS)]))
    tones = _directions(_standardised(bars.chroma, LEAST_SPREAD_CHROMA))
    return 0.7 * sounds @ sounds.T + 0.3 * tones @ tones.T


def _novelty(alike: np.ndarray) -> np.ndarray:
    """(n,) 0..1 how much changes at the beginning of each bar, over several time scales."""
    n = len(alike)
    total = np.zeros(n)
    for half in KERNEL_BARS:
        padded = np.pad(alike, half, mode="edge")
        taper = np.exp(-0.5 * ((np.arange(2 * half) + 0.5 - half) / (half / 1.5)) ** 2)
        sign = np.sign(np.arange(2 * half) + 0.5 - half)
        kernel = np.outer(sign * taper, sign * taper)
        kernel /= np.abs(kernel).sum()
        values = [(padded[i : i + 2 * half, i : i + 2 * half] * kernel).sum() for i in range(n)]
        total += np.maximum(values, 0.0)
    total /= len(KERNEL_BARS)
    total[:EDGE_BARS] = total[n - EDGE_BARS :] = 0.0  # there is nothing before and after to compare with
    return total / max(float(np.percentile(total, 98)), LEAST_NOVELTY)


def boundaries(alike: np.ndarray) -> list[int]:
    """First bars of the sections, and n at the end: the set that is worth most."""
    n = len(alike)
    novelty = np.minimum(_novelty(alike), 1.0)
    best, origin = np.full(n + 1, -np.inf), np.zeros(n + 1, int)
    best[0] = 0.0
    for end in range(1, n + 1):
        for start in range(max(0, end - LONGEST_BARS), end):
            length, at_edge = end - start, start == 0 or end == n
            if length < SHORTEST_BARS and not at_edge:
                continue
            odd = STUB_COST if length < SHORTEST_BARS else ODD_COST if length % 4 and not at_edge else 0.0
            worth = (novelty[end] if end < n else 0.0) - SECTION_COST - odd
            if best[start] + worth > best[end]:
                best[end], origin[end] = best[start] + worth, start
    cuts = [n]
    while cuts[-1]:
        cuts.append(int(origin[cuts[-1]]))
    return cuts[::-1]


def letters(alike: np.ndarray, cuts: list[int]) -> list[str]:
    """One letter a section; the same where they sound the same."""
    means = np.array([[alike[a:b, c:d].mean() for c, d in pairwise(cuts)] for a, b in pairwise(cuts)])
    own = np.sqrt(np.maximum(np.diag(means), LEAST_NOVELTY))
    means = means / np.outer(own, own)
    given: list[int] = []
    for n in range(len(means)):
        like = [m for m in range(n) if means[n, m] >= ALIKE]
        given.append(given[max(like, key=lambda m: means[n, m])] if like else max(given, default=-1) + 1)
    return [chr(ord("A") + number % 26) for number in given]


def _relative(bars: Bars) -> np.ndarray:
    """(n, 4) dB under the loud level of each band."""
    heard = np.maximum(bars.dbfs, QUIETEST_DBFS)
    return heard - np.percentile(heard, 90, axis=0)


def _gone(relative: np.ndarray) -> list[tuple[int, int]]:
    """Stretches without bass, from where it leaves to where it returns."""
    gone = relative[:, BASS] < GONE_DB
    edges = np.flatnonzero(np.diff(np.concatenate([[0], gone.astype(int), [0]])))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True) if b - a >= LEAST_GONE_BARS]


def _confidence(rise_db: float) -> float:
    return float(np.clip(0.4 + rise_db / 20, 0.0, 0.95))


def _drops(relative: np.ndarray, gone: list[tuple[int, int]]) -> list[tuple[int, float]]:
    found = []
    for first, last in gone:
        if first == 0 or last >= len(relative):
            continue
        rise_db = float(relative[last : last + 2, [BASS, LEVEL]].mean() - relative[last - 1, [BASS, LEVEL]].mean())
        if rise_db >= DROP_RISE_DB:
            found.append((last, _confidence(rise_db)))
    return found


def _build_before(bars: Bars, relative: np.ndarray, end: int) -> tuple[int, float] | None:
    """(first bar, confidence) of the climb that ends at a bar; None when nothing climbs."""
    parts = np.column_stack([relative[:, LEVEL], relative[:, HIGHS], bars.onsets])
    climb = _standardised(parts, 1e-3).mean(axis=1)
    first = end - 1
    while first > 0 and end - first < LONGEST_BUILD_BARS and climb[first - 1] <= climb[first] + STEP_BACK:
        first -= 1
    height = float(climb[end - 1] - climb[first:end].min())
    # What only goes along before the climb is not yet the build.
    first += int(np.flatnonzero(climb[first:end] <= climb[first:end].min() + STEP_BACK * height)[-1])
    if end - first < SHORTEST_BUILD_BARS or height < RISE:
        return None
    return first, min(0.4 + height / 4, 0.95)


def _label(number: int, count: int, loud: float, facts: tuple[bool, bool, bool, bool]) -> tuple[str, float]:
    """Name of a section by its place and loudness; `facts`: drops into it, is without bass, builds, comes again."""
    is_drop, without_bass, builds, repeated = facts
    if number == 0 and (without_bass or loud < -4.0):
        return "intro", 0.8
    if number == count - 1 and number and (without_bass or loud < -4.0):
        return "outro", 0.8
    if is_drop:
        return "drop", 0.75
    if builds:
        return "build", 0.6
    if without_bass:
        return "breakdown", 0.65
    if loud > -2.0:
        return "chorus", 0.6 if repeated else 0.45
    return ("verse", 0.55) if repeated else ("bridge" if number > count // 2 else "verse", 0.4)


def _heard(bars: Bars, first: int, last: int) -> tuple[str, float] | None:
    """What the live engine, which was trained to name sections, mostly called these bars; None when it was undecided."""
    if bars.live is None:
        return None
    # It names a section when it has heard some of it: the first bar still has the name of the one before.
    shares = bars.live[min(first + 1, last - 1) : last].mean(axis=0) * [label not in UNNAMED for label in SECTION_LABELS]
    best = int(shares.argmax())
    return (SECTION_LABELS[best], float(shares[best])) if shares[best] >= LEAST_SHARE else None


def _joined(parts: list[Part]) -> list[Part]:
    """Neighbours of one name and one letter, or of a name that does not come twice in a row, as one part."""
    joined: list[Part] = []
    for part in parts:
        before = joined[-1] if joined else None
        if before and before.label == part.label and (before.letter == part.letter or part.label in ONCE_IN_A_ROW):
            sure = max(before.confidence, part.confidence)
            joined[-1] = Part(before.first, part.last, part.label, before.letter, sure)
        else:
            joined.append(part)
    return joined


def _spans(parts: list[Part], label: str) -> list[tuple[int, int, float]]:
    return [(part.first, part.last, part.confidence) for part in parts if part.label == label]


def analyse(bars: Bars) -> Form:
    """The form of a song of some bars; a single part where there are too few."""
    if len(bars) < 2:
        return Form([Part(0, len(bars), "unknown", "A", 0.0)] if len(bars) else [], [], [], [])
    alike, relative = similarity(bars), _relative(bars)
    gone = _gone(relative)
    drops = _drops(relative, gone)
    climbs = [(*climb, bar) for bar, _ in drops if (climb := _build_before(bars, relative, bar))]
    builds = [(first, bar, sure) for first, sure, bar in climbs]
    cuts = boundaries(alike)
    named = letters(alike, cuts)
    parts = []
    for number, (first, last) in enumerate(pairwise(cuts)):
        within = relative[first:last]
        facts = (
            any(abs(bar - first) <= 1 for bar, _ in drops),
            float((within[:, BASS] < GONE_DB).mean()) > 0.5,
            any(min(b, last) - max(a, first) > (last - first) / 2 for a, b, _ in builds),
            named.count(named[number]) > 1,
        )
        ruled = _label(number, len(cuts) - 1, float(within[:, LEVEL].mean()), facts)
        label, sure = _heard(bars, first, last) or ruled
        parts.append(Part(first, last, label, named[number], sure))
    parts = _joined(parts)
    known = {bar for bar, _ in drops}
    entered = [p for before, p in pairwise(parts) if p.label == "drop" and before.label in ("build", "breakdown")]
    drops = sorted(drops + [(p.first, p.confidence) for p in entered if not {p.first - 1, p.first, p.first + 1} & known])
    quiet = [(a, b, 0.7) for a, b in gone if a > 0 and b < len(bars)]
    return Form(parts, drops, _spans(parts, "build") or builds, _spans(parts, "breakdown") or quiet)
