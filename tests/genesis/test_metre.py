from itertools import accumulate, pairwise

import pytest

from k1edge.genesis.metre import bar_lines, bars_between


def lengths(downbeats, beats):
    return [b - a for a, b in pairwise(bar_lines(downbeats, beats, bars_between(downbeats)))]


@pytest.mark.parametrize("bars", [
    [4] * 8 + [3] * 8 + [4] * 8,
    [2] * 8 + [4] * 8 + [2] * 8,
    [4] * 8 + [5] + [4] * 8,
    [4] * 8 + [2] + [4] * 8,
    [3] * 8 + [6] * 2 + [3] * 8,
    [4, 3] * 8,
], ids=str)  # fmt: skip
def test_a_metre_that_changes_is_kept(bars):
    downbeats = list(accumulate(bars, initial=0))
    assert lengths(downbeats, downbeats[-1] + 1) == bars


@pytest.mark.parametrize(("spans", "bars"), [
    ([4, 4, 8, 4, 4], [4] * 6),
    ([3, 9], [3] * 4),
    ([4, 4, 24, 4], [4] * 9),
    ([3] * 4 + [4] * 20 + [16] + [4] * 20, [3] * 4 + [4] * 44),
    ([3] * 20 + [15] + [4] * 4, [3] * 25 + [4] * 4),
    ([14], [4, 4, 4, 2]),
], ids=str)  # fmt: skip
def test_bars_whose_downbeats_are_missing_are_like_those_around(spans, bars):
    downbeats = list(accumulate(spans, initial=0))
    assert lengths(downbeats, downbeats[-1] + 1) == bars


@pytest.mark.parametrize(("bars", "after"), [([4] * 4 + [3] * 4, 3), ([3, 3, 3, 4], 3), ([3, 3, 4, 4], 4), ([], 4)])
def test_after_the_last_downbeat_the_bars_go_on(bars, after):
    downbeats = list(accumulate(bars, initial=0))
    assert lengths(downbeats, downbeats[-1] + 30)[len(bars):] == [after] * (29 // after)
