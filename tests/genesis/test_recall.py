"""Which song plays, and where in it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.genesis.recall import ENVELOPE_S, alike, envelope, sketch
from tests.genesis.songs import playing

SONG = playing(60.0, seed=1)
WINDOW = 500


def heard(at: int, gain=(1.0, 1.0, 1.0)) -> np.ndarray:
    """Ten seconds of the song from this point on, by a line that is louder or darker."""
    return np.clip(SONG[at : at + WINDOW] * gain, 0.0, 1.0)


@settings(max_examples=60)
@given(at=st.integers(0, len(SONG) - WINDOW - 8), gains=st.tuples(*[st.floats(0.3, 1.0)] * 3))
def test_a_song_is_found_where_it_plays_however_loud_or_dark_its_line_is(at, gains):
    found = alike(heard(at, gains), sketch(SONG))
    assert found.correlation > 0.85
    assert found.correlation - found.elsewhere > 0.3
    assert found.at_s == pytest.approx(at * ENVELOPE_S, abs=0.012)


@given(seed=st.integers(2, 10_000))
@settings(max_examples=40)
def test_no_other_song_is_like_it(seed):
    assert alike(playing(10.0, seed), sketch(SONG)).correlation < 0.6


def test_a_loop_is_alike_at_every_turn():
    loop = np.tile(SONG[:400], (5, 1))
    found = alike(loop[100:600], sketch(loop))
    assert found.correlation > 0.95
    assert found.correlation - found.elsewhere < 0.02


@pytest.mark.parametrize("quiet", [np.zeros((WINDOW, 3)), np.full((WINDOW, 3), 0.5), np.zeros((0, 3)), playing(61.0, 1)],
                         ids=["silence", "a tone", "nothing", "more than the song"])  # fmt: skip
def test_what_does_not_move_or_is_too_long_is_like_nothing(quiet):
    found = alike(quiet, sketch(SONG))
    assert found is None or found.correlation < 0.1


def test_an_envelope_has_a_point_every_20_ms_whatever_the_map_has():
    points = ([0.0, 50.0, 100.0], [0.0, 1.0, 0.0])
    assert envelope([points] * 3)[:, 0] == pytest.approx([0.0, 0.4, 0.8, 0.8, 0.4])


@pytest.mark.parametrize("points", [([], []), ([0.0, 5000.0], [0.1, 0.2])], ids=["none", "five seconds apart"])
def test_of_points_that_are_too_few_no_envelope_is_made(points):
    assert envelope([points] * 3) is None
