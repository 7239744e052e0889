"""Cuts cached items into training crops at the network's rate, each varied in tempo, level and colour.

Emits inputs (batch, frames, N_BANDS) and targets (batch, frames, 4), float32. All variation happens on the bands, so that
every epoch hears other music: stretched by resampling frames, coloured and joined as energies, and scaled like the extractor.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from k1edge.beat.network import DELAY_S, FRAMES_PER_S, HOPS_A_FRAME, N_TEMPI, TEMPO_RANGE_BPM
from k1edge.dsp.features import COMPRESSION, GAIN_HALF_LIFE_S, N_BANDS
from k1edge.frames import HOPS_PER_S

WIDENING = (0.25, 0.6, 1.0, 0.6, 0.25)
"""Targets around a beat, one frame apart: an onset half a frame off is as right."""
BEATLESS_WEIGHT = 3.0
AFTER_LOUDER = 0.3
"""Share of crops that begin under the gain of another piece."""
OVERLAID, OVERLAY_DB = 0.25, (-30.0, -3.0)
"""Share of crops with talk, noise or pads over the music, and how loud against it."""


@dataclass(frozen=True)
class Cached:
    """One item's features and truth."""

    bands: np.ndarray
    beats: np.ndarray
    music: np.ndarray
    kind: str


def load(folder: Path, limit: int | None = None) -> list[Cached]:
    """Items by name; those being written are left out."""
    items = []
    for path in sorted(p for p in folder.glob("*.npz") if ".part" not in p.name)[:limit]:
        with np.load(path) as z:
            items.append(Cached(z["bands"], z["beats"], z["music"], str(z["kind"])))
    return items


def tempo_class(interval_s: np.ndarray) -> np.ndarray:
    """Index of the log-spaced tempo class of a beat interval."""
    low, high = np.log(TEMPO_RANGE_BPM)
    place = (np.log(60 / np.maximum(interval_s, 0.1)) - low) / (high - low) * N_TEMPI
    return np.clip(place.astype(int), 0, N_TEMPI - 1)


def targets(beats: np.ndarray, music: np.ndarray, frames: int, start_s: float = 0.0) -> np.ndarray:
    """(frames, 4): beat, downbeat (-1 not known), music with a beat, tempo class (-1 none). Frame 0 ends at start_s."""
    out = np.zeros((frames, 4), np.float32)
    out[:, 3] = -1
    ends_s = start_s + np.arange(frames) / FRAMES_PER_S - DELAY_S
    for first_s, last_s in music:
        out[(ends_s >= first_s) & (ends_s < last_s), 2] = 1
    if len(beats) < 2:
        return out
    centres = np.round((beats[:, 0] + DELAY_S - start_s) * FRAMES_PER_S).astype(int)
    for offset, height in zip(range(-2, 3), WIDENING, strict=True):
        for column, chosen in ((0, centres), (1, centres[beats[:, 1] > 0.5])):
            at = chosen + offset
            at = at[(at >= 0) & (at < frames)]
            out[at, column] = np.maximum(out[at, column], height)
    if (beats[:, 1] < 0).any():
        out[:, 1] = -1
    previous = np.clip(np.searchsorted(beats[:, 0], ends_s, side="right") - 1, 0, len(beats) - 2)
    out[:, 3] = np.where(out[:, 2] > 0, tempo_class(np.diff(beats[:, 0])[previous]), -1)
    return out


def scaled_anew(energy: np.ndarray, peaks: np.ndarray) -> np.ndarray:
    """Bands of altered energies, scaled as the extractor would have: by a maximum that only a frame in `peaks` can lower.

    Energies are relative to the gain the extractor had, which set itself to the loudest band at `peaks` and decayed elsewhere.
    """
    gain, gains = 1e-3, []
    for top, peak in zip(energy.max(axis=1).tolist(), peaks.tolist(), strict=True):
        gain = max(top, 1e-3) if peak else max(gain, top)
        gains.append(gain)
    return np.log1p(energy * (COMPRESSION / np.array(gains, np.float32))[:, None])


def coloured(rng: np.random.Generator, energy: np.ndarray) -> np.ndarray:
    """Energies through a random equaliser, with noise; some bands at times removed."""
    curve = np.interp(np.arange(N_BANDS), np.linspace(0, N_BANDS - 1, 6), rng.normal(0, 5, 6))
    energy = energy * np.exp(curve * (np.log(10) / 20)).astype(np.float32)
    if rng.random() < 0.15:
        level = energy.max() * 10 ** (rng.uniform(-50, -15) / 20)
        energy += level * np.abs(rng.standard_normal(energy.shape)).astype(np.float32)
    if rng.random() < 0.15:
        first = rng.integers(N_BANDS)
        energy[:, first : first + rng.integers(2, 12)] *= 0.03
    return energy


def stretch(rng: np.random.Generator, item: Cached, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """(frames, N_BANDS) energies, 0..1, and (frames, 4) targets of a part of an item, a little faster or slower."""
    ratio = float(np.exp(rng.uniform(-0.16, 0.16))) if rng.random() < 0.7 else 1.0
    start = int(rng.uniform(0, max(len(item.bands) - frames * HOPS_A_FRAME * ratio - 2, 1)))
    at = start + np.arange(frames) * (HOPS_A_FRAME * ratio)
    below = np.minimum(at.astype(int), len(item.bands) - 2)
    part = (at - at.astype(int))[:, None].astype(np.float32)
    bands = item.bands[below].astype(np.float32)
    if ratio != 1.0:
        bands += (item.bands[below + 1] - bands) * part
    # hop k ends k + 1 hops after the item's start
    start_s = (start + 1) / HOPS_PER_S / ratio
    found = targets(item.beats / [ratio, 1], item.music / ratio, frames, start_s)
    energy = np.expm1(bands) / np.float32(COMPRESSION)
    beyond = at >= len(item.bands) - 1
    energy[beyond], found[beyond, :3], found[beyond, 3] = 0, 0, -1
    return energy, found


def crop(
    rng: np.random.Generator, items: list[Cached], frames: int, over: Cached | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """(frames, N_BANDS), (frames, 4): one stretch, or two joined at a cut with a change of level, or one with a hole.

    `over`: an item without beats that is heard on top, and changes nothing in the truth.
    """
    energy, found = stretch(rng, items[0], frames)
    if over is not None:
        apart = rng.spawn(1)[0]
        energy += stretch(apart, over, frames)[0] * np.float32(10 ** (apart.uniform(*OVERLAY_DB) / 20))
    residue = np.ones(frames, np.float32)
    chance = rng.random()
    cut = 0
    if chance < 0.12:
        cut = int(rng.uniform(0.2, 0.8) * frames)
        following, truth = stretch(rng, items[1], frames - cut)
        energy, found = np.concatenate([energy[:cut], following]), np.concatenate([found[:cut], truth])
    if cut or rng.random() < AFTER_LOUDER:
        # After a louder song the gain takes seconds to come down.
        louder = 10 ** (rng.uniform(-12, 12) / 20)
        residue[cut:] = np.maximum(louder * 0.5 ** (np.arange(frames - cut) / (GAIN_HALF_LIFE_S * FRAMES_PER_S)), 1)
    if 0.12 <= chance < 0.17:
        start = int(rng.uniform(0.1, 0.8) * frames)
        hole = slice(start, start + int(rng.uniform(0.5, 6) * FRAMES_PER_S))
        energy[hole], found[hole, :3], found[hole, 3] = 0, 0, -1
    peaks = energy.max(axis=1) > 0.998
    if rng.random() < 0.8:
        energy = coloured(rng, energy)
    return scaled_anew(energy / residue[:, None], peaks).astype(np.float32), found


def batches(items: list[Cached], rng: np.random.Generator, shape: tuple[int, int], count: int, overlaid: float = 0.0):
    """`count` times (batch, frames, N_BANDS), (batch, frames, 4); the beatless are drawn BEATLESS_WEIGHT times as often."""
    share = np.array([1.0 if len(item.beats) else BEATLESS_WEIGHT for item in items])
    beatless = [item for item in items if not len(item.beats)]
    for _ in range(count):
        drawn = rng.choice(len(items), (shape[0], 2), p=share / share.sum())
        pairs = []
        for two in drawn:
            over = beatless[rng.integers(len(beatless))] if beatless and rng.random() < overlaid else None
            pairs.append(crop(rng, [items[i] for i in two], shape[1], over))
        yield np.stack([x for x, _ in pairs]), np.stack([y for _, y in pairs])
