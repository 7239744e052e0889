"""Hysteresis, fading and coasting."""

import pytest

from k1edge.beat.belief import Belief
from k1edge.beat.lock import HELD_HOPS, LOCK_AT, RESTS_UP_TO, UNLOCK_AT, Lock
from k1edge.beat.observation import Activation

BEATS, PAD, TALK = Activation(0.9, 0.2, 0.95), Activation(0.03, 0.01, 0.9), Activation(0.05, 0.01, 0.05)
NOTHING = Activation(0.02, 0.01, 0.02)
BARS_OF_A_BREAKDOWN = 64
"""Sixteen were too few for the sets of DJs."""


def believed(mass, none=0.0):
    return Belief(period=25.0, due=10.0, mass=mass, none=none)


def go_on(lock, hops, heard, belief, *novelty):
    """[(locked, coasting)] after each of so many hops in which this is heard and believed."""
    said = []
    for _ in range(hops):
        lock.hear(False, heard, *novelty)
        lock.judge(belief, 0.8, 0.1)
        said.append((lock.locked, lock.coasting))
    return said


def fade(lock, hops, heard, *novelty):
    """Three seconds of a beat that is still believed in, then of none."""
    go_on(lock, 300, heard, believed(0.8), *novelty)
    go_on(lock, hops - 300, heard, believed(0.01, none=0.95), *novelty)


@pytest.fixture
def lock():
    """That has been on a beat for six seconds."""
    lock = Lock()
    go_on(lock, 600, BEATS, believed(1.0))
    lock.announced()
    assert lock.locked
    return lock


def test_lock_is_entered_higher_than_it_is_left():
    lock = Lock()
    lock.hear(False, BEATS)
    between = (LOCK_AT + UNLOCK_AT) / 2
    lock.judge(believed(between), 0.8, 0.1)
    was_unlocked = not lock.locked
    lock.judge(believed(1.0), 0.8, 0.1)
    lock.judge(believed(between), 0.8, 0.1)
    assert was_unlocked and lock.locked
    said = go_on(lock, HELD_HOPS + 1, BEATS, believed(0.0))
    assert [is_locked for is_locked, _ in said] == [True] * HELD_HOPS + [False], "what one onset takes the next may give back"


def test_what_the_network_does_not_hear_as_music_never_locks():
    assert not any(is_locked for is_locked, _ in go_on(Lock(), 1_000, TALK, believed(1.0)))


@pytest.mark.parametrize(("novelty", "coasts"), [(0.02, True), (0.003, False), (0.08, False)], ids=["chords", "hum", "talk"])
def test_held_chords_are_coasted_through_and_hum_and_talk_are_not(lock, novelty, coasts):
    fade(lock, 1_500, NOTHING, novelty)
    assert (lock.coasting, lock.locked) == (coasts, coasts)


def test_the_certainty_that_there_is_no_beat_unlocks(lock):
    said = go_on(lock, HELD_HOPS + 1, BEATS, believed(0.5, none=0.97))
    assert [is_locked for is_locked, _ in said] == [True] * HELD_HOPS + [False], "until it is known whether it is a breakdown"


def test_the_next_beat_of_a_slow_song_is_waited_for_longer_than_a_lock_is_held(lock):
    said = go_on(lock, 101, BEATS, Belief(period=50.0, due=10.0, mass=0.0, none=0.0))
    assert [is_locked for is_locked, _ in said] == [True] * 100 + [False]


def test_the_drop_after_a_breakdown_finds_the_lock_there(lock):
    fade(lock, 1_500, NOTHING, 0.02)
    assert lock.coasting
    assert set(go_on(lock, 100, Activation(0.9, 0.2, 0.02), believed(0.9), 0.1)) == {(True, False)}


def test_what_fades_into_hum_is_no_breakdown(lock):
    said = go_on(lock, 50, NOTHING, believed(0.0, none=0.95), 0.1) + go_on(lock, 350, NOTHING, believed(0.0, none=0.95), 0.0)
    assert not any(coasting for _, coasting in said) and not lock.locked


def test_a_breakdown_is_coasted_through_but_not_for_ever(lock):
    fade(lock, 1_000, PAD)
    assert lock.coasting and lock.locked
    for _ in range(4 * BARS_OF_A_BREAKDOWN):
        assert lock.locked
        lock.announced()
    assert not lock.locked


def test_what_is_no_breakdown_is_given_up_and_a_beat_that_is_heard_is_not(lock):
    lock.give_up()
    assert lock.locked
    go_on(lock, 1_000, PAD, believed(0.8))
    assert lock.coasting
    lock.give_up()
    assert not lock.coasting and not lock.locked


def test_nothing_is_coasted_through_before_the_first_beat():
    assert go_on(Lock(), 600, PAD, believed(0.9))[-1] == (True, False)


def test_the_end_of_the_music_is_not_coasted_through(lock):
    assert go_on(lock, 1_500, TALK, believed(0.01, none=0.99))[-1] == (False, False)


def test_short_rests_leave_the_confidence_alone_and_long_ones_fade_it(lock):
    sure = lock.confidence
    for _ in range(RESTS_UP_TO):
        lock.hear(True, PAD)
    lock.judge(believed(1.0), 0.8, 0.1)
    assert lock.confidence == pytest.approx(sure, rel=0.05) and sure > 0.8
    for _ in range(400):
        lock.hear(True, PAD)
    lock.judge(believed(1.0), 0.8, 0.1)
    assert lock.confidence == pytest.approx(0.135 * sure, rel=0.25)
