"""Renders training items from the project's own synthesiser: arrangements, and plain four-on-the-floor at every tempo.

Emits OUT/<kind><number>.npz as render.py does. Arrangements have seeds from FIRST_SEED on; those that the Genesis Engine is
tuned on (0-49) and judged by (100-149) are never among them.
"""

from __future__ import annotations

import argparse
from multiprocessing import Pool
from pathlib import Path

import effects
import numpy as np
from bands import bands
from items import truth
from kits import RATE_HZ

from k1edge.audio.arrangement import arrangement
from k1edge.audio.synth import Sound, four_on_the_floor

FIRST_SEED = 1_000
PLAIN_S = 40.0


def save(path: Path, sound: Sound, rng: np.random.Generator) -> None:
    """The sound as it comes through a studio and a line input."""
    samples = sound.samples if sound.samples.ndim == 1 else sound.samples.mean(axis=1)
    at = np.arange(0, len(samples), sound.rate_hz / RATE_HZ)
    audio = effects.master(rng, np.interp(at, np.arange(len(samples)), samples).astype(np.float32))
    beats_s = np.asarray(sound.truth.beats_s)
    down = np.isin(np.round(beats_s, 3), np.round(sound.truth.downbeats_s, 3)).astype(float)
    beats, music = truth(np.stack([beats_s, down], axis=1))
    np.savez(path, bands=bands(audio).astype(np.float16), beats=beats, music=music, kind="arranged")


def make(number: int) -> None:
    """One arrangement and two plain pieces."""
    rng = np.random.default_rng([7, number])
    save(OPTIONS.out / f"arrangement{number:04d}.npz", arrangement(FIRST_SEED + number), rng)
    for take in range(2):
        bpm = float(np.exp(rng.uniform(np.log(60), np.log(190))))
        save(OPTIONS.out / f"plain{number:04d}{take}.npz", four_on_the_floor(bpm, PLAIN_S), rng)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=40, help="arrangements; twice as many plain pieces")
    parser.add_argument("--jobs", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = parse()
    OPTIONS.out.mkdir(parents=True, exist_ok=True)
    with Pool(OPTIONS.jobs) as pool:
        pool.map(make, range(OPTIONS.count), 1)
