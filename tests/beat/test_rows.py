"""What was heard is cut into beats: which rows are a beat's, and which beats follow each other."""

import numpy as np

from k1edge.beat.rows import KEPT, BeatRows
from k1edge.dsp.features import N_BANDS
from tests.beat.heard_beats import NOTHING, PERIOD, SOUNDS, hear_beats


class Kept:
    """Keeps the rows of each beat; beats in a row since one did not follow."""

    def __init__(self):
        self.beats, self.anew = [], 0

    def __call__(self, begun, rows):
        if begun.first < 0:
            self.beats, self.anew = [], self.anew + 1
        else:
            self.beats.append((begun.number, rows.between(begun.first, begun.end).copy()))


def kept(sounds):
    rows, beats = BeatRows(), Kept()
    last = hear_beats(rows, sounds, beats)
    return rows, beats, last


def hear_on(rows, beats, hops, sound):
    for hop in hops:
        begun = rows.hear(hop + 1, sound, NOTHING)
        if begun is not None:
            beats(begun, rows)


def test_each_beat_has_its_own_rows():
    _, beats, last = kept(list(SOUNDS))
    assert [number for number, _ in beats.beats] == list(range(3, last + 1))
    for (_, rows), sound in zip(beats.beats, SOUNDS[1:], strict=False):
        assert len(rows) == PERIOD
        assert (rows[:, :N_BANDS] == sound).all() and np.allclose(rows[:, N_BANDS:], NOTHING)


def test_after_lost_samples_that_held_beats_one_begins_anew():
    rows, beats, last = kept(list(SOUNDS[:6]))
    anew = beats.anew
    for n in (1, 2, 3):
        rows.expect(last + n, (5 + n) * PERIOD, PERIOD)
    hear_on(rows, beats, range(9 * PERIOD, 9 * PERIOD + 4), SOUNDS[9])
    assert beats.anew > anew and not beats.beats


def test_a_corrected_beat_is_one_beat():
    found = []
    for announced in ([(17, 790)], [(17, 780), (17, 790)]):
        rows, beats, _ = kept(list(SOUNDS[:15]))
        for number, due in announced:
            rows.expect(number, due, PERIOD)
        hear_on(rows, beats, range(15 * PERIOD, 17 * PERIOD), SOUNDS[15])
        found.append([(number, len(rows)) for number, rows in beats.beats])
    assert found[1] == found[0]


def test_a_stream_that_outlasts_the_buffer_is_kept_like_its_beginning():
    _, beats, _ = kept([SOUNDS[n % 16] for n in range(3 * KEPT // PERIOD)])
    for n, (_, rows) in enumerate(beats.beats, 1):
        assert (rows[:, :N_BANDS] == SOUNDS[n % 16]).all()
