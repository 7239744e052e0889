"""Writes a minute each of free music whose truth is exact, to judge by: tracker modules of Debian's games, projects of LMMS.

Consumes a folder of unpacked packages (`apt-get download`, `dpkg-deb -x`) and one of rendered projects, emits OUT/<kind><n>.wav
with .beats beside, as `scripts/bench beats --data` reads them. Nothing is trained on them. The truth is from

    modules     the rows of the tracker that plays them (libopenmpt): four to a beat, or as many as make a tempo that people tap
    projects    the grid that was composed on: the .head beside, of `lmms --dump`, has tempo and metre

Projects that are among the annotated excerpts (scripts/bench_split.tsv) are left out.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import re
from dataclasses import dataclass, replace
from math import gcd
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

RATE_HZ = 44_100
PART_S, SHORTEST_S, LONGEST_S = 60.0, 25.0, 300.0
FROM_S = 30.0
"""Where the minute to judge by begins: most pieces have an introduction."""
MODULES = {".mod", ".xm", ".it", ".s3m"}
SPLIT = Path(__file__).resolve().parents[1] / "bench_split.tsv"


@dataclass(frozen=True)
class Piece:
    """Mono samples at RATE_HZ; beats rows (time_s, downbeat 1, 0 or -1 not known)."""

    name: str
    samples: np.ndarray
    beats: np.ndarray


def read(path: Path) -> np.ndarray:
    """(n,) mono float32 at RATE_HZ, the first LONGEST_S."""
    with soundfile.SoundFile(path) as file:
        audio, rate_hz = file.read(int(LONGEST_S * file.samplerate), dtype="float32", always_2d=True), file.samplerate
    audio = audio.mean(axis=1)
    if rate_hz != RATE_HZ:
        shared = gcd(rate_hz, RATE_HZ)
        audio = resample_poly(audio, RATE_HZ // shared, rate_hz // shared).astype(np.float32)
    return audio


def module(path: Path) -> Piece:
    """Plays a tracker module, and notes when each row begins. Raises ValueError where it is none."""
    mpt = ctypes.CDLL(ctypes.util.find_library("openmpt"))
    mpt.openmpt_module_create_from_memory2.restype = ctypes.c_void_p
    mpt.openmpt_module_get_current_estimated_bpm.restype = ctypes.c_double
    mpt.openmpt_module_read_float_mono.restype = ctypes.c_size_t
    data = path.read_bytes()
    handle = mpt.openmpt_module_create_from_memory2(data, ctypes.c_size_t(len(data)), *[None] * 7)
    if not handle:
        raise ValueError("not a module")
    song = ctypes.c_void_p(handle)
    count = RATE_HZ // 400
    buffer, blocks, rows, last = (ctypes.c_float * count)(), [], [], None
    while len(blocks) * count < LONGEST_S * RATE_HZ:
        got = mpt.openmpt_module_read_float_mono(song, ctypes.c_int32(RATE_HZ), ctypes.c_size_t(count), buffer)
        if not got:
            break
        where = mpt.openmpt_module_get_current_order(song), mpt.openmpt_module_get_current_row(song)
        if where != last:
            pattern = mpt.openmpt_module_get_current_pattern(song)
            height = mpt.openmpt_module_get_pattern_num_rows(song, ctypes.c_int32(pattern))
            rows.append((len(blocks) * count / RATE_HZ, where[1], height, mpt.openmpt_module_get_current_estimated_bpm(song)))
            last = where
        blocks.append(np.array(buffer[:got], np.float32))
    mpt.openmpt_module_destroy(song)
    if len(rows) < 64:
        raise ValueError("too short")
    return Piece(path.stem, np.concatenate(blocks), beats_of_rows(np.array(rows)))


def beats_of_rows(rows: np.ndarray) -> np.ndarray:
    """(n, 4) time_s, row, rows of its pattern, bpm at four rows a beat -> beats, at a level people tap."""
    bpm = float(np.median(rows[:, 3]))
    each = 4
    while bpm * 4 / each > 180:
        each *= 2
    while bpm * 4 / each < 65:
        each //= 2
    bars = 16 if (rows[:, 2] % 16 == 0).mean() > 0.9 else 12 if (rows[:, 2] % 12 == 0).mean() > 0.9 else 0
    on = rows[:, 1] % each == 0
    down = (rows[on, 1] % bars == 0).astype(float) if bars else np.full(on.sum(), -1.0)
    return np.stack([rows[on, 0], down], axis=1)


def project(path: Path) -> Piece:
    """A rendered LMMS project, its tempo in the .head beside it. Raises ValueError where there is none."""
    head = path.with_suffix(".head").read_text()
    found = {key: re.search(rf'{key}="(\d+)"', head) for key in ("bpm", "timesig_numerator", "timesig_denominator")}
    if not all(found.values()):
        raise ValueError("no constant tempo in its head")
    bpm, over, under = (int(match[1]) for match in found.values())
    samples, beat_s = read(path), 60 / bpm
    times_s = np.arange(0, len(samples) / RATE_HZ, beat_s)
    bar = over * 4 / under
    down = (np.arange(len(times_s)) % bar == 0).astype(float) if bar == int(bar) else np.full(len(times_s), -1.0)
    return Piece(path.stem, samples, np.stack([times_s, down], axis=1))


def judge_by(piece: Piece, folder: Path) -> str:
    """Writes the minute and its truth."""
    start = min(FROM_S * RATE_HZ, max(len(piece.samples) - PART_S * RATE_HZ, 0))
    part = piece.samples[int(start) : int(start + PART_S * RATE_HZ)]
    if len(part) < SHORTEST_S * RATE_HZ:
        return "left out: too short"
    beats = piece.beats - np.array([start / RATE_HZ, 0])
    beats = beats[(beats[:, 0] >= 0) & (beats[:, 0] < len(part) / RATE_HZ)]
    soundfile.write(folder / f"{piece.name}.wav", part, RATE_HZ)
    lines = [f"{time_s:.4f}\t{1 if down == 1 else 0}" for time_s, down in beats]
    (folder / f"{piece.name}.beats").write_text("\n".join(lines) + "\n")
    return f"{len(lines)} beats"


def make(job: tuple[int, Path, argparse.Namespace]) -> str:
    """One file; one line of what became of it."""
    number, path, options = job
    kind = "module" if path.suffix.lower() in MODULES else "project"
    try:
        piece = replace((module if kind == "module" else project)(path), name=f"{kind}{number:04d}")
        result = judge_by(piece, options.out)
    except (ValueError, OSError, soundfile.LibsndfileError) as fault:
        result = f"left out: {fault}"
    return f"{kind} {path.name}: {result}"


def main() -> None:
    """Writes the minutes, a line for each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True, help="folder of unpacked packages")
    parser.add_argument("--projects", type=Path, required=True, help="folder of rendered LMMS projects (.ogg) with their .head")
    parser.add_argument("--out", type=Path, required=True, help="one folder of a data folder, as of any set")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    modules = (path for path in options.packages.rglob("*") if path.is_file() and path.suffix.lower() in MODULES)
    annotated = {line.split()[0] for line in SPLIT.read_text().splitlines() if line and not line.startswith("#")}
    projects = (path for path in options.projects.glob("*.ogg") if f"lmms/{path.stem}" not in annotated)
    files = [*sorted(projects), *sorted(modules)]
    with Pool(options.jobs) as pool:
        for line in pool.imap(make, [(n, path, options) for n, path in enumerate(files)]):
            print(line, flush=True)


if __name__ == "__main__":
    main()
