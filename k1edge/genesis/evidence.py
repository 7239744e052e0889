"""What each beat says about the form: a row of numbers, relative to what this music has been before.

Consumes `Hearing`, the onset novelty and the beats as they pass; emits one row a beat, EARLY_S after the beat, when its
first sound has been heard: early enough to call a drop on its first beat. A second one may hear the moments half-way between,
and either may be asked what it would say if a beat were at any other moment (`look_at`).
All levels are relative to slow peaks of their own (dB over STEP_DB, clipped), so that neither the volume nor the mastering
matters; the peaks freeze in silence.

A row is, in this order (see `ROW`):
    now     the first EARLY_S of this beat
    turn    now minus the start of the beat a bar ago, and of the one four bars ago (the harmony's turn), by groups; and how
            far each is from nothing
    bar     the four beats before it, averaged
    rise    bar minus the bar four bars ago
    climb   bar minus its minimum over the last eight bars
    change  |now - the beats' starts in the bar before|, |bar - the bar before|, each averaged over the groups
    gone    for how long there has been no bass, no kick, and little of anything (beats, on a logarithmic scale)

Cost: 4 us a hop, 60 us a beat.
"""

from __future__ import annotations

from itertools import accumulate
from typing import NamedTuple

import numpy as np

from k1edge.dsp.features import N_BANDS, N_NOVELTY
from k1edge.frames import FeatureFrame, StreamFormat
from k1edge.genesis.grid import Beat
from k1edge.genesis.hearing import N_GROUPS, Hearing

EARLY_S = 0.15
"""Of the 250 ms a drop may take to be called; the rest is for a tracker that is late. A kick and its bass are heard in 100."""
EARLY_SHARE = 0.7
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
"""Of a whole beat: groups, novelty, level, percussive share."""
N_LOW, JOINED = 10, 3
"""Bands below 200 Hz, 20 Hz each, where a kick differs from a boom; the others are joined in threes."""
N_FINE = N_LOW + (N_BANDS - N_LOW) // JOINED
N_THIRDS = 3
N_START = N_THIRDS * N_FINE + N_NOVELTY
"""Of a beat's start: fine bands of its first, second and last third, strongest novelty."""
TURNS = (BAR, 4 * BAR)
"""Beats ago."""
N_COARSE = N_FINE // 2
N_TURN = len(TURNS) * 2 * (N_COARSE + N_NOVELTY)
N_GONE = 3
_SIZES = {"now": N_START, "turn": N_TURN, "bar": N_PARTS, "rise": N_PARTS, "climb": N_PARTS, "change": 2, "gone": N_GONE}
*_BEGINS, N_ROW = accumulate(_SIZES.values(), initial=0)
ROW = {name: slice(begins, begins + size) for begins, (name, size) in zip(_BEGINS, _SIZES.items(), strict=True)}
KICK_AND_BASS, KICK = 1, N_GROUPS


def _power_db(power: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(power, 1e-12))


def _coarse() -> np.ndarray:
    """(N_START, N_COARSE + N_NOVELTY) the thirds of a start as one, its bands in pairs; the novelties as they are."""
    bands = np.tile(np.repeat(np.eye(N_COARSE), 2, axis=0) / (2 * N_THIRDS), (N_THIRDS, 1))
    joined = np.zeros((N_START, N_COARSE + N_NOVELTY))
    joined[: len(bands), :N_COARSE] = bands
    joined[len(bands) :, N_COARSE:] = np.eye(N_NOVELTY)
    return joined


class _Body:
    """The average of a whole beat."""

    def __init__(self) -> None:
        self._sum = np.zeros(N_PARTS, np.float32)
        self._groups, self._novelty = self._sum[:N_GROUPS], self._sum[N_GROUPS:LEVEL]
        self._percussive, self._count = 0.0, 0

    def add(self, hearing: Hearing, novelty: np.ndarray) -> None:
        np.add(self._groups, hearing.groups, out=self._groups)
        np.add(self._novelty, novelty, out=self._novelty)
        self._percussive += hearing.percussive
        self._count += 1

    def take(self) -> np.ndarray:
        """(N_PARTS,) in dB, the percussive share as it is; starts anew."""
        mean = self._sum.astype(float) / max(self._count, 1)
        mean[PERCUSSIVE] = self._percussive / max(self._count, 1)
        mean[LEVEL] = mean[:N_GROUPS].sum()
        mean[N_GROUPS:LEVEL] = np.maximum(mean[N_GROUPS:LEVEL], 1e-3) ** 2
        mean[:PERCUSSIVE] = _power_db(mean[:PERCUSSIVE])
        self._sum[:] = 0.0
        self._percussive, self._count = 0.0, 0
        return mean


class _Start:
    """The first sound after a moment in time."""

    def __init__(self) -> None:
        self._thirds = np.zeros((N_THIRDS, N_BANDS), np.float32)
        self._strongest = np.zeros(N_NOVELTY, np.float32)
        self._each, self._counts = list(self._thirds), [0] * N_THIRDS
        self.due: int | None = None
        """The moment whose sound is being heard; None between."""
        self._third = 1.0

    def open(self, due: int, samples: float) -> None:
        """Hears from `due` for so many samples; what was being heard is forgotten."""
        self.due, self._third = due, samples / N_THIRDS
        self._thirds[:] = 0.0
        self._strongest[:] = 0.0
        self._counts[:] = [0] * N_THIRDS

    def hear(self, end: int, hearing: Hearing, novelty: np.ndarray) -> bool:
        """One more hop; True with the last."""
        if self.due is None or end <= self.due:
            return False
        third = int((end - self.due) / self._third)
        which = min(third, N_THIRDS - 1)
        np.add(self._each[which], hearing.energy, out=self._each[which])
        self._counts[which] += 1
        np.maximum(self._strongest, novelty, out=self._strongest)
        return third >= N_THIRDS

    def take(self) -> np.ndarray:
        """(N_START,) in dB."""
        thirds = self._thirds.astype(float) / np.maximum(self._counts, 1)[:, None]
        joined = thirds[:, N_LOW:].reshape(N_THIRDS, -1, JOINED).sum(axis=2)
        fine = np.concatenate([thirds[:, :N_LOW], joined], axis=1).ravel()
        return _power_db(np.concatenate([fine, np.maximum(self._strongest, 1e-3) ** 2]))


class _Peaks:
    """What each part is at its loudest, slowly forgotten."""

    def __init__(self) -> None:
        self._dbfs: np.ndarray | None = None

    def relative(self, parts: np.ndarray, silent: bool) -> np.ndarray:
        """The parts in steps of STEP_DB below the peaks, which it moves unless `silent`."""
        if self._dbfs is None:
            self._dbfs = parts.copy()
        gap = parts - self._dbfs
        if not silent:
            self._dbfs += np.where(gap > 0, PEAK_RISE * gap, -PEAK_FALL_DB_PER_BEAT)
        return np.clip((parts - self._dbfs) / STEP_DB, DEEPEST, 1.0)


class Row(NamedTuple):
    """The evidence of one beat, or of the moment half-way to the next."""

    due: int
    beat: Beat
    """The one at or before it."""
    values: np.ndarray
    """(N_ROW,)"""

    @property
    def off_beat(self) -> bool:
        return self.due != self.beat.due


class Evidence:
    """Hops and beats in, rows out; one per stream and phase."""

    def __init__(self, fmt: StreamFormat, off_beat: bool = False) -> None:
        self._rate_hz, self._off_beat = fmt.rate_hz, off_beat
        self._body, self._start, self._look = _Body(), _Start(), _Start()
        self._body_peaks, self._start_peaks = _Peaks(), _Peaks()
        self._bodies = np.zeros((HISTORY, N_PARTS))
        self._starts = np.zeros((TURNS[-1], N_START))
        self._beats = 0
        self._gone = np.zeros(N_GONE)
        self._coarse = _coarse()
        self._context = np.zeros(N_ROW - N_START - N_TURN)
        self._looked_past = self._past_of()
        self._beat: Beat | None = None
        self._coming: Beat | None = None

    def process(self, features: FeatureFrame, hearing: Hearing, beat: Beat | None) -> Row | None:
        """A row EARLY_S after each beat, or after each moment half-way between two; None at all other hops."""
        self._coming = beat or self._coming
        if self._coming is not None:
            due = self._coming.due + self._off_beat * (self._coming.period // 2)
            if due <= features.end:
                self._beat, self._coming = self._coming, None
                self._begin(due, hearing.silent)
        self._body.add(hearing, features.novelty)
        if self._beat is not None and self._start.hear(features.end, hearing, features.novelty):
            return self._row(hearing.silent)
        return None

    def look_at(self, onset: int) -> None:
        """Asks for a row of the sound since sample `onset`; `looked` has it as soon as a beat's would be there."""
        if self._beat is not None:
            self._look.open(onset, self._early)
            self._looked_past = self._past_of()

    def looked(self, features: FeatureFrame, hearing: Hearing) -> Row | None:
        """The row asked for, with the hop that completes it."""
        if not self._look.hear(features.end, hearing, features.novelty):
            return None
        onset, self._look.due = self._look.due, None
        return Row(onset, self._beat, self._values(self._look, self._looked_past, True))

    @property
    def _early(self) -> float:
        return min(EARLY_S * self._rate_hz, EARLY_SHARE * self._beat.period)

    def _begin(self, due: int, silent: bool) -> None:
        parts = self._body.take()
        body = self._body_peaks.relative(parts, silent)
        body[PERCUSSIVE] = 4 * parts[PERCUSSIVE] - 2
        self._bodies[:-1] = self._bodies[1:]
        self._bodies[-1] = body
        self._beats += 1
        gone = body[[KICK_AND_BASS, KICK, LEVEL]] < GONE_BELOW
        self._gone = np.where(gone, self._gone + 1, 0)
        self._start.open(due, self._early)
        self._context = self._bars()

    def _row(self, silent: bool) -> Row:
        values, starts = self._values(self._start, self._past_of(), silent), self._starts
        starts[:-1] = starts[1:]
        starts[-1] = values[ROW["now"]]
        due, self._start.due = self._start.due, None
        return Row(due, self._beat, values)

    def _past_of(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What a row is held against: the starts of earlier beats, their mean over a bar, and the bars before."""
        return self._starts[[-ago for ago in TURNS]], self._starts[-BAR:].mean(axis=0), self._context

    def _values(self, start: _Start, past: tuple[np.ndarray, np.ndarray, np.ndarray], frozen: bool) -> np.ndarray:
        """(N_ROW,); moves the peaks unless `frozen`."""
        earlier, bar, context = past
        now = self._start_peaks.relative(start.take(), frozen)
        turns = (now - earlier) @ self._coarse
        values = np.concatenate([now, turns.ravel(), np.abs(turns).ravel(), context])
        values[ROW["change"].start] = np.abs(now - bar).mean()
        return values

    def _bars(self) -> np.ndarray:
        """(N_ROW - N_START - N_TURN,) what the beats before this one say."""
        known = min(self._beats, HISTORY)
        bodies = self._bodies[HISTORY - known :]
        bar = bodies[-BAR:].mean(axis=0)
        last = bodies[-2 * BAR : -BAR].mean(axis=0) if known > BAR else bar
        earlier = bodies[-5 * BAR : -4 * BAR].mean(axis=0) if known > 4 * BAR else bodies[:BAR].mean(axis=0)
        whole = bodies[known % BAR :][-8 * BAR :]
        lowest = whole.reshape(-1, BAR, N_PARTS).mean(axis=1).min(axis=0) if known >= BAR else bar
        changes = 0.0, np.abs(bar - last).mean()
        return np.concatenate([bar, bar - earlier, bar - lowest, changes, np.log2(1 + self._gone)])
