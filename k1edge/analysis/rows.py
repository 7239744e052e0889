"""What each beat says about the form, heard anew with the beats that hindsight found.

Consumes a `Recording` and the beats of the track; emits the rows of `genesis.evidence`, one a beat, as the live engine would
have heard them with these beats. Where they pause, a steady pulse goes on, as it does live. Cost: 50 us a hop.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from k1edge.analysis.recording import Recording
from k1edge.frames import FeatureFrame, StreamFormat
from k1edge.genesis.evidence import N_ROW, Evidence
from k1edge.genesis.grid import FREE_PULSE_S, PATIENCE_PERIODS, Beat
from k1edge.genesis.hearing import Ear

FMT = StreamFormat(48_000)
"""Any rate does: a recording counts in hops."""
COLUMNS = ("bands", "novelty", "chroma", "level_dbfs", "centroid_hz", "sounding")


@dataclass(frozen=True, slots=True)
class Rows:
    """The beats, and what they say."""

    times_s: np.ndarray
    is_down: np.ndarray
    values: np.ndarray
    """(beats, N_ROW); zero where nothing was heard."""
    heard: np.ndarray
    """(beats,) whether there is a row."""


def pulse(times_s: np.ndarray, is_down: np.ndarray, duration_s: float) -> tuple[np.ndarray, np.ndarray]:
    """The beats, two or more, with a steady pulse before, after and wherever they pause."""
    period_s, first_s = float(np.median(np.diff(times_s))), float(times_s[0])
    found = [(first_s - n * period_s, False) for n in range(int(first_s / period_s), 0, -1)]
    for at_s, down in [*zip(times_s.tolist(), is_down.tolist(), strict=True), (duration_s, False)]:
        last_s = found[-1][0] if found else at_s
        if at_s - last_s > PATIENCE_PERIODS * period_s:
            steps = round((at_s - last_s) / period_s)
            found += [(last_s + n * (at_s - last_s) / steps, False) for n in range(1, steps)]
        if at_s < duration_s:
            found.append((at_s, down))
    return np.array([at_s for at_s, _ in found]), np.array([down for _, down in found], bool)


def hear(recording: Recording, times_s: np.ndarray, is_down: np.ndarray) -> Rows:
    """The rows of a track."""
    times_s, is_down = pulse(times_s, is_down, recording.duration_s)
    dues = np.round(times_s * FMT.rate_hz).astype(int)
    periods = np.diff(dues, prepend=dues[:1] - FMT.index(FREE_PULSE_S)).clip(1)
    values, heard = np.zeros((len(dues), N_ROW)), np.zeros(len(dues), bool)
    number = {int(due): n for n, due in enumerate(dues)}
    ear, evidence, coming = Ear(), Evidence(FMT), 0
    for n, features in enumerate(_features(recording), 1):
        beat = None
        if coming < len(dues) and dues[coming] <= n * FMT.hop:
            beat = Beat(coming, int(dues[coming]), 0, 0, int(periods[coming]), True)
            coming += 1
        row = evidence.process(features, ear.process(features), beat)
        if row is not None and row.due in number:
            values[number[row.due]], heard[number[row.due]] = row.values, True
    return Rows(times_s, is_down, values, heard)


def _features(recording: Recording):
    """The feature frames as they were."""
    end = 0
    for rows in recording.chunks():
        columns = [rows[name].astype(np.float32) for name in COLUMNS]
        for bands, novelty, chroma, level_dbfs, centroid_hz, sounding in zip(*columns, strict=True):
            end += FMT.hop
            yield FeatureFrame(end, bands, novelty, float(level_dbfs), -np.inf, float(centroid_hz), chroma, not sounding)
