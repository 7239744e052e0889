"""What the form looks like: how a virtual K1's light goes with sections, builds and drops of seeded arrangements.

Consumes the arrangements of --seeds, whose form is known; hears each in stream order with the live engine, drives a virtual K1
and prints one table. Light is the mean linear luminance of the strip, of which 1 is all white.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from k1edge.audio.arrangement import arrangement
from k1edge.audio.synth import SynthSource, Truth
from k1edge.config import Settings
from k1edge.config.rules import PRESETS
from k1edge.k1.palettes import GAMMA, LUMINANCE
from k1edge.programs.portrait import FRAMES_PER_S, perform

SEEN = 1.2
"""Light that is so many times brighter is seen to be; that much darker, 1 / SEEN."""
BARS = 2
CALLED_S = 0.5
SHORTEST_S = 6.0
"""Sections below this have no beginning and end to compare."""


class Lit(NamedTuple):
    """One song's light: mean of the strip, FRAMES_PER_S a second, and what it was to show."""

    light: np.ndarray
    truth: Truth
    called_s: list[float]

    def mean(self, start_s: float, end_s: float) -> float:
        """Over this time."""
        start, end = round(start_s * FRAMES_PER_S), round(end_s * FRAMES_PER_S)
        return float(self.light[start : max(end, start + 1)].mean())

    def around(self, at_s: float) -> tuple[float, float]:
        """The BARS before this bar line, and after."""
        line = int(np.argmin(np.abs(self.truth.downbeats_s - at_s)))
        edges = self.truth.downbeats_s[[max(line - BARS, 0), line, min(line + BARS, len(self.truth.downbeats_s) - 1)]]
        return self.mean(*edges[:2]), self.mean(*edges[1:])


def light_up(seed: int, preset: str) -> Lit:
    """A song of the bench, heard and shown."""
    sound = arrangement(seed)
    shown = perform(SynthSource(sound.samples, sound.rate_hz), Settings(rules={"preset": preset}))
    frames = (np.array(shown.frames, np.float32) / 255) ** GAMMA
    return Lit((frames @ LUMINANCE).mean(axis=1), sound.truth, shown.drops)


def ratios(songs: list[Lit]) -> list[tuple[str, list[float], bool]]:
    """(what is compared, after / before in each place, whether it is to rise)."""
    drops, builds, breakdowns = [], [], []
    for song in songs:
        for drop_s in song.truth.drops_s:
            if any(abs(drop_s - called_s) < CALLED_S for called_s in song.called_s):
                before, after = song.around(drop_s)
                drops.append(after / before)
        for before, span in pairwise(song.truth.sections):
            if span.end_s - span.start_s < SHORTEST_S:
                continue
            if span.label == "build":
                builds.append(song.around(span.end_s)[0] / song.around(span.start_s)[1])
            if span.label == "breakdown":
                breakdowns.append(song.mean(span.start_s, span.end_s) / song.mean(before.start_s, before.end_s))
    return [
        (f"drops that are called: {BARS} bars after / before", drops, True),
        (f"builds: last {BARS} bars / first {BARS}", builds, True),
        ("breakdowns: all of it / what was before", breakdowns, False),
    ]


def print_table(songs: list[Lit]) -> None:
    print(f"{'':<44} {'n':>4} {'median':>7} {'P10':>6} {'P90':>6}   seen as it should be")
    for name, values, rises in ratios(songs):
        if values:
            seen = np.mean(np.array(values) > SEEN if rises else np.array(values) < 1 / SEEN)
            low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
            print(f"{name:<44} {len(values):4} {middle:7.2f} {low:6.2f} {high:6.2f}   {seen:.2f}")
    print("\nlight of a section, median")
    labels: dict[str, list[float]] = {}
    for song in songs:
        for span in song.truth.sections:
            labels.setdefault(span.label, []).append(song.mean(span.start_s, span.end_s))
    for label, values in sorted(labels.items(), key=lambda item: np.median(item[1])):
        print(f"  {label:<10} {np.median(values):.3f}  {'#' * round(200 * float(np.median(values)))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="100:150", help="first:beyond the last (default: %(default)s)")
    parser.add_argument("--preset", choices=PRESETS, default="edm", help="of [rules] (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="songs at a time (default: %(default)s)")
    args = parser.parse_args()
    seeds = range(*map(int, args.seeds.split(":")))
    with ProcessPoolExecutor(args.jobs) as pool:
        print_table(list(pool.map(light_up, seeds, [args.preset] * len(seeds))))


if __name__ == "__main__":
    main()
