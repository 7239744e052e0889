"""Fits the model of what is on the wire (k1edge/genesis/wire.npz).

Consumes the tuning half of the annotated excerpts in --data and the arrangements of seeds 0-49 (music), announcements spoken by
espeak-ng in a dozen voices, and generated noise: hiss, hum, and what else a venue sounds like. Emits the weights.
Deterministic; takes about eight minutes, three where the features are in --cache, which `sections.py` fills, too. No excerpt of
the other half and no recorded speech is used: those are for reports.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from collections.abc import Iterable
from functools import partial
from itertools import islice, product
from pathlib import Path

import numpy as np
from heard import DATA, ROOT, SEEDS, heard_excerpt, heard_song, tuning_excerpts
from scipy.optimize import minimize
from venue_sounds import SOUNDS, babble, roughened

from k1edge.audio.files import FileSource
from k1edge.audio.synth import RATE_HZ, SynthSource, hum, noise
from k1edge.dsp.features import FeatureExtractor
from k1edge.frames import HOPS_PER_S, FeatureFrame
from k1edge.genesis.hearing import Ear
from k1edge.genesis.wire import ROWS, SAMPLE_HOPS, STATES, WireWatch, clues

OUT = ROOT / "k1edge/genesis/wire.npz"
MUSIC_SETS = ("fof", "groove", "pop909", "loops", "lmms", "studio")
SECONDS = 60
EVERY, EVERY_OF_SONGS = 5, 50
"""Rows between the windows that are used: songs are long."""
RIDGE = 2e-4
WORTH = np.array([3.0, 1.0, 1.0])
"""Of a window of each state: a breakdown that is called noise ends a song's form, rain that is called music lights a room."""
EACH, LEVELS_DBFS = 6, (-45.0, -15.0)
"""Of each sound of a venue."""
VOICES = ("en-gb", "en-us+f3", "en+m7", "en-gb+f5", "de", "de+f3", "fr+f2", "es+m1", "it+f4")
SPEEDS = (140, 180)
WORDS = (
    "Good evening and welcome to the venue. The next performance starts in ten minutes. Please keep the gangways clear, and "
    "remember that the bar at the back of the hall closes at half past eleven. If you have left a grey van in the loading "
    "bay, would you kindly move it now. Later on we will have two more acts on this stage. Do not forget your coats. The "
    "tickets for the raffle are on sale at the door, and all of the money goes to the hospital. Thank you very much."
)


def windows(frames: Iterable[FeatureFrame], every: int = EVERY) -> np.ndarray:
    """(n, clues and their squares) of what was heard, by the rows that the engine itself keeps."""
    ear, watch = Ear(), WireWatch()
    found = []
    for hop, frame in enumerate(frames):
        if watch.remember(frame, ear.process(frame)) and watch.known == ROWS and hop % (SAMPLE_HOPS * every) < SAMPLE_HOPS:
            measured = clues(watch.rows)
            found.append(np.concatenate([measured, measured**2]))
    return np.array(found)


def beginning(source) -> Iterable[FeatureFrame]:
    """The features of a source's first minute."""
    features = FeatureExtractor(source.fmt)
    return (features.process(block) for block in islice(source, SECONDS * HOPS_PER_S))


def samples_of(path: Path) -> np.ndarray:
    """(n,) of the first minute at RATE_HZ."""
    return np.concatenate([block.samples for block in islice(FileSource(path, rate_hz=RATE_HZ), SECONDS * HOPS_PER_S)])


def music(data: Path, cache: Path | None) -> list[np.ndarray]:
    """The excerpts that may be looked at, as they are and roughened, and the songs."""
    paths = tuning_excerpts(data, MUSIC_SETS)
    found = [windows(heard_excerpt(path, cache).frames()) for path in paths]
    found += all_windows([roughened(samples_of(path), seed) for seed, path in enumerate(paths)])
    return found + [windows(heard_song(seed, cache).frames(), EVERY_OF_SONGS) for seed in SEEDS]


def voices() -> list[np.ndarray]:
    """One announcement by many speakers."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (voice, speed) in enumerate(product(VOICES, SPEEDS)):
            path = Path(folder) / f"{number}.wav"
            subprocess.run(["espeak-ng", "-v", voice, "-s", str(speed), "-w", str(path), WORDS], check=True)
            found.append(samples_of(path))
    return found


def noises(speakers: list[np.ndarray]) -> list[np.ndarray]:
    """Hiss of two colours and hum of two mains at four levels, and each sound of a venue at levels of its own."""
    levels = (-50.0, -40.0, -30.0, -20.0)
    hisses = product(levels, ("white", "pink"), range(EACH // 2))
    sounds = [noise(12, level, colour, seed=round(-level) + seed) for level, colour, seed in hisses]
    sounds += [hum(12, level, mains) for level, mains in product(levels[1:], (50.0, 60.0))]
    found = [sound.samples for sound in sounds]
    for seed, make in product(range(EACH), (*SOUNDS, partial(babble, voices=speakers))):
        rng = np.random.default_rng(seed)
        samples = make(rng)
        found.append(10 ** (rng.uniform(*LEVELS_DBFS) / 20) / samples.std() * samples)
    return found


def all_windows(sounds: list[np.ndarray]) -> list[np.ndarray]:
    """Of each sound."""
    return [windows(beginning(SynthSource(samples, RATE_HZ))) for samples in sounds]


def fit(groups: list[list[np.ndarray]]) -> dict[str, np.ndarray]:
    """A linear softmax in which each state weighs what it is worth."""
    rows = np.concatenate([part for group in groups for part in group])
    states = np.concatenate([np.full(sum(map(len, group)), i) for i, group in enumerate(groups)])
    weight = (WORTH / np.bincount(states))[states]
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
    parser.add_argument("--cache", type=Path, help="a folder that keeps the features for the next time")
    args = parser.parse_args()
    speakers = voices()
    np.savez_compressed(OUT, **fit([music(args.data, args.cache), all_windows(speakers), all_windows(noises(speakers))]))


if __name__ == "__main__":
    main()
