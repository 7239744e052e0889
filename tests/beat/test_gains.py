"""What is heard in a step, weighed state by state."""

import numpy as np
import pytest

from k1edge.beat.gains import BEAT_AGE, ONSET_RANGE, ZONE, ZONE_WEIGHTS, Gains, half_zone, onset_template

PERIODS = np.geomspace(60 / 215, 60 / 55, 64) * 50
AGES = np.arange(int(PERIODS[-1].round()) - 1, -3, -1)


@pytest.mark.parametrize("onset", [*np.linspace(*ONSET_RANGE, 7), 0.013, 1.777])
def test_onsets_favour_no_tempo(onset):
    template, each_age = onset_template(AGES, PERIODS)
    gain = Gains(AGES, PERIODS).process(0.0, onset, 0.0, None)
    np.testing.assert_allclose((gain * each_age).sum(axis=0), 1.0, rtol=3e-6)
    np.testing.assert_allclose(gain[3] / gain[9], np.exp(onset * (template[3] - template[9])), rtol=1e-5)


def test_a_beat_speaks_for_the_states_at_their_beat_alone():
    gain = Gains(AGES, PERIODS).process(1.3, 0.0, 0.0, None)
    for age in range(ZONE):
        np.testing.assert_allclose(gain[age == AGES], np.exp(1.3 * ZONE_WEIGHTS[age]), rtol=1e-5)
    np.testing.assert_allclose(gain[(AGES < 0) | (AGES >= ZONE)], 1.0, rtol=1e-5)


def test_evidence_for_half_way_is_strongest_half_a_period_after_the_beat():
    gain = Gains(AGES, PERIODS).process(0.0, 0.0, 0.8, None)
    np.testing.assert_allclose(gain, np.exp(0.8 * half_zone(AGES, PERIODS)), rtol=1e-5)
    middle = AGES[gain.argmax(axis=0)] - BEAT_AGE
    assert (np.abs(middle - PERIODS / 2) <= 0.5 + 1e-9).all()


def test_what_is_known_of_a_tempo_is_in_all_its_states():
    by_tempo = np.linspace(-1, 1, len(PERIODS))
    gains = Gains(AGES, PERIODS)
    plain = gains.process(0.4, 0.7, -0.1, None).copy()
    np.testing.assert_allclose(gains.process(0.4, 0.7, -0.1, by_tempo), plain * np.exp(by_tempo), rtol=1e-5)


def test_what_is_out_of_range_is_as_the_limit():
    gains = Gains(AGES, PERIODS)
    limit = gains.process(0.0, ONSET_RANGE[1], 0.0, None).copy()
    assert (gains.process(0.0, 50.0, 0.0, None) == limit).all()
