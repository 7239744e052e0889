"""Renders training items and caches their features: one .npz an item, the same for the same seed and index.

Consumes the MIDI and the sounds named on the command line; emits OUT/<index>.npz with bands (hops, 40) float16 at 100 Hz,
beats and music (see items.py).
"""

from __future__ import annotations

import argparse
import pickle
import subprocess
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from bands import bands
from items import TAKES, Scores, Stage, draw
from kits import RATE_HZ, load_kits
from scores import list_groove
from sound import Bank

VOICES = (
    "en-gb",
    "en-us",
    "en-gb-scotland",
    "de",
    "fr-fr",
    "es",
    "it",
    "pt-br",
    "nl",
    "sv",
    "pl",
    "ru",
    "tr",
    "hi",
    "id",
    "el",
)
VARIANTS = ("", "+m1", "+m3", "+m7", "+f1", "+f2", "+f4", "+whisper", "+croak")


def speak(rng: np.random.Generator, words: list[str], path: Path) -> np.ndarray:
    """Random words of a text, read by a random voice."""
    start = rng.integers(len(words) - 60)
    voice = f"{rng.choice(VOICES)}{rng.choice(VARIANTS)}"
    command = ["espeak-ng", "-v", voice, "-s", str(rng.integers(110, 230)), "-p", str(rng.integers(10, 90)), "-w", str(path)]
    subprocess.run([*command, " ".join(words[start : start + int(rng.integers(20, 60))])], check=True, capture_output=True)
    import soundfile
    from scipy.signal import resample_poly

    samples, rate_hz = soundfile.read(path)
    return (resample_poly(samples, RATE_HZ // 50, rate_hz // 50) * 0.9 / max(np.abs(samples).max(), 1e-3)).astype(np.float32)


def load_bank(options: argparse.Namespace) -> Bank:
    """Kits, soundfonts and speech; kept in OUT's parent, as collecting them takes a minute."""
    kept = options.out.parent / f"bank-{options.seed}.pickle"
    if kept.exists():
        return pickle.loads(kept.read_bytes())
    rng = np.random.default_rng(options.seed)
    words = options.text.read_text().split()
    speech = [speak(rng, words, options.out.parent / "speech.wav") for _ in range(150)]
    kits = load_kits(
        {"hydrogen": options.hydrogen, "sonic_pi": options.sonic_pi, "soundfonts": options.soundfont}, options.seed
    )
    bank = Bank(kits, options.soundfont, speech)
    kept.write_bytes(pickle.dumps(bank))
    return bank


def render_one(index: int) -> str:
    """Draws, analyses and writes one item; what is there already is kept."""
    path = OPTIONS.out / f"{index:05d}.npz"
    if not path.exists():
        item = draw(index, OPTIONS.seed, STAGE, OPTIONS.metronomes)
        found = bands(item.audio)
        partial = path.with_suffix(".part.npz")
        np.savez(partial, bands=found.astype(np.float16), beats=item.beats, music=item.music, kind=item.kind)
        partial.rename(path)
    return path.name


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--midi", type=Path, required=True, help="folder with pop909/ and groove/")
    parser.add_argument("--hydrogen", type=Path, required=True, help="folder of Hydrogen drum kits (Debian hydrogen-drumkits)")
    parser.add_argument("--sonic-pi", type=Path, required=True, help="folder of samples (Debian sonic-pi-samples)")
    parser.add_argument("--soundfont", type=Path, nargs="+", required=True, help="General MIDI soundfonts")
    parser.add_argument("--text", type=Path, default=Path("/usr/share/common-licenses/GPL-3"), help="what the voices read")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=100, help="items of about a minute")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--metronomes", action="store_true", help="clicks on the beat and little else, in place of music")
    parser.add_argument("--jobs", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    OPTIONS = parse()
    OPTIONS.out.mkdir(parents=True, exist_ok=True)
    scores = Scores(
        sorted((OPTIONS.midi / "pop909").glob("*.mid")), OPTIONS.midi / "groove", list_groove(OPTIONS.midi / "groove")
    )
    STAGE = Stage(load_bank(OPTIONS), scores)
    with Pool(OPTIONS.jobs) as pool:  # forked: the bank is shared, not copied
        for done, _ in enumerate(
            pool.imap_unordered(render_one, range(OPTIONS.first, OPTIONS.first + OPTIONS.count), TAKES), 1
        ):
            if done % 50 == 0:
                print(done, "of", OPTIONS.count, flush=True)
