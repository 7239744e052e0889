"""Reading one level and phase out of the posterior, and holding on to them."""

import pytest

from k1edge.beat.bar_pointer import BarPointer
from k1edge.beat.belief import Reader
from k1edge.beat.prior import TempoPrior


@pytest.mark.parametrize("off", [0, 6, 12, 18])
def test_where_another_level_is_taken_its_own_beats_are_followed_at_once(off):
    """Of every second beat the one that comes next on the old grid may be the one between."""
    space = BarPointer(TempoPrior(), 55.0, 215.0)
    space.plant(18.0, 9.0, 0.999)
    reader = Reader(space)
    for _ in range(40):
        reader.read(9.0)
    space.plant(36.0, 9.0 + off, 0.9999)
    belief = reader.read(9.0)
    assert belief.period == pytest.approx(36.0, rel=0.03)
    assert (belief.due, belief.mass) == (pytest.approx(9.0 + off, abs=1.0), pytest.approx(1.0, abs=0.01))


def test_where_the_level_stays_another_phase_must_be_better_over_a_beat():
    space = BarPointer(TempoPrior(), 55.0, 215.0)
    space.plant(25.0, 8.0, 0.999)
    reader = Reader(space)
    reader.read(None)
    space.plant(25.0, 20.0, 0.99)
    followed = [reader.read(8.0).due]
    for _ in range(15):
        space.age()
        followed.append(reader.read((followed[-1] - 1.0) % 25.0).due)
    assert followed[1] == pytest.approx(7.0, abs=1.0)
    assert followed[-1] == pytest.approx(5.0, abs=1.0)
