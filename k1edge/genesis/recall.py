"""Which song plays, of those whose maps are known, and where in it.

Consumes the envelopes of a map, and the last seconds of a stream in the same three bands; emits how alike they are where they
are most alike. Both become sketches: logarithms of the bands, smoothed over 80 ms, one row each 80 ms. Where a sketch of the
stream lies in that of a song is where their correlation coefficient, over all three bands at once, is highest.

Measured with 10 s of sound that came by another card (another rate and gain, bass and treble turned up or down, hiss), on the
tune half of the annotated excerpts: of its own song at the right place .98 (median; P5 .85), of others .42 (P95 .67). Loops
that repeat to the sample are as alike at several places, and say nothing until they differ.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ENVELOPE_S, ROW_S = 0.02, 0.08
"""Of an envelope, as maps have it, and of a sketch."""
POINTS = round(ROW_S / ENVELOPE_S)
FLOOR = 0.02
"""Share of a band's loudest below which all is silence."""
STEPS = 255 / -np.log(FLOOR)
LONGEST_POINT_S = 0.1
"""Of a map whose envelopes are coarser, nothing can be told."""
GLANCE = 0.6
"""Correlation by one of the phases, below which the others are not tried."""
NEAR_S = 0.3
APART_S = 0.5
"""Places that are nearer are one."""


class Likeness(NamedTuple):
    """Of a stream and a song, where they are most alike."""

    correlation: float
    at_s: float
    """Where in the song the sketch of the stream begins."""
    elsewhere: float
    """The highest correlation at another place."""


def envelope(bands: list[tuple[list[float], list[float]]]) -> np.ndarray | None:
    """(n, bands) every ENVELOPE_S from 0, of the times in ms and intensities of a map's bands; None where these are too few."""
    last_ms = min((times[-1] for times, _ in bands if times), default=0.0)
    if any(not times or len(times) * LONGEST_POINT_S * 1000 < last_ms for times, _ in bands):
        return None
    at_ms = np.arange(0.0, last_ms, 1000 * ENVELOPE_S)
    return np.stack([np.interp(at_ms, *band) for band in bands], axis=1)


def sketch(levels: np.ndarray, phase: int = 0) -> np.ndarray:
    """(n, 3) shares of each band's loudest, every ENVELOPE_S -> (m, 3) uint8, from the point `phase` on."""
    sums = np.cumsum(np.pad(levels[phase:].astype(np.float64), ((1, 0), (0, 0))), axis=0)
    means = (sums[POINTS:] - sums[:-POINTS])[::POINTS] / POINTS
    return np.round(255 + STEPS * np.log(np.clip(means, FLOOR, 1.0))).astype(np.uint8)


def at_speed(heard: np.ndarray, speed: float) -> np.ndarray:
    """(n, 3) every ENVELOPE_S, as where the song is played as it was stored; `speed`: seconds of it in one of the stream. The
    bands are so wide that another pitch leaves them as they are."""
    places = np.arange(int(len(heard) * speed)) / speed
    return np.stack([np.interp(places, np.arange(len(heard)), band) for band in heard.T], axis=1)


def alike(heard: np.ndarray, song: np.ndarray) -> Likeness | None:
    """`heard`: (n, 3) shares every ENVELOPE_S; `song`: a sketch that is longer. None where they are not."""
    phases = [sketch(heard, phase) for phase in range(POINTS)]
    rows = min(map(len, phases))
    if not rows or len(song) <= rows or not phases[0].any():
        return None
    glance = _correlations(phases[0][:rows], song)
    if glance.max() < GLANCE:
        return Likeness(float(glance.max()), float(glance.argmax()) * ROW_S, 0.0)
    # Rows of the song against each phase of the stream, in the order of the time in the song at which the stream begins.
    found = np.stack([_correlations(each[:rows], song) for each in phases[::-1]], axis=1).ravel()
    best = int(found.argmax())
    apart = round(APART_S / ENVELOPE_S)
    elsewhere = np.concatenate([found[: max(best - apart, 0)], found[best + apart :]])
    at_s = (best + _vertex(found[max(best - 1, 0) : best + 2]) - (POINTS - 1)) * ENVELOPE_S
    return Likeness(float(found[best]), at_s, float(elsewhere.max(initial=0.0)))


def at_place(heard: np.ndarray, song: np.ndarray, at_s: float) -> Likeness | None:
    """The same within NEAR_S of this place in the song; None beyond its ends."""
    first = max(round((at_s - NEAR_S) / ROW_S), 0)
    last = max(round((at_s + NEAR_S + len(heard) * ENVELOPE_S) / ROW_S) + 1, 0)
    found = alike(heard, song[first:last])
    return found and found._replace(at_s=found.at_s + first * ROW_S)


def _correlations(heard: np.ndarray, song: np.ndarray) -> np.ndarray:
    """(len(song) - len(heard) + 1,) correlation coefficients at each place, 0 where either does not move."""
    rows = len(heard)
    moved = heard - heard.mean(axis=0, dtype=np.float32)
    song = song.astype(np.float32)
    sums, squares = (np.cumsum(np.pad(each.astype(np.float64), ((1, 0), (0, 0))), axis=0) for each in (song, song * song))
    spread = (squares[rows:] - squares[:-rows] - (sums[rows:] - sums[:-rows]) ** 2 / rows).sum(axis=1)
    together = sum(np.correlate(song[:, band], moved[:, band], "valid") for band in range(song.shape[1]))
    scale = np.sqrt(np.maximum(spread, 0.0) * float((moved * moved).sum()))
    return np.where(scale > rows, together / np.maximum(scale, 1.0), 0.0)


def _vertex(three: np.ndarray) -> float:
    """Of the parabola through three points, from the middle one, -.5..0.5."""
    if len(three) < 3 or (bend := three[0] - 2 * three[1] + three[2]) >= 0:
        return 0.0
    return float(0.5 * (three[0] - three[2]) / bend)
