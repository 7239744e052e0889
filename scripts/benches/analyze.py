"""What a whole-track analysis costs: time and memory of a 4-minute song on one core, and the share of each pass."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

from k1edge.audio.arrangement import arrangement
from k1edge.library.worker import Limits

SECONDS = 240.0
RATE_HZ = 44_100
REQUIRED_S, AIM_S, AIM_MB = 90.0, 10.0, 300


def song(path: Path, seconds: float, seed: int) -> None:
    """A song of that length, composed for the purpose; repeated where it is shorter."""
    samples = np.asarray(arrangement(seed, RATE_HZ).samples)
    wanted = round(seconds * RATE_HZ)
    soundfile.write(path, np.tile(samples, -(-wanted // len(samples)))[:wanted], RATE_HZ)


def measure(path: Path, output: Path, memory_mb: int) -> tuple[float, dict[str, float], int]:
    """Wall seconds of the whole process, seconds of each stage, exit code; on one core, within the worker's limits."""
    confined = [sys.executable, "-m", "k1edge.library.confine", str(os.getpid()), str(memory_mb), "0"]
    command = [*confined, sys.executable, "-m", "k1edge", "analyze", str(path), "--job", str(output)]
    began = last = time.monotonic()
    stages, stage = {}, "start"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            report, now = json.loads(line), time.monotonic()
            stages[stage] = stages.get(stage, 0.0) + now - last
            stage, last = report.get("stage", report.get("code", stage)), now
    stages[stage] = stages.get(stage, 0.0) + time.monotonic() - last
    return time.monotonic() - began, stages, process.returncode


def main() -> int:
    """Prints the table; 1 when the analysis failed, or took longer than is required or, of no longer song, more memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="a song of your own, in place of a composed one")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of the composed song (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3)
    args = parser.parse_args()
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    with tempfile.TemporaryDirectory() as folder:
        path = args.file or Path(folder, "song.flac")
        if args.file is None:
            song(path, args.seconds, seed=7)
        duration_s = soundfile.info(str(path)).duration
        runs = [measure(path, Path(folder, "map.json"), Limits().memory_mb) for _ in range(args.runs)]
        size = Path(folder, "map.json").stat().st_size if Path(folder, "map.json").exists() else 0
    took_s, stages, code = min(runs)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    used_s, rss_mb = (used.ru_utime + used.ru_stime) / args.runs, used.ru_maxrss / 1024
    if code:
        print(f"the analysis failed with {code}", file=sys.stderr)
        return 1
    per_4_min = took_s * SECONDS / duration_s
    print(f"{duration_s:.0f} s of music, best of {args.runs}, one core, {Limits().memory_mb} MB of address space")
    print(f"whole process {took_s:6.2f} s   = {per_4_min:.2f} s per 4 min (required {REQUIRED_S:.0f}, aim {AIM_S:.0f})")
    print(f"CPU time      {used_s:6.2f} s   = {used_s * SECONDS / duration_s:.2f} s per 4 min, mean of the runs")
    print(f"peak RSS      {rss_mb:6.0f} MB  (aim {AIM_MB})")
    print(f"map           {size / 1e6:6.2f} MB")
    for name, seconds in stages.items():
        print(f"  {name:12}{seconds:6.2f} s {100 * seconds / took_s:5.1f} %")
    return 0 if per_4_min <= REQUIRED_S and (rss_mb <= AIM_MB or duration_s > SECONDS) else 1


if __name__ == "__main__":
    sys.exit(main())
