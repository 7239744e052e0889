"""The bass comes back, and where."""

import numpy as np
import pytest

from k1edge.genesis.hearing import Ear
from k1edge.genesis.returns import GONE_S, Returns
from tests.genesis.sounds import RATE_HZ, chord, kicks


@pytest.fixture
def onsets_s(frames, fmt):
    def onsets_s(samples):
        ear, returns = Ear(), Returns(fmt.hop)
        found = [returns.process(ear.process(frame), frame.end) for frame in frames(samples)]
        return [onset / RATE_HZ for onset in found if onset is not None]

    return onsets_s


def test_a_kick_after_a_rest_is_heard_within_two_hops_of_where_it_is(onsets_s):
    for at_s in (6.0, 6.004, 6.013):
        groove = np.arange(0.5, 4, 0.5)
        found = onsets_s(chord(8) + kicks([*groove, at_s], 8))
        assert [t for t in found if t > 1] == [pytest.approx(at_s, abs=0.02)]


@pytest.mark.parametrize("bpm", [90, 128, 175])
def test_a_groove_holds_no_returns(onsets_s, bpm):
    found = onsets_s(chord(12) + kicks(np.arange(0.5, 11, 60 / bpm), 12))
    assert len(found) <= 1
    assert all(t < 0.5 + GONE_S for t in found)


def test_chords_hiss_and_silence_hold_none(onsets_s):
    hiss = 0.02 * np.random.default_rng(3).standard_normal(6 * RATE_HZ)
    swell = np.interp(np.arange(6 * RATE_HZ) / RATE_HZ, [3.0, 3.1], [0.05, 0.3])
    assert onsets_s(swell * chord(6, 1.0) + hiss) == []
    assert onsets_s(np.zeros(3 * RATE_HZ)) == []
