"""Where the bars of a song begin, from the downbeats that are known of it: its metre may change, and downbeats may be missing.

Consumes and emits numbers of beats.
"""

from __future__ import annotations

from itertools import pairwise
from statistics import mode

from k1edge.genesis.grid import BEATS_PER_BAR

LONGEST_BAR = 12
"""Downbeats that are further apart have others between them."""
NEAR = 4
"""Bars to either side that say how long one is between them."""


def bars_between(downbeats: list[int]) -> list[int]:
    """Beats of the bar from each downbeat to the next; 0 where there are several bars between them."""
    spans = [following - first for first, following in pairwise(downbeats)]
    sides = [{*spans[max(n - 1, 0) : n], *spans[n + 1 : n + 2]} for n in range(len(spans))]
    return [0 if _is_several(span, beside) else span for span, beside in zip(spans, sides, strict=True)]


def _is_several(span: int, beside: set[int]) -> bool:
    """Too much for a bar, or several of those on both sides; more than one in a row are bars of their own."""
    return span > LONGEST_BAR or (len(beside) == 1 and span > min(beside) and span % min(beside) == 0)


def bar_lines(downbeats: list[int], beats: int, bars: list[int]) -> list[int]:
    """The first beat of each bar, from the first downbeat to the last of so many beats.

    `bars`: as `bars_between` has them; where they are 0, and after the last downbeat, bars are as long as most around.
    """
    lines: list[int] = []
    for n, ((first, following), bar) in enumerate(zip(pairwise([*downbeats, beats]), [*bars, 0], strict=True)):
        lines += range(first, following, bar or _usual(bars[:n], bars[n + 1 :]))
    return lines


def _usual(before: list[int], after: list[int]) -> int:
    """The nearest before, where as many are longer or shorter."""
    near = [[bar for bar in bars if bar][:NEAR] for bars in (reversed(before), after)]
    return mode([*near[0], *near[1]] or [BEATS_PER_BAR])
