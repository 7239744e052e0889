"""The engine's own account of itself."""

from dataclasses import replace

import pytest

from k1edge.live.selfscore import SelfScore
from tests.music import BRIGHT, DARK, announcement, frame


@pytest.fixture
def score():
    return SelfScore()


def heard(hop, *, lock=True, silent=False, confidence=0.9, wire="music", **music):
    one = frame(hop, **music)
    beat, features = replace(one.beat, lock=lock, confidence=confidence), replace(one.features, silent=silent)
    return replace(one, beat=beat, features=features, wire=wire)


def test_the_time_to_lock_is_counted_in_sound_only(score):
    for hop in range(1, 401):
        score.process(heard(hop, lock=hop > 300, silent=hop <= 100))
    figures = score.report()
    assert (figures["locks"], figures["lock_time_s_mean"], figures["lock_time_s_max"]) == (1, 2.0, 2.0)
    assert figures["music_s"] == 3.0


@pytest.mark.parametrize("wire", ["speech", "noise"])
def test_what_is_no_music_is_no_music_however_loud(score, wire):
    for hop in range(1, 401):
        score.process(heard(hop, lock=hop > 350, confidence=0.1 if hop <= 200 else 0.9, wire=wire if hop <= 200 else "music"))
    figures = score.report()
    assert (figures["music_s"], figures["lock_time_s_max"]) == (2.0, 1.5)
    assert (figures["confidence_1"], figures["confidence_9"]) == (0.0, 1.0)


def test_every_new_lock_counts(score):
    for hop in range(1, 801):
        score.process(heard(hop, lock=hop % 200 > 100))
    figures = score.report()
    assert (figures["locks"], figures["relocks"]) == (4, 3)
    for hop in range(801, 1001):
        score.process(heard(hop, lock=hop > 900))
    figures = score.report()
    assert (figures["locks"], figures["relocks"]) == (1, 1)


def test_what_the_limiter_stopped_is_counted_by_the_hour(score):
    assert [score.report(limited)["limited"] for limited in (3, 3, 10)] == [3, 0, 7]


@pytest.mark.parametrize("name", ["silence", "verse"])
def test_dark_seconds_are_those_with_music_and_no_light_whatever_the_look_is_called(name):
    score, dark, lit = SelfScore(), replace(DARK, name=name), replace(BRIGHT, name=name)
    for hop in range(1, 301):
        score.process(heard(hop, look=dark if hop <= 150 else lit, silent=hop <= 100))
    assert score.report()["dark_s"] == 0.5


def test_a_bar_that_slips_is_a_move_and_a_correction_is_not(score):
    for number, in_bar in ((1, 1), (2, 2), (2, 2), (3, 3), (4, 1), (5, 2), (7, 1), (8, 0), (9, 3)):
        score.process(heard(number, announced=announcement(number, number * 0.5, in_bar)))
    figures = score.report()
    assert (figures["beats"], figures["corrections"], figures["downbeat_moves"]) == (8, 1, 1)


def test_the_histogram_adds_up_to_the_music(score):
    for hop in range(1, 101):
        score.process(heard(hop, confidence=hop / 100))
    figures = score.report()
    assert sum(figures[f"confidence_{i}"] for i in range(10)) == pytest.approx(1.0, abs=0.01)
    assert figures["confidence_9"] == pytest.approx(0.11)


def test_a_report_begins_anew_and_an_empty_one_has_figures(score):
    score.process(heard(1))
    score.report()
    figures = score.report()
    assert figures["hours"] == figures["music_s"] == figures["locks"] == 0
