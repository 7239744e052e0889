"""Beats pass once, bars are counted from them, free music gets a pulse of its own."""

from dataclasses import replace

import numpy as np
import pytest

from k1edge.genesis.grid import BarGrid

HOP = 441


def _passed(grid, metronome, seconds):
    beats = (grid.process(metronome.state(end)) for end in range(HOP, int(seconds * 44_100), HOP))
    return [beat for beat in beats if beat]


def test_beats_pass_when_due_and_bars_count_on_downbeats(fmt, metronome):
    beats_s = np.arange(20) * 0.5 + 1.25
    passed = _passed(BarGrid(fmt), metronome(beats_s, beats_s[1::4]), 11.5)
    scheduled = [b for b in passed if b.scheduled]
    assert [b.due for b in scheduled] == [fmt.index(t) for t in beats_s]
    assert [b.in_bar for b in scheduled][1:9] == [1, 2, 3, 4, 1, 2, 3, 4]
    assert scheduled[13].bar - scheduled[1].bar == 3


def test_a_correction_moves_the_beat_and_never_repeats_it(fmt, metronome):
    grid, tracker = BarGrid(fmt), metronome(np.arange(1, 9) * 0.5)
    passed = []
    for end in range(HOP, 4 * 44_100, HOP):
        state = tracker.state(end)
        if state.announced and state.announced.number == 5:
            grid.process(state)
            state = replace(state, announced=replace(state.announced, due=state.announced.due + 1000))
        passed.append(grid.process(state))
    scheduled = [b for b in passed if b and b.scheduled]
    assert [b.due for b in scheduled][4] == fmt.index(2.5) + 1000
    assert len(scheduled) == 7


def test_free_music_has_a_pulse_that_is_not_called_a_beat(fmt, metronome):
    passed = _passed(BarGrid(fmt), metronome([]), 10)
    assert 18 <= len(passed) <= 21
    assert not any(b.scheduled for b in passed)


def test_the_pulse_goes_on_in_time_when_the_tracker_stops(fmt, metronome):
    passed = _passed(BarGrid(fmt), metronome(np.arange(1, 9) * 0.5, [0.5, 2.5]), 8)
    gaps = np.diff([b.due for b in passed if b.due >= 22_050])
    assert np.all(np.abs(gaps - 22_050) <= 1)
    assert [b.in_bar for b in passed][-4:] in ([1, 2, 3, 4], [2, 3, 4, 1], [3, 4, 1, 2], [4, 1, 2, 3])


@pytest.mark.parametrize("metre", [2, 3, 5])
def test_the_pulse_goes_on_in_the_metre_of_the_music(fmt, metronome, metre):
    beats_s = np.arange(1, 4 * metre + 1) * 0.5
    tracker = metronome(beats_s, beats_s[::metre])
    tracker.metre = metre
    passed = _passed(BarGrid(fmt), tracker, beats_s[-1] + 8)
    known = [b for b in passed if b.due >= fmt.index(0.5)]
    assert not known[-1].scheduled
    assert [b.in_bar for b in known] == [n % metre + 1 for n in range(len(known))]
    assert {b.per_bar for b in known} == {metre}
