"""Figures of one item: what was announced against what was true. All times in s.

The standard measures are mir_eval's, after the first 5 s; the on-line ones (lock, metrical level, light) are defined here.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from mir_eval import beat as mir
from mir_eval.util import match_events

warnings.filterwarnings("ignore", module="mir_eval")

TRIM_S = 5.0
HIT_S = 0.070
LIGHT_LATENCY_S = 0.060
"""Network and LED."""
RIGHT_IN_A_ROW = 4
LEVELS = np.array([1 / 4, 1 / 3, 1 / 2, 2 / 3, 1, 3 / 2, 2, 3, 4])
LEVEL_WITHIN = 0.12
LEVEL_HELD = 3


@dataclass(frozen=True, slots=True)
class Announced:
    """One line of an engine."""

    heard_s: float
    due_s: float
    number: int
    in_bar: int = 0
    confidence: float = 1.0
    signs: tuple[float, ...] = ()
    """What the confidence was computed from."""


@dataclass(slots=True)
class Run:
    """All an engine said of one item, and what it cost."""

    lines: list[Announced]
    duration_s: float
    cpu_s: float
    locks: int = 0
    worst_hops_ms: list[float] = field(default_factory=list)


def final_beats(lines: list[Announced]) -> list[Announced]:
    """Each number once, with the last due it was given before that due: what a light shows."""
    beats: dict[int, Announced] = {}
    for line in lines:
        if line.number not in beats or line.heard_s <= line.due_s:
            beats[line.number] = line
    return sorted(beats.values(), key=lambda b: b.due_s)


def figures(truth_s: np.ndarray, in_bar: np.ndarray, run: Run) -> dict[str, float]:
    """Every figure of one item; nan where it is not defined."""
    beats = final_beats(run.lines)
    due = np.array([b.due_s for b in beats])
    shown = np.sort([max(b.due_s, b.heard_s + LIGHT_LATENCY_S) for b in beats])
    common = {"cpu_ms_per_s": 1000 * run.cpu_s / run.duration_s, "duration_s": run.duration_s}
    if len(truth_s) < RIGHT_IN_A_ROW:
        return common | {"phantom_per_min": 60 * len(due) / run.duration_s}
    truth, heard, every = (mir.trim_beats(t, TRIM_S) for t in (truth_s, due, np.sort([x.due_s for x in run.lines])))
    continuity = mir.continuity(truth, heard) if min(len(truth), len(heard)) > 1 else (0, 0, 0, 0)
    down, heard_down = truth_s[in_bar == 1], np.array([b.due_s for b in beats if b.in_bar == 1])
    return common | {
        "f70": _f(truth, heard, HIT_S),
        "f35": _f(truth, heard, HIT_S / 2),
        "f70_lines": _f(truth, every, HIT_S),
        "cmlt": continuity[1],
        "amlt": continuity[3],
        "down_f": _f(mir.trim_beats(down, TRIM_S), mir.trim_beats(heard_down, TRIM_S), HIT_S) if len(down) else np.nan,
        "light_f": _f(truth, mir.trim_beats(shown, TRIM_S), HIT_S),
        "lock_s": lock_time(truth_s, due),
        "relocks": max(run.locks - 1, 0),
        "switches": level_switches(truth_s, due),
        "corrections": (len(run.lines) - len(beats)) / max(len(beats), 1),
        "bias_ms": _bias_ms(truth, heard),
    }


def judged(truth_s: np.ndarray, run: Run) -> list[tuple[Announced, bool]]:
    """Each beat due while the piece plays, and whether a true beat lies within HIT_S."""
    beats = final_beats(run.lines)
    if not len(truth_s):
        return [(b, False) for b in beats]
    inside = [b for b in beats if truth_s[0] - HIT_S <= b.due_s <= truth_s[-1] + HIT_S]
    return [(b, bool(np.abs(truth_s - b.due_s).min() <= HIT_S)) for b in inside]


def lock_time(truth: np.ndarray, heard: np.ndarray) -> float:
    """From the first true beat to the first of four right ones in a row with none between; inf if never."""
    matched = _matched(truth, heard, HIT_S)
    steps = [(a[0] + 1, a[1] + 1) == b for a, b in pairwise(matched)]
    for first in range(len(steps) - RIGHT_IN_A_ROW + 2):
        if all(steps[first : first + RIGHT_IN_A_ROW - 1]):
            return float(truth[matched[first][0]] - truth[0])
    return float("inf")


def level_switches(truth: np.ndarray, heard: np.ndarray) -> int:
    """Changes between metrical levels that were each held for LEVEL_HELD intervals."""
    heard = heard[(heard >= truth[0] - 0.5) & (heard <= truth[-1] + 0.5)]
    if len(heard) < 2:
        return 0
    held: list[float] = []
    length, before = 0, np.nan
    for level in _levels(truth, heard):
        length = length + 1 if level == before else 1
        before = level
        if length == LEVEL_HELD and not np.isnan(level) and (not held or held[-1] != level):
            held.append(level)
    return max(len(held) - 1, 0)


def _levels(truth: np.ndarray, heard: np.ndarray) -> np.ndarray:
    """Tempo ratio of each heard interval to the true ones round it, snapped to LEVELS; nan = none of them."""
    interval = np.maximum(np.diff(heard), 1e-3)
    true = np.diff(truth)
    median = np.array([np.median(true[max(0, i - 2) : i + 3]) for i in range(len(true))])
    at = np.clip(np.searchsorted(truth, heard[:-1] + interval / 2) - 1, 0, len(true) - 1)
    ratio = median[at] / interval
    nearest = LEVELS[np.abs(np.log(ratio[:, None] / LEVELS)).argmin(axis=1)]
    return np.where(np.abs(ratio / nearest - 1) < LEVEL_WITHIN, nearest, np.nan)


def _f(truth: np.ndarray, heard: np.ndarray, within_s: float) -> float:
    if not len(truth) or not len(heard):
        return float(len(truth) == len(heard))
    return float(mir.f_measure(truth, heard, f_measure_threshold=within_s))


def _matched(truth: np.ndarray, heard: np.ndarray, within_s: float) -> list[tuple[int, int]]:
    return sorted(match_events(truth, heard, within_s)) if len(truth) and len(heard) else []


def _bias_ms(truth: np.ndarray, heard: np.ndarray) -> float:
    """Median error of the matched beats; + = late."""
    errors = [heard[j] - truth[i] for i, j in _matched(truth, heard, 2 * HIT_S)]
    return 1000 * float(np.median(errors)) if errors else np.nan
