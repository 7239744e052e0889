"""What each beat says about the form."""

import numpy as np
import pytest

from k1edge.genesis.evidence import EARLY_S, GONE_BELOW, KICK, N_ROW, ROW, Evidence
from k1edge.genesis.grid import BarGrid
from k1edge.genesis.hearing import Ear
from tests.genesis.sounds import RATE_HZ, chord, kicks

BEATS_S = np.arange(1, 100) * 0.5


@pytest.fixture
def rows(fmt, frames, metronome):
    def rows(samples):
        ear, grid, tracker = Ear(), BarGrid(fmt), metronome(BEATS_S, BEATS_S[::4])
        phases, found = (Evidence(fmt), Evidence(fmt, off_beat=True)), []
        for frame in frames(samples):
            hearing, beat = ear.process(frame), grid.process(tracker.state(frame.end))
            rows = (evidence.process(frame, hearing, beat) for evidence in phases)
            found += [(frame.end, row) for row in rows if row is not None]
        return found

    return rows


def test_a_row_follows_each_beat_and_each_moment_between_within_a_quarter_second(rows, fmt):
    found = rows(chord(10))
    on = [(end, row) for end, row in found if not row.off_beat and row.due >= fmt.index(1.0)]
    assert [row.due for _, row in on] == [fmt.index(t) for t in BEATS_S[1 : 1 + len(on)]]
    assert all(EARLY_S <= (end - row.due) / RATE_HZ < 0.25 for end, row in on)
    assert all(row.values.shape == (N_ROW,) and np.isfinite(row.values).all() for _, row in found)
    between = [row.due for _, row in found if row.off_beat and row.due >= fmt.index(1.2)]
    assert between[0] == fmt.index(1.25)


def test_a_kick_that_goes_is_gone_and_one_that_comes_is_heard_on_its_beat(rows):
    samples = chord(30) + kicks(BEATS_S[0:20], 30) + kicks(BEATS_S[36:60], 30)
    on = {round(row.due / RATE_HZ / 0.5) - 1: row.values for _, row in rows(samples) if not row.off_beat}
    gone = {n: values[ROW["gone"]][1] for n, values in on.items()}
    assert gone[18] == 0
    assert gone[34] > np.log2(10)
    assert on[34][ROW["bar"]][KICK] < GONE_BELOW
    low = slice(1, 4)
    assert on[36][ROW["now"]][low].mean() > on[35][ROW["now"]][low].mean() + 1.5


def test_a_look_at_a_beat_says_what_the_beats_own_row_says(frames, fmt, metronome):
    samples = chord(20) + kicks(BEATS_S[0:8], 20) + kicks(BEATS_S[24:38], 20)
    ear, grid, tracker, evidence = Ear(), BarGrid(fmt), metronome(BEATS_S, BEATS_S[::4]), Evidence(fmt)
    at, own, seen = fmt.index(BEATS_S[24]), None, None
    for frame in frames(samples):
        hearing, beat = ear.process(frame), grid.process(tracker.state(frame.end))
        row = evidence.process(frame, hearing, beat)
        looked = evidence.looked(frame, hearing)
        if at <= frame.end < at + fmt.hop:
            evidence.look_at(at)
        own = row if row is not None and row.due == at else own
        seen = looked if looked is not None else seen
    assert seen.due == at
    assert np.mean(np.abs(seen.values - own.values) < 0.6) > 0.95


def test_rows_do_not_know_the_volume(rows):
    breath = 3e-4 * np.random.default_rng(1).standard_normal(20 * RATE_HZ)
    samples = chord(20) + kicks(BEATS_S[0:40], 20) + breath
    loud, quiet = ([row.values for _, row in rows(samples * gain)][-1] for gain in (1.0, 0.1))
    assert np.mean(np.abs(loud - quiet) < 0.1) > 0.95
