"""Fits the model of what is on the wire (k1edge/genesis/wire.npz).

Consumes the tuning half of the annotated excerpts in --data (music), announcements spoken by espeak-ng in a dozen voices, and
generated noise and hum. Emits the weights. Deterministic; takes about three minutes. No excerpt of the other half and no
recorded speech is used: those are for reports.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
from scipy.optimize import minimize

from k1edge.audio.files import FileSource
from k1edge.audio.synth import SynthSource, hum, noise
from k1edge.dsp.features import FeatureExtractor
from k1edge.genesis.hearing import Ear
from k1edge.genesis.wire import ROWS, SAMPLE_HOPS, STATES, WireWatch, clues

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "k1edge/genesis/wire.npz"
DATA = ROOT.parent / "shared/bench/beats/data"
SPLIT = ROOT / "scripts/bench_split.tsv"
MUSIC_SETS = ("fof", "groove", "pop909", "loops", "lmms", "studio")
SECONDS = 60
EVERY = 5
"""Rows between the windows that are used."""
RIDGE = 2e-3
VOICES = ("en-gb", "en-us+f3", "en+m7", "en-gb+f5", "de", "de+f3", "fr+f2", "es+m1", "it+f4")
SPEEDS = (140, 180)
WORDS = (
    "Good evening and welcome to the venue. The next performance starts in ten minutes. Please keep the gangways clear, and "
    "remember that the bar at the back of the hall closes at half past eleven. If you have left a grey van in the loading "
    "bay, would you kindly move it now. Later on we will have two more acts on this stage. Do not forget your coats. The "
    "tickets for the raffle are on sale at the door, and all of the money goes to the hospital. Thank you very much."
)


def windows(source) -> np.ndarray:
    """(n, clues and their squares) of a source, by the rows that the engine itself keeps."""
    features, ear, watch = FeatureExtractor(source.fmt), Ear(), WireWatch()
    found = []
    for hop, block in enumerate(source):
        if hop >= SECONDS * 100:
            break
        frame = features.process(block)
        if watch.remember(frame, ear.process(frame)) and watch.known == ROWS and hop % (SAMPLE_HOPS * EVERY) < SAMPLE_HOPS:
            measured = clues(watch.rows)
            found.append(np.concatenate([measured, measured**2]))
    return np.array(found)


def music(data: Path) -> list[np.ndarray]:
    """The excerpts that may be looked at."""
    halves = dict(line.split() for line in SPLIT.read_text().splitlines() if line and not line.startswith("#"))
    paths = [path for name in MUSIC_SETS for path in sorted(data.glob(f"{name}/*.ogg"))]
    return [windows(FileSource(p)) for p in paths if halves.get(f"{p.parent.name}/{p.stem}") == "tune"]


def speech() -> list[np.ndarray]:
    """One announcement by many speakers."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (voice, speed) in enumerate(product(VOICES, SPEEDS)):
            path = Path(folder) / f"{number}.wav"
            subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", str(path), WORDS], check=True)
            found.append(windows(FileSource(path)))
    return found


def noises() -> list[np.ndarray]:
    """Hiss of two colours and hum of two mains, at four levels."""
    levels = (-50.0, -40.0, -30.0, -20.0)
    sounds = [noise(12, level, colour, seed=round(-level)) for level, colour in product(levels, ("white", "pink"))]
    sounds += [hum(12, level, mains) for level, mains in product(levels[1:], (50.0, 60.0))]
    return [windows(SynthSource(sound.samples, sound.rate_hz)) for sound in sounds]


def fit(groups: list[list[np.ndarray]]) -> dict[str, np.ndarray]:
    """A linear softmax in which each state weighs the same."""
    rows = np.concatenate([part for group in groups for part in group])
    states = np.concatenate([np.full(sum(map(len, group)), i) for i, group in enumerate(groups)])
    weight = (1 / np.bincount(states))[states]
    weight /= weight.sum()
    mean = weight @ rows
    spread = np.sqrt(weight @ (rows - mean) ** 2) + 1e-6
    inputs = np.c_[(rows - mean) / spread, np.ones(len(rows))]

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(len(STATES), -1)
        scores = inputs @ weights.T
        share = np.exp(scores - scores.max(axis=1, keepdims=True))
        share /= share.sum(axis=1, keepdims=True)
        cost = -(weight * np.log(share[np.arange(len(states)), states] + 1e-12)).sum()
        share[np.arange(len(states)), states] -= 1
        ridge = np.c_[weights[:, :-1], np.zeros(len(STATES))]
        return cost + RIDGE * (ridge**2).sum(), ((share * weight[:, None]).T @ inputs + 2 * RIDGE * ridge).ravel()

    found = minimize(loss, np.zeros(len(STATES) * inputs.shape[1]), jac=True, method="L-BFGS-B").x.reshape(len(STATES), -1)
    matrix = found[:, :-1] / spread
    return {"matrix": matrix, "bias": found[:, -1] - matrix @ mean}


def main() -> None:
    """Listens, fits, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="annotated excerpts (default: %(default)s)")
    args = parser.parse_args()
    np.savez_compressed(OUT, **fit([music(args.data), speech(), noises()]))


if __name__ == "__main__":
    main()
