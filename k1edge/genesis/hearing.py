"""What the ear separates in one hop: eight regions from sub to air; harmonic and percussive.

Consumes `FeatureFrame`, emits `Hearing`, 100 a second. The bands arrive normalised by a gain that is not carried with
them, so their shares are scaled back with `level_dbfs`: every level here is absolute (dBFS) and survives a breakdown.

Harmonic and percussive parts by median filtering (Fitzgerald, DAFx 2010), causal and at 50 Hz: sustained sounds
survive the median over time, struck ones the median over frequency. The separation describes the sound 100 ms ago.

Cost: about 45 us a hop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from k1edge.dsp.features import COMPRESSION, N_BANDS, band_centres_hz, band_widths, bands_between
from k1edge.frames import HOPS_PER_S, FeatureFrame

GROUP_EDGES_HZ = (20.0, 65.0, 150.0, 350.0, 900.0, 2_000.0, 5_000.0, 9_000.0, 16_000.0)
"""Sub | kick and bass | warmth | low voice | voice | presence, snare | hats | air: who plays is seen from these."""
N_GROUPS = len(GROUP_EDGES_HZ) - 1
BASS_GROUPS = 2
VOICE_HZ = (250.0, 3_500.0)
HPSS_EVERY = 2
HPSS_FRAMES = 11
"""220 ms: longer than a drum's ring, shorter than a sung vowel."""
HPSS_BANDS = 7
"""About an octave above 500 Hz: wider than a formant."""
SHARE_S = 0.5
"""Shares are of the energy of this long: a drum counts by its hit, not by the rest after it."""
QUIETEST_DBFS = -120.0


@dataclass(frozen=True, slots=True)
class Hearing:
    """One hop, taken apart. Levels in dBFS, shares 0..1 of the sound's energy."""

    level_dbfs: float
    bass_dbfs: float
    energy: np.ndarray
    """(N_BANDS,) power in each band; they add up to the power of the level."""
    groups: np.ndarray
    """(N_GROUPS,) the same in each of the groups."""
    percussive: float
    """Share of the energy above the bass that is struck, not sustained."""
    voiced_dbfs: float
    """Sustained sound within VOICE_HZ."""
    centroid_hz: float
    silent: bool


class Ear:
    """Features in, `Hearing` out; one per stream."""

    def __init__(self) -> None:
        self._shares = (band_widths() / COMPRESSION**2).astype(np.float32)
        self._groups = bands_between(GROUP_EDGES_HZ).astype(np.float32)
        above_bass, (voice,) = band_centres_hz() >= GROUP_EDGES_HZ[BASS_GROUPS], bands_between(VOICE_HZ)
        self._separable = np.stack([above_bass, voice]).astype(np.float32)
        self._energy = np.empty(N_BANDS, np.float32)
        self._history = np.zeros((HPSS_FRAMES, N_BANDS), np.float32)
        self._row = 0
        self._until_split = 1
        self._forget = math.exp(-HPSS_EVERY / (SHARE_S * HOPS_PER_S))
        self._sums = np.zeros(4)
        self._percussive, self._voiced_share = 0.0, 0.0
        half = HPSS_BANDS // 2
        self._across = np.clip(np.arange(N_BANDS)[:, None] + np.arange(-half, half + 1), 0, N_BANDS - 1)

    def process(self, features: FeatureFrame) -> Hearing:
        """One hearing for one frame."""
        energy = self._energy
        np.expm1(features.bands, out=energy)
        np.multiply(energy, energy, out=energy)
        np.multiply(energy, self._shares, out=energy)
        self._until_split -= 1
        if not self._until_split:
            self._until_split = HPSS_EVERY
            self._split(energy)
        level = features.level_dbfs
        energy = energy * np.float32(10 ** (level / 10) / (float(np.add.reduce(energy)) + 1e-12))
        groups = np.dot(self._groups, energy)
        bass = sum(groups[:BASS_GROUPS].tolist())
        return Hearing(
            level,
            max(10 * math.log10(bass + 1e-12), QUIETEST_DBFS),
            energy,
            groups,
            self._percussive,
            max(level + 10 * math.log10(self._voiced_share + 1e-12), QUIETEST_DBFS),
            features.centroid_hz,
            features.silent,
        )

    def _split(self, energy: np.ndarray) -> None:
        history = self._history
        history[self._row] = energy
        self._row = (self._row + 1) % HPSS_FRAMES
        now = history[(self._row + HPSS_FRAMES // 2) % HPSS_FRAMES]
        sustained = np.sort(history, axis=0)[HPSS_FRAMES // 2]
        struck = np.sort(now[self._across], axis=1)[:, HPSS_BANDS // 2]
        # Wiener mask on energies; what neither filter explains is shared alike.
        harmonic = now * (sustained + 1e-12) / (sustained + struck + 2e-12)
        above, voiced = self._separable @ harmonic
        self._sums *= self._forget
        self._sums += above, voiced, self._separable[0] @ now, now.sum()
        above, voiced, above_all, everything = self._sums.tolist()
        self._percussive = 1.0 - above / (above_all + 1e-12)
        self._voiced_share = voiced / (everything + 1e-12)
