"""What a venue teaches about tempo."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.beat.prior import BROAD_SHARE, MOST_COMPONENTS, TempoPrior

LESSONS = st.lists(st.floats(40, 240), max_size=30)


@given(LESSONS)
@settings(max_examples=60)
def test_any_lessons_leave_a_distribution_that_rules_nothing_out(lessons):
    prior = TempoPrior()
    for bpm in lessons:
        prior = prior.taught(bpm)
    assert sum(c[2] for c in prior.components) == pytest.approx(1.0)
    assert prior.components[0][2] >= BROAD_SHARE - 1e-9
    assert len(prior.components) <= MOST_COMPONENTS
    assert (prior.density(np.geomspace(50, 240, 50)) > 0).all()


def test_the_density_integrates_to_one():
    octaves = np.linspace(0, 14, 20_001)
    density = TempoPrior().taught(174).taught(90).density(2**octaves)
    assert np.sum(density) * (octaves[1] - octaves[0]) == pytest.approx(1.0, rel=1e-3)


def test_a_lesson_makes_its_tempo_more_and_others_less_likely():
    before, after = TempoPrior(), TempoPrior().taught(174)
    assert after.density(174) > 1.5 * before.density(174)
    assert after.density(87) < before.density(87)


def test_lessons_about_one_tempo_become_one_component():
    prior = TempoPrior().taught(127).taught(128).taught(128.5)
    assert len(prior.components) == 2
    assert prior.components[1][0] == pytest.approx(127.8, abs=0.7)
