"""Bars are heard beat by beat: which beats are a beat's rows, and what is said of which number."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.beat import downbeats
from k1edge.beat.downbeats import FLOOR, HUSHED_BEATS, LAG, PER_BAR, POSITION, WEIGHT, BarEar, DownbeatNetwork, Downbeats
from k1edge.beat.sounds import N_COLUMNS, N_INPUTS, START_HOPS
from k1edge.dsp.features import N_BANDS

PERIOD = 50
SOUNDS = np.random.default_rng(8).uniform(0.0, 4.0, (16, N_BANDS)).astype(np.float32)
NOTHING = (0.05, 0.01)


def hear(ears, sounds, first=1, start=0):
    """One sound a beat, from hop `start`; the beats are announced 15 hops ahead and numbered from `first`. Returns the last."""
    for n in range(len(sounds) * PERIOD):
        if (n + 15) % PERIOD == 0:
            ears.expect(first + (n + 15) // PERIOD, start + n + 15, PERIOD)
        ears.hear(start + n + 1, sounds[max(n - START_HOPS, 0) // PERIOD], NOTHING)
    return first + len(sounds) - 1


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
    ears = Downbeats()
    ears._ear = Listener()
    return ears, ears._ear


@pytest.mark.parametrize("bars_at", [0, 1, 2, 3])
def test_a_bar_begins_where_chords_change_wherever_one_began_to_listen(bars_at):
    ears = Downbeats()
    last = hear(ears, chords(48, bars_at=bars_at))
    weights = places(ears.opinion(last))
    assert weights.argmax() == (last - 1 - bars_at) % 4
    assert weights.max() - np.sort(weights)[-2] > 1.5


def test_sound_that_never_changes_decides_on_no_beat():
    ears = Downbeats()
    weights = places(ears.opinion(hear(ears, [SOUNDS[0]] * 41)))
    assert np.ptp(weights) < 1.5


def test_each_beat_is_heard_by_its_own_rows():
    ears, listener = listened()
    hear(ears, list(SOUNDS))
    assert [len(rows) for rows in listener.rows] == [PERIOD] * len(listener.rows)
    for rows, sound in zip(listener.rows, SOUNDS[1:], strict=False):
        assert (rows[:, :N_BANDS] == sound).all() and np.allclose(rows[:, N_BANDS:], NOTHING)


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
    ears = Downbeats()
    assert ears.opinion(hear(ears, list(SOUNDS[:2]))) is None


def test_a_person_is_not_argued_with_for_a_while():
    ears, _ = listened()
    last = hear(ears, list(SOUNDS))
    ears.hush(last)
    assert ears.opinion(last) is None and ears.opinion(last + HUSHED_BEATS - 1) is None
    assert ears.opinion(last + HUSHED_BEATS) is not None


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
    ears.expect(last + 1, 9 * PERIOD, PERIOD)
    hear(ears, [SOUNDS[9]], first=last + 1, start=9 * PERIOD)
    assert listener.begun == begun + 1
    assert ears.opinion(last + 1) is None


def test_after_lost_samples_that_held_beats_one_begins_anew():
    ears, listener = listened()
    last = hear(ears, list(SOUNDS[:6]))
    begun = listener.begun
    for n in (1, 2, 3):
        ears.expect(last + n, (5 + n) * PERIOD, PERIOD)
    ears.hear(9 * PERIOD, SOUNDS[9], NOTHING)
    assert listener.begun > begun
    assert not listener.rows


def test_a_corrected_beat_is_one_beat():
    heard = []
    for announced in ([(17, 790)], [(17, 780), (17, 790)]):
        ears, listener = listened()
        hear(ears, list(SOUNDS[:15]))
        for number, due in announced:
            ears.expect(number, due, PERIOD)
        for hop in range(15 * PERIOD, 17 * PERIOD):
            ears.hear(hop + 1, SOUNDS[15], NOTHING)
        heard.append([len(rows) for rows in listener.rows])
    assert heard[1] == heard[0]


def test_a_stream_that_outlasts_the_buffer_is_heard_like_its_beginning():
    ears, listener = listened()
    beats = 3 * downbeats.KEPT // PERIOD
    hear(ears, [SOUNDS[n % 16] for n in range(beats)])
    for n, rows in enumerate(listener.rows, 1):
        assert (rows[:, :N_BANDS] == SOUNDS[n % 16]).all()


def test_a_beat_hears_all_of_a_network_anew_after_it_begins():
    network, fresh = DownbeatNetwork(), DownbeatNetwork()
    inputs = np.random.default_rng(3).normal(0, 1, (9, N_INPUTS)).astype(np.float32)
    for row in inputs:
        network.process(row)
    network.begin()
    assert (network.process(inputs[0]) == fresh.process(inputs[0])).all()


def test_an_ear_that_was_put_away_goes_on_as_if_it_had_not_been():
    ear, rows = BarEar(), np.random.default_rng(4).uniform(0, 1, (30, 40, N_COLUMNS)).astype(np.float32)
    for beat in rows[:20]:
        ear.process(beat)
    packed = pickle.dumps(ear)
    assert len(packed) < 20_000
    again = pickle.loads(packed)
    for beat in rows[20:]:
        assert (again.process(beat) == ear.process(beat)).all()


def test_the_state_of_another_network_is_refused():
    network = DownbeatNetwork()
    with pytest.raises(ValueError, match="another network"):
        network.__setstate__(network.__getstate__()[:-1])


@given(st.floats(0, 5), st.integers(LAG + 1, 40))
@settings(max_examples=20, deadline=None)
def test_no_place_is_ever_ruled_out_and_none_is_certain(loud, beats):
    ear, rng = BarEar(), np.random.default_rng(beats)
    said = [ear.process(loud * rng.uniform(0, 1, (30, N_COLUMNS)).astype(np.float32)) for _ in range(beats)]
    assert all(weights is None for weights in said[:LAG])
    for weights in said[LAG:]:
        assert np.isfinite(weights).all()
        assert np.ptp(weights) <= -2 * np.log(FLOOR)
