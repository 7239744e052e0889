"""Hysteresis, fading and coasting."""

import pytest

from k1edge.beat.belief import Belief
from k1edge.beat.lock import HELD_HOPS, LOCK_AT, RESTS_UP_TO, UNLOCK_AT, Lock
from k1edge.beat.observation import Activation

BEATS, PAD, TALK = Activation(0.9, 0.2, 0.95), Activation(0.03, 0.01, 0.9), Activation(0.05, 0.01, 0.05)


BARS_OF_A_BREAKDOWN = 64
"""Sixteen were too few for the sets of DJs."""


def believed(mass, none=0.0):
    return Belief(period=25.0, due=10.0, mass=mass, none=none)


def locked():
    lock = Lock()
    for _ in range(600):
        lock.hear(False, BEATS)
        lock.judge(believed(1.0), 0.8, 0.1)
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
    for _ in range(HELD_HOPS + 1):
        assert lock.locked, "what one onset takes the next may give back"
        lock.hear(False, BEATS)
        lock.judge(believed(0.0), 0.8, 0.1)
    assert not lock.locked


def test_what_the_network_does_not_hear_as_music_never_locks():
    lock = Lock()
    for _ in range(1_000):
        lock.hear(False, TALK)
        lock.judge(believed(1.0), 0.8, 0.1)
        assert not lock.locked


@pytest.mark.parametrize(("novelty", "coasts"), [(0.02, True), (0.003, False), (0.08, False)], ids=["chords", "hum", "talk"])
def test_held_chords_are_coasted_through_and_hum_and_talk_are_not(novelty, coasts):
    lock, nothing = locked(), Activation(0.02, 0.01, 0.02)
    for hop in range(1_500):
        lock.hear(False, nothing, novelty)
        lock.judge(believed(0.8 if hop < 300 else 0.01, none=0.0 if hop < 300 else 0.95), 0.8, 0.1)
    assert (lock.coasting, lock.locked) == (coasts, coasts)


def test_the_certainty_that_there_is_no_beat_unlocks():
    lock = locked()
    for _ in range(HELD_HOPS + 1):
        assert lock.locked, "until it is known whether this is a breakdown"
        lock.hear(False, BEATS)
        lock.judge(believed(0.5, none=0.97), 0.8, 0.1)
    assert not lock.locked


def test_a_beat_longer_than_that_is_waited_for():
    lock, slow = locked(), Belief(period=50.0, due=10.0, mass=0.0, none=0.0)
    for _ in range(100):
        lock.hear(False, BEATS)
        lock.judge(slow, 0.8, 0.1)
        assert lock.locked
    lock.hear(False, BEATS)
    lock.judge(slow, 0.8, 0.1)
    assert not lock.locked


def test_the_drop_after_a_breakdown_finds_the_lock_there():
    lock, chords, kick = locked(), Activation(0.02, 0.01, 0.02), Activation(0.9, 0.2, 0.02)
    for hop in range(1_500):
        lock.hear(False, chords, 0.02)
        lock.judge(believed(0.8 if hop < 300 else 0.01, none=0.0 if hop < 300 else 0.95), 0.8, 0.1)
    assert lock.coasting
    for _ in range(100):
        lock.hear(False, kick, 0.1)
        lock.judge(believed(0.9), 0.8, 0.1)
        assert lock.locked and not lock.coasting


def test_what_fades_into_hum_is_no_breakdown():
    lock, nothing = locked(), Activation(0.02, 0.01, 0.02)
    for hop in range(400):
        lock.hear(False, nothing, 0.1 if hop < 50 else 0.0)
        lock.judge(believed(0.0, none=0.95), 0.8, 0.1)
        assert not lock.coasting
    assert not lock.locked


def test_a_breakdown_is_coasted_through_but_not_for_ever():
    lock = locked()
    for hop in range(1_000):
        lock.hear(False, PAD)
        lock.judge(believed(0.8 if hop < 300 else 0.01, none=0.0 if hop < 300 else 0.95), 0.8, 0.1)
    assert lock.coasting and lock.locked
    for _ in range(4 * BARS_OF_A_BREAKDOWN):
        assert lock.locked
        lock.announced()
    assert not lock.locked


def test_what_is_no_breakdown_is_given_up_and_a_beat_that_is_heard_is_not():
    lock = locked()
    lock.give_up()
    assert lock.locked
    for _ in range(1_000):
        lock.hear(False, PAD)
        lock.judge(believed(0.8), 0.8, 0.1)
    assert lock.coasting
    lock.give_up()
    assert not lock.coasting and not lock.locked


def test_nothing_is_coasted_through_before_the_first_beat():
    lock = Lock()
    for _ in range(600):
        lock.hear(False, PAD)
        lock.judge(believed(0.9), 0.8, 0.1)
    assert lock.locked and not lock.coasting


def test_the_end_of_the_music_is_not_coasted_through():
    lock = locked()
    for _ in range(1_500):
        lock.hear(False, TALK)
        lock.judge(believed(0.01, none=0.99), 0.8, 0.1)
    assert not lock.coasting and not lock.locked


def test_short_rests_leave_the_confidence_alone_and_long_ones_fade_it():
    lock = locked()
    sure = lock.confidence
    for _ in range(RESTS_UP_TO):
        lock.hear(True, PAD)
    lock.judge(believed(1.0), 0.8, 0.1)
    assert lock.confidence == pytest.approx(sure, rel=0.05) and sure > 0.8
    for _ in range(400):
        lock.hear(True, PAD)
    lock.judge(believed(1.0), 0.8, 0.1)
    assert lock.confidence == pytest.approx(0.135 * sure, rel=0.25)
