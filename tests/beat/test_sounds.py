"""What a beat sounded like is told beside the beats before it, whatever the instruments are."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn

from k1edge.beat.sounds import BY_PARTS, CHANGE, N_COLUMNS, N_INPUTS, PARTS, WHOLE, BeatSounds
from k1edge.dsp.features import N_BANDS

CHORDS = np.random.default_rng(8).uniform(0.0, 4.0, (8, N_BANDS)).astype(np.float32)


def beat(bands, hops=50, beat=0.1, downbeat=0.02):
    rows = np.empty((hops, N_COLUMNS), np.float32)
    rows[:, :N_BANDS] = bands
    rows[:, N_BANDS:] = beat, downbeat
    return rows


@pytest.fixture
def sounds():
    return BeatSounds()


def test_a_beat_is_nearest_to_those_that_sounded_alike(sounds):
    for n in range(12):
        told = sounds.process(beat(CHORDS[n % 4]))
    for likeness in (told[WHOLE], told[BY_PARTS]):
        assert set(np.argsort(likeness[:11])[:2]) == {3, 7}
        assert likeness[:11].mean() == pytest.approx(0.0, abs=1e-2)


def test_what_never_changes_differs_from_nothing(sounds):
    for _ in range(20):
        told = sounds.process(beat(CHORDS[0]))
    assert np.abs(told[CHANGE]).max() < 1e-5
    assert told[WHOLE][-1] < -5 and told[BY_PARTS][-1] < -5


def test_parts_are_told_apart_where_the_whole_is_the_same(sounds):
    for n in range(9):
        told = sounds.process(beat(np.repeat(CHORDS[:2][:: 1 if n % 2 else -1], 25, axis=0)))
    assert np.ptp(told[WHOLE][:8]) < 0.5 < np.ptp(told[BY_PARTS][:8])


def test_the_tempo_is_no_part_of_the_sound():
    slow, fast = BeatSounds(), BeatSounds()
    for n in range(8):
        rows = np.repeat(CHORDS[[n % 3, 3, 4, 5]], 12, axis=0)
        told = slow.process(beat(rows, 48)), fast.process(beat(rows[::2], 24))
    assert np.abs(told[0] - told[1]).max() < 1e-5


def test_what_the_network_said_is_told_of_the_onset_alone():
    rows = beat(CHORDS[0])
    rows[4, N_BANDS:] = 0.9, 0.7
    rows[30, N_BANDS:] = 0.99, 0.98
    told = BeatSounds().process(rows)[-2:]
    assert told == pytest.approx([0.5 * np.log(7 / 2), 0.25 * np.log(9)], rel=1e-3)


def test_after_a_gap_nothing_is_compared_with_what_was():
    sounds, fresh = BeatSounds(), BeatSounds()
    for n in range(6):
        sounds.process(beat(CHORDS[n]))
    sounds.begin()
    assert (sounds.process(beat(CHORDS[7])) == fresh.process(beat(CHORDS[7]))).all()


@given(st.lists(stn.arrays(np.float32, st.tuples(st.integers(PARTS, 30), st.just(N_COLUMNS)),
                           elements=st.floats(0, 1, width=32)), min_size=1, max_size=20))  # fmt: skip
@settings(max_examples=30)
def test_any_beats_are_told_in_numbers_of_reasonable_size(beats):
    sounds = BeatSounds()
    for rows in beats:
        told = sounds.process(rows)
        assert told.shape == (N_INPUTS,) and told.dtype == np.float32
        assert np.isfinite(told).all() and np.abs(told).max() < 20
