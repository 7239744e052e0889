"""Bars are heard beat by beat: what is said, and of which number."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.beat.downbeats import FLOOR, HUSHED_BEATS, LAG, PER_BAR, POSITION, WEIGHT, BarEar, Downbeats
from k1edge.beat.rows import BeatRows
from k1edge.beat.sounds import N_COLUMNS
from k1edge.dsp.features import N_BANDS
from tests.beat.heard_beats import PERIOD, SOUNDS, hear_beats


class Ears:
    """What a tracker has: rows, and what hears them."""

    def __init__(self):
        self.rows, self.downbeats = BeatRows(), Downbeats()
        self.opinion, self.hush = self.downbeats.opinion, self.downbeats.hush


def hear(ears, sounds, first=1, start=0):
    return hear_beats(ears.rows, sounds, ears.downbeats.hear, first=first, start=start)


def chords(beats, metre=4, bars_at=0, seed=5):
    noise = np.abs(np.random.default_rng(seed).normal(0.0, 0.2, (beats, N_BANDS)))
    return [SOUNDS[(n - bars_at) // metre % 16] + noise[n] for n in range(beats)]


def places(weights, metre=4):
    """(metre,) the log-weights of the places in a bar of this metre."""
    return np.array([weights[(metre == PER_BAR) & (place == POSITION)][0] for place in range(metre)])


class Listener:
    """In place of an ear: keeps what it is given, and says that the second beat in a row is the first of a bar of four."""

    def __init__(self):
        self.rows, self.begun = [], 0

    def begin(self):
        self.rows, self.begun = [], self.begun + 1

    def process(self, rows):
        self.rows.append(rows.copy())
        about = len(self.rows) - 1 - LAG
        return None if about < 0 else 2.0 * ((PER_BAR == 4) & ((about - 1) % 4 == POSITION))


def listened():
    ears = Ears()
    ears.downbeats._ear = listener = Listener()
    return ears, listener


@pytest.mark.parametrize("bars_at", [0, 1, 2, 3])
def test_a_bar_begins_where_chords_change_wherever_one_began_to_listen(bars_at):
    ears = Ears()
    last = hear(ears, chords(48, bars_at=bars_at))
    weights = places(ears.opinion(last))
    assert weights.argmax() == (last - 1 - bars_at) % 4
    assert weights.max() - np.sort(weights)[-2] > 1.5


def test_sound_that_never_changes_decides_on_no_beat():
    ears = Ears()
    weights = places(ears.opinion(hear(ears, [SOUNDS[0]] * 41)))
    assert np.ptp(weights) < 1.5


def test_what_is_said_holds_for_the_beats_that_follow():
    ears, _ = listened()
    last = hear(ears, list(SOUNDS[:9]))
    # The first beat that is heard from its beginning is number 2, and the second in a row number 3.
    for number in range(last, last + 9):
        weights = ears.opinion(number)
        assert weights.max() == WEIGHT * 2.0
        assert places(weights).argmax() == (number - 3) % 4


def test_an_opinion_is_the_same_however_often_it_is_asked():
    ears, _ = listened()
    last = hear(ears, list(SOUNDS))
    assert (ears.opinion(last) == ears.opinion(last)).all()


def test_of_two_beats_nothing_is_known():
    ears = Ears()
    assert ears.opinion(hear(ears, list(SOUNDS[:2]))) is None


def test_a_person_is_not_argued_with_for_a_while():
    ears, _ = listened()
    last = hear(ears, list(SOUNDS))
    ears.hush(last)
    for number in (last, last + HUSHED_BEATS - 1):
        assert np.ptp(places(ears.opinion(number))) == 0.0
    assert np.ptp(places(ears.opinion(last + HUSHED_BEATS))) > 0.0


def test_a_person_who_says_where_the_bar_begins_says_nothing_of_the_metre():
    ears, _ = listened()
    last = hear(ears, list(SOUNDS))
    before = ears.opinion(last)
    ears.hush(last)
    for metre in (2, 3, 4, 5):
        assert places(ears.opinion(last), metre).max() == places(before, metre).max()


def test_what_a_person_said_of_one_song_is_not_held_against_the_next():
    ears, _ = listened()
    last = hear(ears, list(SOUNDS))
    ears.hush(last)
    hear(ears, list(SOUNDS), first=last + 1, start=20 * PERIOD)
    assert ears.opinion(last + 16) is not None


def test_across_a_gap_in_the_beats_one_begins_anew():
    ears, listener = listened()
    last = hear(ears, list(SOUNDS[:6]))
    begun = listener.begun
    ears.rows.expect(last + 1, 9 * PERIOD, PERIOD)
    hear(ears, [SOUNDS[9]], first=last + 1, start=9 * PERIOD)
    assert listener.begun == begun + 1
    assert ears.opinion(last + 1) is None


def test_an_ear_that_was_put_away_goes_on_as_if_it_had_not_been():
    ear, rows = BarEar(), np.random.default_rng(4).uniform(0, 1, (30, 40, N_COLUMNS)).astype(np.float32)
    for beat in rows[:20]:
        ear.process(beat)
    packed = pickle.dumps(ear)
    assert len(packed) < 20_000
    again = pickle.loads(packed)
    for beat in rows[20:]:
        assert (again.process(beat) == ear.process(beat)).all()


@given(st.floats(0, 5), st.integers(LAG + 1, 40))
@settings(max_examples=20)
def test_no_place_is_ever_ruled_out_and_none_is_certain(loud, beats):
    ear, rng = BarEar(), np.random.default_rng(beats)
    said = [ear.process(loud * rng.uniform(0, 1, (30, N_COLUMNS)).astype(np.float32)) for _ in range(beats)]
    assert all(weights is None for weights in said[:LAG])
    for weights in said[LAG:]:
        assert np.isfinite(weights).all()
        assert np.ptp(weights) <= -2 * np.log(FLOOR)
