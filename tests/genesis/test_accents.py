import numpy as np
import pytest

from k1edge.frames import StreamFormat
from k1edge.genesis.accents import LATENCY_HOPS, Accents
from k1edge.genesis.course import Course
from k1edge.genesis.score import Score, stored_accents

FMT = StreamFormat(48_000)
BEATS_MS = [500.0 * n for n in range(40)]
KICK, HAT = (1.0, 0.2, 0.0, 0.1), (0.0, 0.1, 0.3, 1.0)


def envelope(first_ms: float) -> tuple[list[float], list[float]]:
    """A hit every 500 ms that fades within 100 ms, a point each 20 ms."""
    at_ms = [20.0 * n for n in range(1000)]
    return at_ms, [max(1 - (at - first_ms) % 500 / 100, 0.0) for at in at_ms]


def likeness(kick_s: float, hat_s: float, *, beats: int = 32) -> float:
    """A map with kicks on its beats and hats between leads where they are heard so much later than its beats."""
    accents = Accents(Course(Score(BEATS_MS, [], [1.0] * 40, [], [], 0.0, [(0.8, -0.4)] * 40), FMT), FMT)
    kicks, hats = (
        {round(100 * (0.5 * n + late_s)) + LATENCY_HOPS for n in range(-1, beats)} for late_s in (kick_s, hat_s)
    )
    for hop in range(50 * beats):
        accents.hear(np.array(KICK) * (hop in kicks) + np.array(HAT) * (hop in hats), hop * FMT.hop)
    return accents.likeness


def test_the_accents_of_a_map_are_where_its_bass_and_its_highs_rise():
    accents = stored_accents(BEATS_MS, [envelope(0.0), envelope(240.0)])
    assert len(accents) == len(BEATS_MS) and set(accents[1:]) == {(1.0, -1.0)}


def test_a_map_of_one_beat_or_without_envelopes_tells_none():
    assert stored_accents([500.0], [envelope(0.0)] * 2) == [(0.0, 0.0)]
    assert set(stored_accents(BEATS_MS, [([0.0], [0.0])] * 2)) == {(0.0, 0.0)}


def test_a_rise_between_the_places_of_accents_belongs_to_neither():
    at_ms = [500.0 * n + 130.0 for n in range(40)]
    assert set(stored_accents(BEATS_MS, [(at_ms, [0.0, 1.0] * 20)] * 2)) == {(0.0, 0.0)}


@pytest.mark.parametrize("late_s", [-0.06, 0.0, 0.06])
def test_accents_that_are_heard_in_their_place_are_like_those_of_the_map(late_s):
    assert likeness(late_s, 0.25 + late_s) > 0.9


@pytest.mark.parametrize("late_s", [0.19, 0.25, 0.31])
def test_accents_half_a_beat_beside_the_map_are_unlike(late_s):
    assert likeness(late_s, 0.25 + late_s) < -0.9


def test_two_bars_of_accents_are_too_few_to_judge_by():
    assert likeness(0.25, 0.5, beats=8) == 0


def test_silence_and_maps_that_tell_no_accents_say_nothing():
    assert likeness(0.0, 0.25, beats=0) == 0
    accents = Accents(Course(Score(BEATS_MS, [], [1.0] * 40, [], []), FMT), FMT)
    for hop in range(1000):
        accents.hear(np.array(KICK), hop * FMT.hop)
    assert accents.likeness == 0
