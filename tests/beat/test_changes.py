"""Bars begin where the sound changes: heard from the bands alone, whatever the count has been."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.beat.bar_pointer import metre_table
from k1edge.beat.changes import LONG, MOST, SHORT, Changes, Usual
from k1edge.dsp.features import N_BANDS

PER_BAR, POSITION, _ = metre_table()
PERIOD = 50
SOUNDS = np.random.default_rng(8).uniform(0.0, 4.0, (16, N_BANDS)).astype(np.float32)


def hear(changes, sounds, first=1, start=0):
    """One sound a beat, from hop `start`; the beats are announced 15 hops ahead and numbered from `first`. Returns the last."""
    for n in range(len(sounds) * PERIOD):
        if (n + 15) % PERIOD == 0:
            changes.expect(first + (n + 15) // PERIOD, start + n + 15, PERIOD)
        # What a window holds of the next beat is in the bands two hops after it.
        changes.hear(start + n + 1, sounds[max(n - 2, 0) // PERIOD])
    return first + len(sounds) - 1


def places(weights, metre=4):
    """(metre,) the log-weights of the places in a bar of this metre."""
    return np.array([weights[(metre == PER_BAR) & (place == POSITION)][0] for place in range(metre)])


@pytest.mark.parametrize(("metre", "bars_at"), [(4, 0), (4, 1), (4, 3), (3, 2)])
def test_a_bar_begins_where_chords_change(metre, bars_at):
    noise = np.random.default_rng(5).normal(0.0, 0.2, (48, N_BANDS))
    sounds = [SOUNDS[(n - bars_at) // metre % 16] + noise[n] for n in range(48)]
    changes = Changes(PER_BAR, POSITION)
    last = hear(changes, sounds)
    weights = places(changes.evidence(last), metre)
    assert weights.argmax() == (last - 1 - bars_at) % metre
    assert weights.max() - np.sort(weights)[-2] > 2.0


def test_four_beats_of_one_chord_are_a_bar_of_four_and_not_of_three_or_two():
    noise = np.random.default_rng(6).normal(0.0, 0.2, (48, N_BANDS))
    changes = Changes(PER_BAR, POSITION)
    weights = changes.evidence(hear(changes, [SOUNDS[n // 4 % 16] + noise[n] for n in range(48)]))
    assert places(weights, 4).max() > places(weights, 2).max() > places(weights, 3).max()


def test_sound_that_never_changes_prefers_no_beat():
    changes = Changes(PER_BAR, POSITION)
    weights = places(changes.evidence(hear(changes, [SOUNDS[0]] * 41)))
    assert np.ptp(weights) <= SHORT + LONG


def test_what_was_said_is_not_said_again():
    changes = Changes(PER_BAR, POSITION)
    last = hear(changes, list(SOUNDS))
    assert changes.evidence(last) is not None
    assert changes.evidence(last) is None


def test_nothing_is_compared_across_a_gap_in_the_beats():
    changes = Changes(PER_BAR, POSITION)
    last = hear(changes, list(SOUNDS[:6]))
    changes.evidence(last)
    changes.expect(last + 1, 9 * PERIOD, PERIOD)
    hear(changes, [SOUNDS[9]], first=last + 1, start=9 * PERIOD)
    assert changes.evidence(last + 1) is None


def test_a_corrected_beat_is_one_beat():
    evidence = []
    for announced in ([(17, 790)], [(17, 780), (17, 790)]):
        changes = Changes(PER_BAR, POSITION)
        last = hear(changes, list(SOUNDS[:15]))
        for number, due in announced:
            changes.expect(number, due, PERIOD)
        for hop in range(15 * PERIOD, 17 * PERIOD):
            changes.hear(hop + 1, SOUNDS[15])
        evidence.append(changes.evidence(last + 1))
    assert evidence[1] == pytest.approx(evidence[0])


def test_one_change_however_large_outvotes_few_bars():
    """A fill or a cymbal is not a new bar."""
    quiet = [SOUNDS[0] + 0.01 * SOUNDS[1 + n % 7] for n in range(40)]
    changes = Changes(PER_BAR, POSITION)
    last = hear(changes, quiet)
    changes.evidence(last)
    last = hear(changes, [SOUNDS[0] * 9] * 2, first=last + 1, start=40 * PERIOD)
    assert np.abs(changes.evidence(last)).max() <= 2 * SHORT * MOST + 2 * LONG * (MOST**2 - 0.5)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=200))
@settings(max_examples=50, deadline=None)
def test_how_unusual_a_value_is_has_a_bound(values):
    usual = Usual()
    assert all(-MOST <= usual.process(value) <= MOST for value in values)
