"""The whole track's beats are tapped at the level at which they sound right, in each neighbourhood of it."""

import numpy as np
import pytest

from k1edge.analysis import tapping
from k1edge.analysis.path import Tempi
from k1edge.analysis.tapping import REACH_S, tapped
from k1edge.analysis.witnesses import Evidence
from k1edge.beat.bar_pointer import STEPS_PER_S
from k1edge.beat.network import N_TEMPI
from k1edge.beat.prior import TempoPrior
from k1edge.beat.sounds import N_COLUMNS
from k1edge.frames import HOPS_PER_S

TEMPI = Tempi(TempoPrior(), 55.0, 215.0)
PERIOD = 20  # steps: 150 bpm


class Ear:
    """In place of the ear: likes beats as long as the first value of the row they begin with says."""

    def __init__(self, _network):
        pass

    def process(self, rows):
        return 3.0 if abs(len(rows) - rows[0, 0]) < 3 else -3.0


@pytest.fixture(autouse=True)
def ear(monkeypatch):
    monkeypatch.setattr(tapping, "LevelEar", Ear)


def track(beats, likes):
    """Steps of so many beats; `likes`: (n,) per beat the length in hops that sounds right from there on, 0 for none."""
    steps = 10 + PERIOD * np.arange(beats)
    rows = np.zeros(((beats + 2) * PERIOD * HOPS_PER_S // STEPS_PER_S, N_COLUMNS), np.float32)
    hops = PERIOD * HOPS_PER_S // STEPS_PER_S
    for n, length in enumerate(likes):
        first = n * hops + (steps[0] + 1) * HOPS_PER_S // STEPS_PER_S
        rows[first : first + hops, 0] = length
    empty = np.zeros(0)
    return steps, Evidence(empty, empty, empty, np.zeros((0, 14)), 0.0, np.zeros((0, N_TEMPI)), rows)


def tap(steps, evidence, views=None):
    return tapped(steps, evidence, TEMPI, np.zeros((len(steps), len(TEMPI.periods))) if views is None else views)


def test_beats_that_sound_right_stay():
    steps, evidence = track(80, [40] * 80)
    assert (tap(steps, evidence) == steps).all()


@pytest.mark.parametrize("odd", [0, 1])
def test_every_second_beat_is_tapped_where_those_sound_right(odd):
    steps, evidence = track(80, [80 * (n % 2 == odd) for n in range(80)])
    assert (tap(steps, evidence) == steps[odd::2]).all()


@pytest.mark.parametrize("first", [0, 1, 2])
def test_every_third_half_of_a_beat_is_tapped_where_those_sound_right(first):
    steps, evidence = track(80, [0] * 80)
    halves = np.arange(first, 2 * len(steps) - 1, 3)
    wanted = np.interp(halves / 2, np.arange(len(steps)), steps).astype(int)
    for edge in evidence.rows_at(wanted.astype(float)):
        evidence.rows[edge, 0] = 60
    assert (tap(steps, evidence) == wanted).all()


def test_places_between_are_tapped_where_that_sounds_right():
    steps, evidence = track(80, [40] * 80)
    # Behind the last beat of the path there is none: nothing may be heard there.
    assert (tap(steps[::2], evidence) == steps[:-1]).all()


def test_a_set_of_songs_is_tapped_song_by_song():
    beats = 6 * round(REACH_S * STEPS_PER_S / PERIOD)
    steps, evidence = track(beats, [40 if n < beats // 2 else 80 * (n % 2 == 0) for n in range(beats)])
    found = tap(steps, evidence)
    quarter = beats // 4
    assert set(np.diff(found[:quarter])) == {PERIOD} and set(np.diff(found[-quarter // 2 :])) == {2 * PERIOD}


def test_the_view_of_the_tempo_counts():
    steps, evidence = track(80, [80 * (n % 2 == 0) for n in range(80)])
    views = np.zeros((len(steps), len(TEMPI.periods)))
    views[:, TEMPI.periods > 1.2 * PERIOD] = -6.0
    assert (tap(steps, evidence, views) == steps).all()


def test_no_tempo_beyond_the_range_is_tapped():
    steps, evidence = track(80, [20] * 80)
    assert (tap(steps, evidence) == steps).all()


def test_a_beat_that_is_missing_in_slow_music_is_not_put_in():
    steps, evidence = track(80, [80] * 80)
    slow = np.delete(steps[::2], [20])
    views = np.zeros((len(steps), len(TEMPI.periods)))
    assert (tap(slow, evidence, views) == slow).all()


def test_of_a_few_beats_nothing_is_concluded():
    steps, evidence = track(12, [80 * (n % 2 == 0) for n in range(12)])
    assert (tap(steps, evidence) == steps).all()
