"""All annotated excerpts as one stream in random order: how fast the tracker finds each anew, and whether it ever gets stuck.

Consumes a folder as `bench beats` does; one tracker hears everything without a break, like a venue. With --hops, it goes on
hearing until so many hops have passed, and tells how the memory grew.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _beat_metrics import HIT_S, lock_time
from _excerpts import DATA, Item, items
from mir_eval.beat import f_measure

from k1edge.audio.files import FileSource
from k1edge.beat.tracker import make_tracker
from k1edge.config import BeatSettings
from k1edge.config.settings import ENGINES, OWN_ENGINE
from k1edge.dsp.features import FeatureExtractor
from k1edge.frames import HOPS_PER_S, AudioBlock, StreamFormat
from k1edge.system.machine import rss_mb

RATE_HZ = 44_100
SETTLED = 5 * HOPS_PER_S
"""Figures of accuracy begin as late in each excerpt as those of `bench beats`."""
WARM_HOPS = 60 * HOPS_PER_S


@dataclass(slots=True)
class Heard:
    """One excerpt in the stream; times in s from its own beginning."""

    item: Item
    seconds: float
    due_s: np.ndarray

    @property
    def relock_s(self) -> float:
        """From its first beat to four right ones in a row; inf if never."""
        return lock_time(self.item.truth_s, self.due_s)

    @property
    def f70(self) -> float:
        """After the first 5 s."""
        late = [times[times > SETTLED / HOPS_PER_S] for times in (self.item.truth_s, self.due_s)]
        return float(f_measure(*late, f_measure_threshold=HIT_S)) if all(map(len, late)) else 0.0


class Stream:
    """One tracker, and one hop after another."""

    def __init__(self, engine: str) -> None:
        self.fmt = StreamFormat(RATE_HZ)
        self._features = FeatureExtractor(self.fmt)
        self._tracker = make_tracker(BeatSettings(engine=engine), self.fmt)
        self.hops = 0

    def hear(self, item: Item) -> Heard:
        """The whole of an excerpt; its beats are the last word on each number."""
        began, due, seconds = self.hops, {}, self.fmt.seconds
        for block in FileSource(item.path, rate_hz=RATE_HZ):
            block = AudioBlock(block.samples, self.hops * self.fmt.hop, 0)
            self.hops += 1
            event = self._tracker.process(block, self._features.process(block)).announced
            if event:
                due[event.number] = seconds(event.due) - began / HOPS_PER_S
        length_s = (self.hops - began) / HOPS_PER_S
        return Heard(item, length_s, np.array([t for t in sorted(due.values()) if 0 <= t < length_s]))


def shuffled(work: list[Item], seed: int) -> Iterator[Item]:
    """All of them in random order, again and again."""
    rng = np.random.default_rng(seed)
    while True:
        for number in rng.permutation(len(work)):
            yield work[number]


def report(heard: list[Heard]) -> None:
    """Re-lock, accuracy and phantom beats over the stream."""
    music = [one for one in heard if len(one.item.truth_s) > 4]
    relock_s = np.array([one.relock_s for one in music])
    print(f"{len(music)} changes to music in {sum(one.seconds for one in heard) / 3600:.2f} h")
    median, p75, p90 = np.percentile(relock_s, [50, 75, 90], method="higher")  # of what never came nothing is a mean
    print(f"re-lock, s: median {median:.1f}  P75 {p75:.1f}  P90 {p90:.1f}; never {np.isinf(relock_s).sum()} of {len(music)}")
    print(f"F70 from 5 s after each change: {np.mean([one.f70 for one in music]):.3f}")
    stuck = longest = 0
    for lost in np.isinf(relock_s):
        stuck = stuck + 1 if lost else 0
        longest = max(longest, stuck)
    print(f"most excerpts in a row without four right beats: {longest}")
    for one in heard:
        if not len(one.item.truth_s):
            late = one.due_s[one.due_s > SETTLED / HOPS_PER_S]
            print(f"{one.item.name}: {60 * len(late) / one.seconds:.1f} beats a minute from 5 s after the music ended")


def main() -> int:
    """Hears, scores, prints."""
    parser = argparse.ArgumentParser(prog="scripts/bench stream", description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA, help="default: %(default)s")
    parser.add_argument("--split", choices=("tune", "report"), help="only this half of scripts/bench_split.tsv")
    parser.add_argument("--engine", default=OWN_ENGINE, choices=ENGINES)
    parser.add_argument("--hours", type=float, default=2.0, help="of stream that is scored (default: %(default)s)")
    parser.add_argument("--hops", type=int, default=0, help="go on until so many hops, and tell how the memory grew")
    parser.add_argument("--seed", type=int, default=1, help="of the order (default: %(default)s)")
    parser.add_argument("--items", action="store_true", help="also one line per excerpt")
    args = parser.parse_args()
    work = items(args.data, args.split)
    if not work:
        print(f"scripts/bench stream: no annotated excerpts below {args.data}", file=sys.stderr)
        return 2
    stream, heard, began_s = Stream(args.engine), [], time.process_time()
    order, warm_mb = shuffled(work, args.seed), 0.0
    while stream.hops < args.hours * 3600 * HOPS_PER_S:
        heard.append(stream.hear(next(order)))
        warm_mb = warm_mb or (rss_mb() if stream.hops > WARM_HOPS else 0.0)
    if args.items:
        for one in heard:
            print(f"{one.item.name}\tre-lock {one.relock_s:.1f} s\tF70 {one.f70:.3f}\t{len(one.due_s)} beats")
    report(heard)
    while stream.hops < args.hops:
        stream.hear(next(order))
    spent_s = time.process_time() - began_s
    print(f"{stream.hops:,} hops at {1000 * spent_s / stream.hops * HOPS_PER_S:.1f} ms/s with decoding; "
          f"memory {warm_mb:.1f} MB after a minute, {rss_mb():.1f} MB at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
