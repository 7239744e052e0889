"""The promise: each beat once, ahead, corrected at most twice, whatever is believed."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.beat.announcer import Announcer

TWICE, LEAST_LEAD, TOO_NEAR = 2, 10.0, 0.6
"""Corrections of a beat, hops ahead, and of a period between two: the promise, which no constant moves."""

BELIEFS = st.lists(
    st.tuples(st.integers(1, 60), st.floats(-60, 60), st.floats(27, 110)), min_size=1, max_size=40
)


@given(BELIEFS, st.floats(100, 400))
@settings(max_examples=200)
def test_numbers_rise_corrections_are_few_and_leads_long_enough(beliefs, lead_ms):
    announcer, lines, now = Announcer(lead_ms), [], 0.0
    for hops, offset, period in beliefs:
        for _ in range(hops):
            now += 1
            if made := announcer.process(now, now + offset, period):
                lines.append((now, made.number, made.due, made.corrections, period))
    numbers = [number for _, number, *_ in lines]
    assert numbers == sorted(numbers)
    assert set(numbers) == set(range(1, len(set(numbers)) + 1))
    assert all(count <= 1 + TWICE for count in Counter(numbers).values())
    firsts = {}
    for at, number, due, _, _ in lines:
        firsts.setdefault(number, due - at)
        assert due > at
    least = min(LEAST_LEAD, lead_ms / 10 - 2.0)
    assert all(least - 1e-6 <= lead <= lead_ms / 10 + 1e-6 for lead in firsts.values())


@given(BELIEFS)
@settings(max_examples=100)
def test_no_beat_follows_another_too_closely(beliefs):
    announcer, now, before, last = Announcer(150), 0.0, None, None
    for hops, offset, period in beliefs:
        for _ in range(hops):
            now += 1
            made = announcer.process(now, now + offset, period)
            if made and not made.corrections:
                before, last = last, None
            if made:
                assert before is None or made.due - before >= TOO_NEAR * period - 1e-6
                last = made.due


@pytest.fixture
def announcer():
    return Announcer(150)


def test_a_small_move_of_the_phase_is_not_worth_a_message(announcer):
    announcer.process(85.0, 100.0, 50.0)
    assert announcer.process(86.0, 101.0, 50.0) is None


def test_a_larger_move_is_corrected_under_the_same_number(announcer):
    first = announcer.process(85.0, 100.0, 50.0).number
    corrected = announcer.process(88.0, 106.0, 50.0)
    assert (corrected.number, corrected.due, corrected.corrections) == (first, 106.0, 1)


def test_a_correction_brings_no_beat_too_near_to_the_one_before():
    announcer = Announcer(400)
    first = announcer.process(0.0, 40.0, 50.0).due
    second = announcer.process(33.0, first + 32.0, 50.0)
    assert second.due == first + 32.0
    assert announcer.process(34.0, first + 24.0, 50.0) is None
    assert announcer.process(35.0, first + 36.0, 50.0).corrections == 1


def test_the_steady_grid_is_the_line_through_the_beats(announcer):
    for hop in range(2_000):
        wobble = 1.0 if hop // 50 % 2 else -1.0
        announcer.process(float(hop), 7.0 + wobble, 50.0)
    last, period = announcer.steady()
    assert period == pytest.approx(50.0, rel=0.004)
    assert (last - 7.0) % 50 == pytest.approx(0, abs=1.5) or (last - 7.0) % 50 == pytest.approx(50, abs=1.5)


def missed_after(gap, period=50.0):
    """Of a beat `gap` hops after eight that were 50 apart."""
    announcer = Announcer(150)
    for due in range(100, 500, 50):
        announcer.process(due - 15.0, due, 50.0)
    return announcer.process(450 + gap - 15.0, 450 + gap, period).missed


@pytest.mark.parametrize(("gap", "missed"), [(50, 0), (100, 1), (205, 3), (450, 8)])
def test_beats_of_a_break_are_known_to_have_been_missed(gap, missed):
    assert missed_after(gap) == missed


@pytest.mark.parametrize(("gap", "period"), [(75, 50), (125, 50), (100, 100), (210, 100), (500, 50)])
def test_where_the_grid_does_not_go_on_none_was_missed(gap, period):
    assert missed_after(gap, period) == 0
