"""Caches annotated excerpts as items, to see how a training does on music that it never hears.

Consumes a folder of `<set>/<id>.ogg` with `<id>.beats` beside (`time_s TAB beat_in_bar`), emits OUT/<set>__<id>.npz as
render.py does. Only the tune half of scripts/bench_split.tsv: the report half is never looked at while training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile
from bands import bands
from items import truth

SPLIT = Path(__file__).resolve().parents[1] / "bench_split.tsv"


def beats_of(path: Path) -> np.ndarray:
    """(n, 2) time_s, downbeat: 1 yes, 0 no, -1 where the piece has none known."""
    rows = np.array([line.split() for line in path.read_text().splitlines() if line.strip()], float).reshape(-1, 2)
    down = (rows[:, 1] == 1).astype(float) if (rows[:, 1] == 1).any() else np.full(len(rows), -1.0)
    return np.stack([rows[:, 0], down], axis=1)


def main() -> None:
    """Writes an item for each excerpt of the tune half."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the excerpts")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    halves = dict(line.split() for line in SPLIT.read_text().splitlines() if line and not line.startswith("#"))
    for name in (name for name, half in halves.items() if half == "tune"):
        audio, rate_hz = soundfile.read(options.data / f"{name}.ogg", dtype="float32")
        beats, music = truth(beats_of(options.data / f"{name}.beats"))
        found = bands(audio, rate_hz).astype(np.float16)
        np.savez(options.out / f"{name.replace('/', '__')}.npz", bands=found, beats=beats, music=music, kind=name)


if __name__ == "__main__":
    main()
