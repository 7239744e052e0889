"""What is said of the form, where what is believed is given."""

from types import SimpleNamespace

import numpy as np
import pytest

from k1edge.genesis import decision
from k1edge.genesis.decision import Decision
from k1edge.genesis.sections import DROP, LABELS, MAX_AGE

BEAT = 22_050
VERSE, CHORUS = (LABELS.index(label) for label in ("verse", "chorus"))


class Believing(Decision):
    """Hears rows of nothing, and believes what it is told."""

    def __init__(self, monkeypatch):
        super().__init__()
        self.belief, self.beats = np.zeros((len(LABELS), MAX_AGE)), 0
        monkeypatch.setattr(decision.SectionFilter, "step", lambda *_: self.belief)
        monkeypatch.setattr(decision.Phase, "hear", lambda *_: True)

    def beat(self, label, age, sure=1.0):
        """One more beat on which a section began `age` beats ago, of this label or else a verse; returns the moments."""
        self.beats += 1
        self.belief[:] = 0.0
        self.belief[VERSE, min(age, MAX_AGE - 1)] = 1 - sure
        self.belief[label, min(age, MAX_AGE - 1)] = sure
        beat = SimpleNamespace(downbeat=False, scheduled=True, period=BEAT)
        return self.step(SimpleNamespace(off_beat=False, due=self.beats * BEAT, values=None, beat=beat))


@pytest.fixture
def told(monkeypatch):
    return Believing(monkeypatch)


def test_a_section_is_told_once_however_long_it_goes_on(told):
    moments = [told.beat(CHORUS, age) for age in range(3 * MAX_AGE)]
    assert sum(map(len, moments)) == 1
    assert (told.section.label, told.section.index, told.section.since) == ("chorus", 1, BEAT)


def test_a_drop_that_is_heard_a_beat_beside_is_no_other_section(told):
    for age in range(40):
        told.beat(CHORUS, age)
    (called,) = told.beat(DROP, 0)
    assert called.kind == "drop"
    assert not [moment for age in range(40) for moment in told.beat(DROP, age)]
    assert (told.section.label, told.section.index) == ("drop", 2)


def test_a_section_whose_label_is_in_doubt_is_provisional_however_surely_one_began(told):
    told.beat(CHORUS, 0, sure=0.9)
    assert (told.section.label, told.section.confidence, told.section.provisional) == ("chorus", 1.0, True)
    told.beat(VERSE, 1)
    assert (told.section.label, told.section.index, told.section.provisional) == ("verse", 1, True)
    for age in range(2, 6):
        told.beat(VERSE, age)
    assert (told.section.label, told.section.index, told.section.provisional) == ("verse", 1, False)


@pytest.mark.parametrize("per_bar", [2, 3, 5])
def test_the_countdown_is_in_bars_of_the_metre(told, per_bar):
    for age in range(64):
        told.beat(CHORUS, age)
        in_fours, probability = told.countdown(4)
        left, same = told.countdown(per_bar)
        ends = (age // 4 + in_fours) * 4
        assert left >= 1 and same == probability
        assert abs((age // per_bar + left) * per_bar - ends) < per_bar
