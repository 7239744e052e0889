"""How loud, and where in the spectrum: the bands, the dynamics, the onsets.

Consumes a `Recording`, emits the map's envelopes, dynamics, spectral summary and onset times. The recorded bands carry no
absolute level (their gain follows the music), so each hop's share of a band is scaled back with the level of the hop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from k1edge.analysis.recording import Recording
from k1edge.dsp.features import COMPRESSION, band_centres_hz, band_widths, bands_between
from k1edge.frames import HOPS_PER_S
from k1edge.genesis.accents import LATENCY_HOPS
from k1edge.genesis.codec import BANDS

EDGES_HZ = (20.0, 250.0, 4_000.0, 20_000.0)
"""bass | mids | highs, as the Genesis Engine divides them."""
ENVELOPE_HOPS, MOST_POINTS = 2, 60_000
"""Those of twenty minutes: a map has room for fewer, and each, in three bands, takes half a kilobyte on its way there."""
FULL_SCALE_PERCENTILE = 99.5
"""What counts as intensity 1: a single crash must not dwarf a song."""
ROLLOFF_SHARE = 0.85
CURVE_HOPS = 10
ONSET_SPAN, ONSET_MEAN_BACK, ONSET_MEAN_AHEAD, ONSET_WAIT = 3, 10, 7, 5
"""Hops: an onset is the highest within 30 ms, above the mean of 170 ms, 50 ms after the last (Boeck et al., ISMIR 2012)."""
ONSET_DELTA = 0.12
MS_PER_HOP = 1000 / HOPS_PER_S


@dataclass(frozen=True, slots=True)
class Levels:
    """(hops, ...) absolute levels."""

    powers: np.ndarray
    """(hops, 3) bass, mids, highs."""
    rms: np.ndarray
    rolloff_hz: np.ndarray


def measure(recording: Recording) -> Levels:
    """Levels of every hop."""
    centres, groups = band_centres_hz(), bands_between(EDGES_HZ)
    widths, powers, rolloffs = band_widths(), [], []
    for rows in recording.chunks():
        energy = (np.expm1(rows["bands"].astype(np.float32)) / COMPRESSION) ** 2 * widths
        total = energy.sum(axis=1, keepdims=True) + 1e-12
        power = 10 ** (rows["level_dbfs"] / 10) * rows["sounding"]
        powers.append(energy @ groups.T.astype(np.float32) / total * power[:, None])
        above = np.cumsum(energy, axis=1) >= ROLLOFF_SHARE * total
        rolloffs.append(centres[above.argmax(axis=1)])
    rms = np.sqrt(10 ** (recording["level_dbfs"] / 10) * recording["sounding"])
    return Levels(np.concatenate(powers), rms, np.concatenate(rolloffs))


def envelopes(levels: Levels) -> dict[str, list[dict[str, float]]]:
    """The frequency layer: amplitude of each band, 1.0 = its loudest; of two hops the louder, of a long song's more."""
    amplitudes = np.sqrt(levels.powers)
    full_scale = np.percentile(amplitudes, FULL_SCALE_PERCENTILE, axis=0) + 1e-12
    shares = np.clip(amplitudes / full_scale, 0.0, 1.0)
    shares = shares[: len(shares) // ENVELOPE_HOPS * ENVELOPE_HOPS]
    shares = np.round(shares.reshape(-1, ENVELOPE_HOPS, 3).max(axis=1).astype(float), 3)
    each = -(-len(shares) // MOST_POINTS) or 1
    groups = np.pad(shares, ((0, -len(shares) % each), (0, 0))).reshape(-1, each, 3)
    at = groups.argmax(axis=1) + each * np.arange(len(groups))[:, None]
    at_ms, strongest = at * ENVELOPE_HOPS * MS_PER_HOP, groups.max(axis=1)
    return {
        name: [{"time_ms": t, "intensity": v} for t, v in zip(at_ms[:, n].tolist(), strongest[:, n].tolist(), strict=True)]
        for n, name in enumerate(BANDS)
    }


def dynamics(levels: Levels) -> dict[str, Any]:
    """The dynamics layer: RMS of 50 ms (full scale = 1.0), its curve every 100 ms."""
    rms = levels.rms
    quiet, loud = np.percentile(rms[rms > 0], (10, 95))
    at_ms = (np.arange(0, len(rms), CURVE_HOPS) * MS_PER_HOP).tolist()
    return {
        "average": round(float(rms.mean()), 5),
        "range": round(float(np.ptp(rms)), 5),
        "variance": round(float(rms.var()), 6),
        "range_db": round(20 * float(np.log10(loud / quiet)), 2),
        "rms_curve": {"at_ms": at_ms, "level": np.round(rms[::CURVE_HOPS].astype(float), 4).tolist()},
    }


def spectral(recording: Recording, levels: Levels) -> dict[str, float]:
    """The spectral layer, over what sounds."""
    sounding = recording["sounding"]
    centroids, rolloffs = recording["centroid_hz"][sounding], levels.rolloff_hz[sounding]
    return {
        "centroid_avg": round(float(centroids.mean()), 1),
        "centroid_std": round(float(centroids.std()), 1),
        "rolloff_avg": round(float(rolloffs.mean()), 1),
    }


def onsets_ms(recording: Recording) -> list[float]:
    """Where something new begins to sound."""
    novelty = recording["novelty"].astype(np.float32).mean(axis=1)
    padded = np.pad(novelty, (ONSET_MEAN_BACK, ONSET_MEAN_AHEAD))
    windows = np.lib.stride_tricks.sliding_window_view(padded, ONSET_MEAN_BACK + ONSET_MEAN_AHEAD + 1)
    around = slice(ONSET_MEAN_BACK - ONSET_SPAN, ONSET_MEAN_BACK + ONSET_SPAN + 1)
    is_peak = (novelty >= windows[:, around].max(axis=1)) & (novelty > windows.mean(axis=1) + ONSET_DELTA)
    found, last = [], -ONSET_WAIT
    for hop in np.flatnonzero(is_peak):
        if hop - last >= ONSET_WAIT:
            found.append(round(max(hop + 1 - LATENCY_HOPS, 0) * MS_PER_HOP, 1))
            last = hop
    return found
