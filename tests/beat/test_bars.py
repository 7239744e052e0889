"""Counting: from announced beats only, and changed only by several agreeing votes."""

import numpy as np
import pytest

from k1edge.beat.bar_pointer import metre_table
from k1edge.beat.bars import VOTES, BarCount

PER_BAR, POSITION, _ = metre_table()


def last_passed(metre, place, share=0.9):
    """Probabilities in which the beat last passed is `place` (from 0) of a bar of `metre`."""
    beats = np.full(len(PER_BAR), (1 - share) / (len(PER_BAR) - 1))
    beats[(metre == PER_BAR) & (place % metre == POSITION)] = share
    return beats


@pytest.fixture
def bars():
    return BarCount(PER_BAR, POSITION)


def count(bars, first, beats, metre=4, share=0.9):
    counted = []
    for n in range(first, first + beats):
        bars.next(last_passed(metre, n, share), 1)
        counted.append(bars.shown)
    return counted


def test_the_bar_is_unknown_until_one_count_stands_out(bars):
    bars.next(np.full(len(PER_BAR), 1 / len(PER_BAR)), 1)
    assert bars.shown == (0, 0)


@pytest.mark.parametrize("metre", [2, 3, 4])
def test_it_counts_the_metre(metre):
    counted = count(BarCount(PER_BAR, POSITION), 0, 3 * metre, metre)
    assert [place for place, _ in counted] == [(n + 1) % metre + 1 for n in range(3 * metre)]
    assert {per_bar for _, per_bar in counted} == {metre}


def test_a_single_vote_or_two_change_nothing(bars):
    count(bars, 0, 8)
    for n in range(8, 8 + VOTES - 1):
        bars.next(last_passed(4, n + 2), 1)
        assert bars.shown == ((n + 1) % 4 + 1, 4)
    assert count(bars, 8 + VOTES - 1, 4)[-1] == ((8 + VOTES + 3) % 4 + 1, 4)


def test_votes_that_do_not_agree_with_each_other_change_nothing(bars):
    count(bars, 0, 8)
    for n in range(8, 24):
        bars.next(last_passed(4, n + 1 + n % 3 if n % 3 else n), 1)
        assert bars.shown == ((n + 1) % 4 + 1, 4)


def test_several_agreeing_votes_move_the_count(bars):
    count(bars, 0, 8)
    assert count(bars, 10, VOTES)[-1] == ((10 + VOTES) % 4 + 1, 4)


def test_a_slight_preference_is_not_a_vote(bars):
    count(bars, 0, 8)
    for n in range(8, 30):
        beats = last_passed(4, n, 0.4) + 1.2 * last_passed(4, n + 2, 0.4)
        bars.next(beats, 1)
        assert bars.shown == ((n + 1) % 4 + 1, 4)


def test_a_person_decides_at_once(bars):
    count(bars, 0, 6)
    bars.seat(1)
    assert bars.shown == (2, 4)
    bars.count_on(1)
    assert bars.shown == (3, 4)


@pytest.mark.parametrize("metre", [2, 3, 4, 5])
def test_beats_that_nobody_was_told_of_count(bars, metre):
    count(bars, 0, 6, metre)
    bars.count_on(7)
    assert bars.shown == ((6 + 7) % metre + 1, metre)
