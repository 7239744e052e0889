import pytest

from k1edge.frames import BeatState, Moment, StreamFormat
from k1edge.genesis.alignment import Alignment
from k1edge.genesis.course import Course
from k1edge.genesis.score import Score

FMT = StreamFormat(48_000)
BEATS_MS = [500.0 * n for n in range(400)]


def aligned(drops_s: list[float], heard_s: list[float], until_s: int = 190, *, since_s: int = 0,
            deaf: range = range(0)) -> Alignment:
    """A map with drops at `drops_s` leads a stream in which drops are heard at `heard_s`."""
    score = Score(BEATS_MS, [], [1.0] * len(BEATS_MS), [], [(1000 * at_s, "drop", 0.9) for at_s in drops_s])
    alignment = Alignment(Course(score, FMT), FMT, 0)
    for second in range(since_s, until_s):
        alignment.hear(BeatState(FMT.index(second), 120.0, 0.0, 0.9, second not in deaf))
        heard = [Moment("drop", FMT.index(at_s), 0.9) for at_s in heard_s if second - 1 < at_s <= second]
        alignment.hear_drops(heard, FMT.index(second))
    return alignment


def test_drops_that_are_not_heard_and_others_that_are_not_stored_are_another_song():
    assert aligned([60.0, 120.0], [90.0, 150.0]).refutation


def test_a_drop_that_somebody_has_moved_does_not_condemn_a_map():
    assert not aligned([66.0, 120.0], [60.0, 120.0]).refutation


def test_a_drop_that_was_due_while_the_live_engine_had_no_lock_was_not_missed():
    assert not aligned([60.0, 65.0, 120.0], [90.0, 150.0], 124, deaf=range(50, 75)).refutation


@pytest.mark.parametrize("heard_s", [[], [60.2, 123.9]], ids=["none", "the same"])
def test_drops_that_are_the_same_or_only_missed_condemn_no_map(heard_s):
    assert not aligned([60.0, 120.0], heard_s).refutation


def test_drops_that_somebody_has_taken_out_of_a_map_do_not_condemn_it():
    assert not aligned([], [60.0, 120.0]).refutation


def test_a_drop_that_agrees_forgives_what_was_before():
    assert not aligned([30.0, 60.0, 120.0], [60.0, 90.0]).refutation
    assert aligned([30.0, 60.0, 120.0, 150.0], [60.0, 90.0]).refutation


def test_drops_before_the_map_led_are_not_missed():
    assert not aligned([10.0, 20.0, 60.0, 120.0], [90.0], 124, since_s=40).refutation
