"""Hours of music: does memory grow, do descriptors, is a hop late, are the beats as good in the last hour as in the first."""

from __future__ import annotations

import argparse
import gc
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import _soak_live
import numpy as np
import soundfile
from _soak_figures import Report, descriptors, f_measure, growth_mb, own_mb

from k1edge.clock import StreamClock, Timeline, WallClock
from k1edge.config import Settings
from k1edge.daemon.blackbox import BlackBox
from k1edge.dsp.health import LineHealth
from k1edge.frames import HOP_NS, HOPS_PER_S, AudioBlock, StreamFormat
from k1edge.k1.contract import Scribe, Stamp
from k1edge.live.driver import Driver
from k1edge.live.guard import DriftGuard
from k1edge.live.publisher import Publisher
from k1edge.live.selfscore import SelfScore
from k1edge.pipeline import Pipeline

RATE_HZ, SONGS, PAUSE_S = 44_100, 36, 3.0
HOUR_S = 3600.0
WARM_UP_S = HOUR_S
CHUNK_S = 5.0
RENDER = """import sys, numpy, soundfile
from k1edge.audio.arrangement import arrangement
song = arrangement(int(sys.argv[1]))
soundfile.write(sys.argv[2], song.samples, song.rate_hz, "PCM_16")
numpy.save(sys.argv[3], song.truth.beats_s)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=0.0, help="of audio at the highest speed (the acceptance: 24)")
    parser.add_argument("--live-minutes", type=float, default=0.0, help="through the real daemon at real time (60)")
    parser.add_argument("--through", choices=sorted(_soak_live.WAYS), default="server",
                        help="what the daemon listens to: PulseAudio, or an ALSA card (default: %(default)s)")
    parser.add_argument("--report", type=Path, help="write the figures there, too, as they come")
    parser.add_argument("--songs", type=Path, help="a folder to keep the rendered songs in, for the next time")
    parser.add_argument("--seed", type=int, default=100, help="of the first song; 100-149 are nobody's to tune on")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="k1soak") as name:
        songs = rendered(args.songs or Path(name), args.seed, SONGS if args.hours else SONGS // 2)
        report = Report(args.report)
        if args.hours:
            fast(songs, args.hours, report)
        if args.live_minutes:
            _soak_live.run(Path(name), songs, args.live_minutes, report, args.through)
    return 0


def rendered(folder: Path, seed: int, count: int) -> list[tuple[Path, np.ndarray]]:
    """(wav, its beats in s), made in processes of their own so that their memory is not ours."""
    songs = []
    folder.mkdir(parents=True, exist_ok=True)
    for n in range(seed, seed + count):
        wav, beats = folder / f"{n}.wav", folder / f"{n}.npy"
        if not beats.exists():
            subprocess.run([sys.executable, "-c", RENDER, str(n), wav, beats], check=True)
        songs.append((wav, np.load(beats)))
    return songs


def playlist(songs: list[tuple[Path, np.ndarray]], hours: float) -> Iterator[tuple[Path, np.ndarray]]:
    """Shuffled, but for the last hour, which has the songs of the first in the same order."""
    draw, first, played_s = random.Random(0), songs[: max(1, round(12 * min(1.0, hours / 2)))], 0.0
    for song in first:
        played_s += soundfile.info(song[0]).duration + PAUSE_S
        yield song
    one_s = played_s
    while played_s < hours * HOUR_S - one_s:
        for song in draw.sample(songs, len(songs)):
            played_s += soundfile.info(song[0]).duration + PAUSE_S
            yield song
            if played_s >= hours * HOUR_S - one_s:
                break
    if hours * HOUR_S > one_s:
        yield from first


class Fast:
    """The parts of an edge that think, on a clock that is the music's own."""

    def __init__(self) -> None:
        settings = Settings(site="soak", edge="soak", k1={"devices": [{"id": "a"}, {"id": "b", "latency_ms": 20.0}]})
        scribe, self.fmt = Scribe("soak", "soak"), StreamFormat(RATE_HZ)
        self.pipeline, self.clock = Pipeline(settings, self.fmt), StreamClock(self.fmt)
        self.timeline = Timeline(self.clock, WallClock(0, 0, True))
        self.driver, self.publisher = Driver(settings.k1, scribe), Publisher(settings.telemetry, scribe, "soak")
        self.guard, self.health, self.score = DriftGuard(self.fmt), LineHealth(self.fmt), SelfScore()
        self.box = BlackBox(settings, "soak")
        self.hops = self.messages = self.late_wall = self.late_cpu = 0
        self.beats: dict[int, tuple[int, int]] = {}
        """Number -> (heard, due), of the song that is playing."""

    def hear(self, samples: np.ndarray) -> None:
        """One hop."""
        block = AudioBlock(samples, self.hops * self.fmt.hop, 0)
        began_ns, cpu_ns = time.monotonic_ns(), time.thread_time_ns()
        now_ns = (self.hops + 1) * HOP_NS
        self.clock.observe(block.end, now_ns)
        self.box.before(self.pipeline)
        frame = self.pipeline.process(block)
        stamp = Stamp(now_ns // 1_000_000, True, now_ns)
        self.messages += sum(1 for _ in self.driver.process(frame, frame.look, self.timeline, stamp))
        self.messages += sum(1 for _ in self.publisher.process(frame, self.timeline, stamp))
        self.box.after(frame)
        self.health.process(block, frame.features.silent)
        self.guard.process(frame)
        self.score.process(frame)
        self.late_cpu += time.thread_time_ns() - cpu_ns > HOP_NS
        self.late_wall += time.monotonic_ns() - began_ns > HOP_NS
        self.hops += 1
        if (event := frame.beat.announced) is not None and (event.number not in self.beats or frame.end <= event.due):
            self.beats[event.number] = (frame.end, event.due)


def fast(songs: list[tuple[Path, np.ndarray]], hours: float, report: Report) -> None:
    """Everything but the network, as fast as it goes."""
    edge, began_s = Fast(), time.monotonic()
    scores: list[tuple[float, float]] = []
    memory: list[tuple[float, float]] = []
    open_before = told = 0
    for number, (wav, truth_s) in enumerate(playlist(songs, hours)):
        first = edge.hops
        edge.beats.clear()
        for samples in pieces(wav, edge.fmt.hop):
            edge.hear(samples)
        if number == 0:
            gc.collect()
            gc.freeze()
            open_before = descriptors()
        due_s = np.sort([due for _, due in edge.beats.values()]) / RATE_HZ - first / HOPS_PER_S
        at_s = edge.hops / HOPS_PER_S
        scores.append((at_s, f_measure(truth_s, due_s)))
        memory.append((at_s, own_mb()))
        if at_s // HOUR_S > told:
            told = at_s // HOUR_S
            report.write(_line(edge, scores, memory, open_before, time.monotonic() - began_s))
    report.write("FAST, END: " + _line(edge, scores, memory, open_before, time.monotonic() - began_s))


def _line(edge: Fast, scores: list, memory: list, open_before: int, took_s: float) -> str:
    at_s = scores[-1][0]
    warm = [mb for when_s, mb in memory if when_s >= min(WARM_UP_S, at_s / 4)]
    hour = [f for when_s, f in scores if when_s <= HOUR_S + 200], [f for _, f in scores[-12:]]
    return (
        f"{at_s / HOUR_S:.1f} h of audio in {took_s / 60:.1f} min ({at_s / took_s:.1f} x), {edge.messages:,} messages; "
        f"own memory {warm[-1]:.1f} MB, {growth_mb(warm):+.2f} MB since the first hour; "
        f"descriptors {descriptors() - open_before:+d}; "
        f"hops over 10 ms of CPU {edge.late_cpu}, of time {edge.late_wall} in {edge.hops:,}; "
        f"beat F first 12 songs {np.mean(hour[0][:12]):.4f}, last 12 {np.mean(hour[1]):.4f}"
    )


def pieces(wav: Path, hop: int) -> Iterator[np.ndarray]:
    """A song in hops of float32, then a pause; a few seconds in memory at a time."""
    with soundfile.SoundFile(wav) as file:
        for chunk in file.blocks(round(CHUNK_S * HOPS_PER_S) * hop, dtype="float32"):
            for at in range(0, len(chunk) - hop + 1, hop):
                yield chunk[at : at + hop]
    silence = np.zeros(hop, np.float32)
    for _ in range(round(PAUSE_S * HOPS_PER_S)):
        yield silence


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
