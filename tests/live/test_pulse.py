"""Which beats of a tempo that is faster than light may flash are shown."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from k1edge.frames import BeatEvent
from k1edge.genesis.limiter import Limiter
from k1edge.k1 import contract
from k1edge.live.pulse import FASTEST_BPM, SLOWEST_HALVED_BPM, Pulse


def beat(number: int, in_bar: int) -> BeatEvent:
    return BeatEvent(number, 0, in_bar, in_bar == 1, 1.0, 1.0)


def shown(bpm: float, per_bar: int, count: int = 12) -> str:
    """Of each beat X or a dot."""
    pulse = Pulse()
    places = [n % per_bar + 1 if per_bar else 0 for n in range(count)]
    return "".join("X" if pulse.shows(beat(n, place), bpm, per_bar) else "." for n, place in enumerate(places))


def test_every_beat_flashes_that_may():
    assert shown(FASTEST_BPM, 4) == "XXXXXXXXXXXX"


@pytest.mark.parametrize(
    ("per_bar", "pattern"),
    [(4, "X.X.X.X.X.X."), (3, "X..X..X..X.."), (2, "X.X.X.X.X.X."), (5, "X.X..X.X..X."), (0, "X.X.X.X.X.X.")]
)
def test_a_faster_tempo_flashes_in_half_time_from_the_downbeat(per_bar, pattern):
    assert shown(190.0, per_bar) == pattern


def test_a_tempo_that_wavers_about_the_limit_does_not_change_how_often_it_flashes():
    pulse = Pulse()
    seen = [pulse.shows(beat(n, n % 4 + 1), FASTEST_BPM + (2 if n % 3 else -2), 4) for n in range(1, 40)]
    assert not any(pair == (True, True) for pair in pairwise(seen[1:]))
    assert pulse.shows(beat(40, 2), SLOWEST_HALVED_BPM - 1, 4), "and a slower one all of them again"


@given(bpm=st.floats(SLOWEST_HALVED_BPM + 7, 300), per_bar=st.sampled_from([0, 2, 3, 4, 5, 6, 7]))
def test_the_limiter_has_nothing_to_stop_in_a_steady_fast_tempo(bpm, per_bar):
    pulse, limiter, stopped = Pulse(), Limiter(), 0
    for n in range(60):
        place = n % per_bar + 1 if per_bar else 0
        tick = pulse.shows(beat(n, place), bpm, per_bar)
        said = contract.BeatCommand(number=n, bpm=bpm, due_in_ms=150.0, due_at_ms=0, tick=tick, confidence=1.0)
        (sent,) = limiter.process(said, n * 60_000 / bpm)
        stopped += sent.tick != tick
    assert stopped == 0
