"""500 files of every kind through the real queue, killed fifty times on the way: nothing lost, nothing done twice.

Consumes nothing but, where they are, the annotated excerpts (--data), of which the good files are pieces.
"""

from __future__ import annotations

import argparse
import collections
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from _excerpts import DATA

from k1edge.audio.synth import four_on_the_floor
from k1edge.library.errors import LibraryError
from k1edge.library.jobs import Jobs
from k1edge.library.rules import Rules
from k1edge.library.search import Query
from k1edge.library.store import Library

REAL_SETS = ("fof", "lmms", "pop909", "studio")
REAL_S = (12, 20)
WITHOUT_A_PULSE = {"choir_hymn_66"}
"""In twenty seconds of it no beat is found: NO_MUSIC, which says nothing of the queue."""
NAMES = ("song", "песня", "曲", "노래", "أغنية", "שיר", "τραγούδι", "गीत", "เพลง", "chanson été", "a b'c\"d", "🎵")
ANALYSIS = [sys.executable, "-m", "k1edge", "analyze"]
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
STEP_S = 0.02


def fill(music: Path, count: int, draw: random.Random, data: Path) -> dict[str, str]:
    """`count` files; what is to become of each: `completed`, the code of its failure, or of its refusal."""
    real = sorted(path for name in REAL_SETS for path in (data / name).glob("*.ogg") if path.stem not in WITHOUT_A_PULSE)
    floor = {bpm: four_on_the_floor(bpm, 16.0, 44_100).samples for bpm in (96.0, 124.0, 140.0)}
    expected: dict[str, str] = {}
    bad = ("silence", "blink", "torn", "wrong extension", "empty", "text", "long", "unreadable")
    kinds = ("good", "real", "real", "real", *bad)
    for n in range(count):
        kind = kinds[n % len(kinds)]
        name = f"{NAMES[n % len(NAMES)]} {n}"
        gain = 0.3 + 0.5 * draw.random()
        if kind == "real" and real:
            expected.update([_piece(music, name, draw.choice(real), draw)])
            continue
        kind = "good" if kind == "real" else kind
        samples = floor[draw.choice(list(floor))][: 44_100 * draw.randint(8, 16)] * gain
        expected.update([_make(music, name, kind, samples)])
    return expected


def _piece(music: Path, name: str, excerpt: Path, draw: random.Random) -> tuple[str, str]:
    """Some seconds of an annotated excerpt, in one of the formats."""
    samples, rate_hz = soundfile.read(excerpt, dtype="float32")
    length = draw.randint(*REAL_S) * rate_hz
    first = draw.randrange(max(len(samples) - length, 1))
    path = music / f"{name}.{draw.choice(('wav', 'flac', 'ogg', 'mp3'))}"
    soundfile.write(path, samples[first : first + length] * draw.uniform(0.5, 1.0), rate_hz)
    return path.name, "completed"


def _make(music: Path, name: str, kind: str, samples: np.ndarray) -> tuple[str, str]:
    path = music / f"{name}.flac"
    noise = np.random.default_rng(len(name)).bytes(64)
    match kind:
        case "good":
            soundfile.write(path, samples, 44_100)
            return path.name, "completed"
        case "wrong extension":
            path = music / f"{name}.mp3"
            soundfile.write(path, samples, 44_100, format="OGG")
            return path.name, "completed"
        case "silence":
            soundfile.write(path, np.zeros(44_100 + 441 * int(name.split()[-1])), 44_100)  # the same audio is the same track
            return path.name, "NO_MUSIC"
        case "blink":
            soundfile.write(path, samples[:44_100], 44_100)
            return path.name, "NO_MUSIC"
        case "torn":
            soundfile.write(path, samples, 44_100)
            whole = path.read_bytes()
            path.write_bytes(whole[:4] + noise + whole[68:2000])
            return path.name, "INVALID_FILE_FORMAT"
        case "long":
            path = music / f"{name}.wav"
            soundfile.write(path, np.zeros(10), 44_100, subtype="PCM_16")
            os.truncate(path, 44 + 3 * 3600 * 44_100 * 2)  # three hours, and nearly nothing on the disk
            return path.name, "FILE_TOO_LARGE"
    path.write_bytes({"empty": b"", "text": b"dear sound " + noise, "unreadable": b"fLaC"}[kind])
    if kind == "unreadable":
        path.unlink()
        path.symlink_to("/proc/self/mem")
        return path.name, "FILE_NOT_ALLOWED"
    return path.name, "INVALID_FILE_FORMAT"


def work_off(state: Path, music: Path, names: list[str]) -> None:
    """The process that is killed: submits what is new, then works until the queue is empty."""
    library = Library(state)
    jobs = Jobs(library, Rules(music, ANALYSIS), report=lambda job: None)
    for name in names:
        try:
            jobs.submit(name)
        except LibraryError as fault:
            print(f"{fault.code}\t{name}", flush=True)
    print("ready", flush=True)
    while jobs.counts()["queued"] or jobs.counts()["active"]:
        jobs.step()
        time.sleep(STEP_S)


def check(state: Path) -> None:
    """Raises AssertionError when anything half-written can be read."""
    library = Library(state)
    assert library.db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    for (track,) in library.db.execute("SELECT id FROM tracks WHERE version IS NOT NULL").fetchall():
        library.read(track)
    library.close()


def outcome(state: Path) -> tuple[dict[str, str], list[int]]:
    """What became of each file, and how many versions each finished track has."""
    library = Library(state)
    found = {}
    for row in library.db.execute("SELECT path, state, code, reason FROM jobs").fetchall():
        name = Path(os.fsdecode(row["path"])).name
        found[name] = row["code"] or row["state"]
        if row["code"] == "ANALYSIS_FAILED":
            print(f"  {name}: {row['reason']}")
    tracks = [t["id"] for offset in range(0, 10_000, 200) for t in library.search(Query(limit=200, offset=offset)).tracks]
    versions = [len(library.versions(track)) for track in tracks if library.get(track)["version"]]
    library.close()
    return found, versions


def main() -> int:
    """Prints what became of the files; 1 when a job was lost, done twice, or ended wrongly."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=500)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=DATA, help="annotated excerpts (default: %(default)s)")
    parser.add_argument("--work", nargs=2, metavar=("STATE", "MUSIC"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work_off(Path(args.work[0]), Path(args.work[1]), [line.rstrip("\n") for line in sys.stdin])
        return 0
    draw, began_s = random.Random(args.seed), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        music, state = Path(folder, "music"), Path(folder, "state")
        music.mkdir()
        expected = fill(music, args.files, draw, args.data)
        print(f"{args.files} files made in {time.monotonic() - began_s:.0f} s", flush=True)
        command = [sys.executable, __file__, "--work", str(state), str(music)]
        refused, kills = _through(command, list(expected), state, args.kills, draw)
        found, versions = outcome(state)
    found |= refused
    wrong = {name: (expected[name], found.get(name, "lost")) for name in expected if found.get(name) != expected[name]}
    print(f"killed {kills} times; {time.monotonic() - began_s:.0f} s")
    for result, number in collections.Counter(found.values()).most_common():
        print(f"  {number:4} {result}")
    print(f"lost {sum(pair[1] == 'lost' for pair in wrong.values())}, done twice {sum(n > 1 for n in versions)}")
    for name, (wanted, got) in list(wrong.items())[:20]:
        print(f"  {name}: {got}, should be {wanted}")
    return 1 if wrong or any(n > 1 for n in versions) else 0


def _through(command: list[str], names: list[str], state: Path, most: int, draw: random.Random) -> tuple[dict[str, str], int]:
    """Works off the queue with `most` kills at random moments; what was refused at the door, and how often it was killed."""
    refused: dict[str, str] = {}
    kills, waiting = 0, names
    while True:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ONE_THREAD)
        process.stdin.write("".join(f"{name}\n" for name in waiting))
        process.stdin.close()
        while (line := process.stdout.readline()) not in ("ready\n", ""):
            code, _, name = line.rstrip("\n").partition("\t")
            refused[name] = code
        waiting = []
        try:
            process.wait(draw.uniform(0.05, 8.0) if kills < most else None)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            kills += 1
            check(state)
        process.stdout.close()
        if process.returncode == 0:
            return refused, kills


if __name__ == "__main__":
    sys.exit(main())
