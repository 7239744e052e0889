import pytest

from k1edge.frames import BeatEvent, BeatState, Moment, StreamFormat
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


def led(seconds: int, late_s: float = 0.0, period_s: float = 0.5, *, confirmed: bool = False, **known) -> Alignment:
    """A map of 120 BPM beside live beats of another period that come `late_s` later, with or without the word of the sound
    every three seconds that the song is where it is thought to be."""
    alignment = Alignment(Course(Score(BEATS_MS, [], [1.0] * len(BEATS_MS), [], []), FMT), FMT, 0, **known)
    number = 0
    for hop in range(1, 100 * seconds):
        end, event = hop * FMT.hop, None
        if hop / 100 >= number * period_s:
            number += 1
            event = BeatEvent(number, FMT.index(number * period_s + late_s), 0, False, 1.0, 0.9)
        alignment.hear(BeatState(end, 60 / period_s, 0.0, 0.9, True, (), event))
        if confirmed and hop % 300 == 0:
            alignment.confirm(0.002)
    return alignment


@pytest.mark.parametrize(("late_s", "period_s"), [(0.15, 0.5), (0.0, 0.37)], ids=["beside it", "of another level"])
def test_where_the_sound_is_that_of_the_song_live_beats_do_not_condemn_its_map_nor_move_it(late_s, period_s):
    assert led(40, late_s, period_s, speed=1.0).refutation
    sure = led(40, late_s, period_s, confirmed=True, speed=1.0)
    assert not sure.refutation
    assert sure.start == 0


def test_a_map_goes_where_the_sound_says_that_its_song_has_come_to_a_little_at_a_time():
    alignment = led(4, speed=1.0)
    at = FMT.index(4.0)
    before = alignment.song(at)
    alignment.confirm(0.02)
    assert FMT.seconds(alignment.song(at) - before) == pytest.approx(0.02, abs=1e-3)
    alignment.confirm(-0.2)
    assert FMT.seconds(alignment.song(at) - before) == pytest.approx(-0.01, abs=1e-3)


def test_a_speed_that_is_known_is_corrected_by_the_sound_until_the_song_stays_where_it_is():
    alignment, true = led(1, speed=1.052), 1.05
    off_s = []
    for second in range(3, 90, 3):
        at = FMT.index(second)
        alignment.hear(BeatState(at, 120.0, 0.0, 0.9, False))
        off_s.append(second * true - FMT.seconds(alignment.song(at)))
        alignment.confirm(off_s[-1])
    assert max(map(abs, off_s[-5:])) < 0.012
    assert alignment.speed == pytest.approx(true, rel=2e-3)


def test_a_song_a_little_faster_than_a_map_says_is_followed_by_its_sound():
    alignment, true, off_s = led(1, speed=1.0), 1.006, []
    for second in range(3, 120, 3):
        alignment.hear(BeatState(FMT.index(second), 120.0, 0.0, 0.9, False))
        off_s.append(second * true - FMT.seconds(alignment.song(FMT.index(second))))
        alignment.confirm(off_s[-1])
    assert max(map(abs, off_s[-10:])) < 0.012


def test_a_map_that_a_person_has_nudged_stays_where_it_was_put_whatever_the_sound_says():
    alignment = led(4, speed=1.0)
    alignment.nudge(40.0)
    start = alignment.start
    alignment.confirm(0.03)
    assert alignment.start == start


def test_a_speed_that_is_known_is_not_learned_from_live_beats_that_wander():
    assert led(20, period_s=0.4945).speed > 1.008
    assert led(20, period_s=0.4945, speed=1.0).speed == 1.0
