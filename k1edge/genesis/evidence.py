"""What each beat says about the form: a row of numbers, relative to what this music has been before.

Consumes `Hearing`, the onset novelty and the beats as they pass; emits one row a beat, EARLY_S after the beat, when its
first sound has been heard: early enough to call a drop on its first beat. All levels are relative to slow peaks of their
own (dB over STEP_DB, clipped), so that neither the volume nor the mastering matters; the peaks freeze in silence.

A row is, in this order (see `ROW`):
    now     the first EARLY_S of this beat: groups, novelty, level, percussive share
    bar     the same, averaged over the four beats before it
    rise    bar minus the bar four bars ago
    climb   bar minus its minimum over the last eight bars
    change  |now - the beats' starts in the bar before|, |bar - the bar before|, each averaged over the groups
    gone    for how long there has been no bass, no kick, and little of anything (beats, on a logarithmic scale)

Cost: 4 us a hop, 60 us a beat.
"""

from __future__ import annotations

import math

import numpy as np

from k1edge.dsp.features import N_NOVELTY
from k1edge.frames import FeatureFrame, StreamFormat
from k1edge.genesis.grid import Beat
from k1edge.genesis.hearing import N_GROUPS, Hearing

EARLY_S = 0.18
"""Of the 250 ms a drop may take to be called; a kick and its bass are heard in 100."""
EARLY_SHARE = 0.45
"""Of a beat, at most: fast music has the next eighth in it after that."""
STEP_DB = 6.0
DEEPEST = -5.0
PEAK_FALL_DB_PER_BEAT = 0.02
"""3 dB in about a minute: a breakdown of a minute still knows what loud was."""
PEAK_RISE = 0.3
GONE_BELOW = -1.5
"""Steps under its peak at which a part counts as gone: 9 dB."""
BAR = 4
HISTORY = 33 * BAR

LEVEL, PERCUSSIVE = N_GROUPS + N_NOVELTY, N_GROUPS + N_NOVELTY + 1
N_PARTS = N_GROUPS + N_NOVELTY + 2
N_GONE = 3
N_ROW = 4 * N_PARTS + 2 + N_GONE
BASS, KICK = 1, N_GROUPS
ROW = {
    "now": slice(0, N_PARTS),
    "bar": slice(N_PARTS, 2 * N_PARTS),
    "rise": slice(2 * N_PARTS, 3 * N_PARTS),
    "climb": slice(3 * N_PARTS, 4 * N_PARTS),
    "change": slice(4 * N_PARTS, 4 * N_PARTS + 2),
    "gone": slice(4 * N_PARTS + 2, N_ROW),
}


class _Mean:
    """Average of the parts over some hops."""

    def __init__(self) -> None:
        self._sum = np.zeros(N_PARTS)
        self._count = 0

    def add(self, hearing: Hearing, novelty: np.ndarray) -> None:
        parts = self._sum
        parts[:N_GROUPS] += hearing.groups
        parts[N_GROUPS:LEVEL] += novelty
        parts[PERCUSSIVE] += hearing.percussive
        self._count += 1

    def take(self) -> np.ndarray:
        """(N_PARTS,) in dB, the percussive share as it is; starts anew."""
        mean = self._sum / max(self._count, 1)
        mean[LEVEL] = mean[:N_GROUPS].sum()
        np.maximum(mean[: LEVEL + 1], 1e-12, out=mean[: LEVEL + 1])
        mean[:N_GROUPS] = 10 * np.log10(mean[:N_GROUPS])
        mean[N_GROUPS:LEVEL] = 20 * np.log10(np.maximum(mean[N_GROUPS:LEVEL], 1e-3))
        mean[LEVEL] = 10 * math.log10(mean[LEVEL])
        self._sum[:] = 0.0
        self._count = 0
        return mean


class _Peaks:
    """What each part is at its loudest, slowly forgotten."""

    def __init__(self) -> None:
        self._dbfs: np.ndarray | None = None

    def relative(self, parts: np.ndarray, silent: bool) -> np.ndarray:
        """(N_PARTS,) in steps of STEP_DB below the peaks, which it moves unless `silent`."""
        if self._dbfs is None:
            self._dbfs = parts.copy()
        gap = parts - self._dbfs
        if not silent:
            self._dbfs += np.where(gap > 0, PEAK_RISE * gap, -PEAK_FALL_DB_PER_BEAT)
        steps = np.clip((parts - self._dbfs) / STEP_DB, DEEPEST, 1.0)
        steps[PERCUSSIVE] = 4 * parts[PERCUSSIVE] - 2
        return steps


class Evidence:
    """Hops and beats in, rows out; one per stream."""

    def __init__(self, fmt: StreamFormat) -> None:
        self._rate_hz = fmt.rate_hz
        self._body, self._start = _Mean(), _Mean()
        self._body_peaks, self._start_peaks = _Peaks(), _Peaks()
        self._bodies = np.zeros((HISTORY, N_PARTS))
        self._starts = np.zeros((HISTORY, N_PARTS))
        self._beats = 0
        self._due: int | None = None
        self._gone = np.zeros(N_GONE)

    def process(self, features: FeatureFrame, hearing: Hearing, beat: Beat | None) -> np.ndarray | None:
        """(N_ROW,) once a beat, EARLY_S after it; None at all other hops."""
        if beat is not None:
            self._begin(beat, hearing.silent)
        self._body.add(hearing, features.novelty)
        if self._due is None:
            return None
        self._start.add(hearing, features.novelty)
        if features.end < self._due:
            return None
        self._due = None
        return self._row(hearing.silent)

    def _begin(self, beat: Beat, silent: bool) -> None:
        body = self._body_peaks.relative(self._body.take(), silent)
        self._bodies[:-1] = self._bodies[1:]
        self._bodies[-1] = body
        self._beats += 1
        gone = body[[BASS, KICK, LEVEL]] < GONE_BELOW
        self._gone = np.where(gone, self._gone + 1, 0)
        self._start.take()
        early = min(EARLY_S, EARLY_SHARE * beat.period / self._rate_hz)
        self._due = beat.due + round(early * self._rate_hz)

    def _row(self, silent: bool) -> np.ndarray:
        now = self._start_peaks.relative(self._start.take(), silent)
        before = self._starts[-BAR:].mean(axis=0)
        self._starts[:-1] = self._starts[1:]
        self._starts[-1] = now
        known = min(self._beats, HISTORY)
        bodies = self._bodies[HISTORY - known :]
        bar = bodies[-BAR:].mean(axis=0)
        last = bodies[-2 * BAR : -BAR].mean(axis=0) if known > BAR else bar
        earlier = bodies[-5 * BAR : -4 * BAR].mean(axis=0) if known > 4 * BAR else bodies[:BAR].mean(axis=0)
        recent = bodies[-9 * BAR :]
        lowest = recent[: len(recent) // BAR * BAR].reshape(-1, BAR, N_PARTS).mean(axis=1).min(axis=0) if known >= BAR else bar
        row = np.empty(N_ROW)
        row[ROW["now"]] = now
        row[ROW["bar"]] = bar
        row[ROW["rise"]] = bar - earlier
        row[ROW["climb"]] = bar - lowest
        row[ROW["change"]] = np.abs(now - before).mean(), np.abs(bar - last).mean()
        row[ROW["gone"]] = np.log2(1 + self._gone)
        return row
