"""The belief over sections, and what is said of it."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.genesis.decision import DROP_GAP_BEATS, Decision, Phase
from k1edge.genesis.evidence import BAR, N_ROW, N_START, Row
from k1edge.genesis.grid import Beat
from k1edge.genesis.sections import (
    BUILD,
    DROP,
    LABELS,
    MAX_AGE,
    MAX_BARS,
    N_LABELS,
    STAGES,
    SectionFilter,
    hazards,
    packaged,
)

PERIOD = 22_050
ENDS = np.tile(packaged("sections.npz")["ends"][LABELS.index("chorus")], (N_LABELS, 1))
"""As those of music in general: no chorus was there to learn from."""


@pytest.fixture
def weights():
    """A world in which a row says outright which class it is: entry i of it is the log-likelihood of class i."""
    matrix = np.zeros((len(STAGES) * N_LABELS, N_ROW))
    np.fill_diagonal(matrix, 1.0)
    follows = np.full((N_LABELS, N_LABELS), 1 / N_LABELS)
    follows[BUILD] = 0.2 / (N_LABELS - 1)
    follows[BUILD, DROP] = 0.8
    phase = np.zeros(N_START)
    phase[-1] = 1.0
    return {"matrix": matrix, "bias": np.zeros(len(matrix)), "hidden": np.zeros((1, N_ROW)), "hidden_bias": np.zeros(1),
            "out": np.zeros((len(matrix), 1)), "shares": np.repeat([0.003, 0.009, 0.113], N_LABELS),
            "phase": phase, "follows": follows, "ends": ENDS}


@pytest.fixture
def learnt(monkeypatch, weights):
    """That world is what the package has learnt."""
    for module in ("sections", "decision"):
        monkeypatch.setattr(f"k1edge.genesis.{module}.packaged", lambda name: weights)


def _row(stage, label, strength=9.0):
    row = np.zeros(N_ROW)
    row[STAGES.index(stage) * N_LABELS + LABELS.index(label)] = strength
    return row


def _beat(index, scheduled=True):
    return Beat(index, index * PERIOD, index % BAR + 1, index // BAR, PERIOD, scheduled)


def _play(decision, sections, start=0):
    """Steps through [(label, bars)]; [(beat index, moment)]."""
    moments, index = [], start
    for label, bars in sections:
        for age in range(bars * BAR):
            stage = "first" if age == 0 else "bar" if age < BAR else "later"
            beat = _beat(index)
            moments += [(index, m) for m in decision.step(Row(beat.due, beat, _row(stage, label)))]
            index += 1
    return moments


@given(st.lists(st.tuples(st.lists(st.floats(-5, 1), min_size=N_ROW, max_size=N_ROW), st.booleans()), max_size=12))
@settings(max_examples=30)
def test_the_belief_is_a_distribution_whatever_is_heard(rows):
    model = SectionFilter()
    for row, downbeat in rows:
        belief = model.step(np.array(row), downbeat)
        assert belief.min() >= 0
        assert belief.sum() == pytest.approx(1)


def test_an_hour_of_the_same_neither_sticks_nor_overflows():
    model, row = SectionFilter(), np.zeros(N_ROW)
    for i in range(8000):
        belief = model.step(row, i % BAR == 0)
    assert np.isfinite(belief).all()
    assert belief.sum() == pytest.approx(1)


def test_sections_end_after_phrases_counted_from_their_own_first_beat():
    on, off = hazards(ENDS, True)[0], hazards(ENDS, False)[0]
    eight, four, one, none = 8 * BAR - 1, 4 * BAR - 1, 5 * BAR - 1, 5 * BAR
    assert on[eight] > on[four] > on[one]
    assert off[eight] > 5 * on[none] >= 5 * off[none] > 0
    assert on.shape == (MAX_AGE,)


def test_moments_are_called_on_their_first_beat(learnt):
    called = _play(Decision(), [("intro", 8), ("build", 8), ("drop", 16), ("breakdown", 8)])
    kinds = [(m.kind, m.due // PERIOD // BAR) for _, m in called]
    assert ("build", 8) in kinds
    assert ("drop", 16) in kinds
    assert ("breakdown", 32) in kinds
    drop = next((index, m) for index, m in called if m.kind == "drop")
    assert drop[0] * PERIOD == drop[1].due


def test_no_two_drops_within_four_bars(learnt):
    called = _play(Decision(), [("build", 4)] + [("drop", 1), ("build", 1)] * 12)
    dues = [m.due // PERIOD for _, m in called if m.kind == "drop"]
    assert dues
    assert all(b - a >= DROP_GAP_BEATS - BAR for a, b in pairwise(dues))


def test_a_restart_forgets_the_form(learnt):
    decision = Decision()
    _play(decision, [("build", 8)])
    index = decision.section.index
    decision.restart("silence", 40 * PERIOD, 1.0)
    assert (decision.section.label, decision.section.index) == ("silence", index + 1)
    assert decision.countdown(BAR) == (0, 0.0)
    assert not any(m.kind == "drop" for _, m in _play(decision, [("intro", 4)], start=48))
    assert decision.section.label == "intro"


def test_a_tracker_on_the_off_beat_costs_no_drop(learnt):
    """Its beats are half a beat early, and sound like what is between beats."""
    decision, moments = Decision(), []
    for index in range(24 * BAR):
        label = "intro" if index < 8 * BAR else "build" if index < 16 * BAR else "drop"
        stage = "first" if index in (0, 8 * BAR, 16 * BAR) else "later"
        beat = _beat(index)
        between = _row("later", LABELS[max(LABELS.index(label) - 1, 0)], 1.0)
        true = _row(stage, label)
        between[N_START - 1], true[N_START - 1] = -4.0, 4.0
        moments += decision.step(Row(beat.due, beat, between))
        moments += decision.step(Row(beat.due + PERIOD // 2, beat, true))
    (drop,) = [m for m in moments if m.kind == "drop"]
    assert drop.due == 16 * BAR * PERIOD + PERIOD // 2


@pytest.mark.parametrize("begins", ["drop", "breakdown"])
def test_half_a_beat_after_something_else_has_begun_nothing_drops(learnt, begins):
    """A fake drop's boom goes on between the beats, and sounds like a drop's there."""
    decision, moments = Decision(), []
    for index in range(16 * BAR + 2):
        label = "intro" if index < 8 * BAR else "build" if index < 16 * BAR else begins
        beat = _beat(index)
        on, between = _row("first" if index in (0, 8 * BAR, 16 * BAR) else "later", label), np.zeros(N_ROW)
        if index == 16 * BAR:
            between = _row("first", "drop")
        on[N_START - 1], between[N_START - 1] = 4.0, -4.0
        moments += decision.step(Row(beat.due, beat, on))
        moments += decision.step(Row(beat.due + PERIOD // 2, beat, between))
    assert [m.due / PERIOD for m in moments if m.kind == "drop"] == ([16 * BAR] if begins == "drop" else [])


def test_hidden_units_take_part_in_what_a_row_says(weights):
    weights["hidden"][0, :2], weights["out"][DROP] = 1.0, 5.0
    row = np.zeros(N_ROW)
    plain = SectionFilter(weights).likelihood(row)
    row[:2] = 0.5
    assert SectionFilter(weights).likelihood(row)[0, DROP] > 5 * plain[0, DROP]
    row[1] = -0.6
    assert SectionFilter(weights).likelihood(row)[0, DROP] < 1.2 * plain[0, DROP]


def _build_then_return(at_beats, strength=9.0, scheduled=True):
    """A build heard by a tracker that goes its own way, then a drop's sound `at_beats` after one of its beats."""
    decision = Decision()
    _play(decision, [("intro", 8), ("build", 8)])
    last = _beat(16 * BAR - 1, scheduled)
    return decision, decision.returned(Row(last.due + round(at_beats * PERIOD), last, _row("first", "drop", strength)))


def test_a_drop_is_called_where_the_bass_returns_and_no_beat_was_looked_for(learnt):
    decision, (drop,) = _build_then_return(0.7)
    assert (drop.kind, drop.due) == ("drop", round((16 * BAR - 0.3) * PERIOD))
    assert (decision.section.label, decision.section.since) == ("drop", drop.due)
    for index in range(16 * BAR, 20 * BAR):
        beat = _beat(index)
        assert decision.step(Row(beat.due, beat, _row("later", "drop", 2.0))) == ()
    assert (decision.section.label, decision.section.since) == ("drop", drop.due)


def test_a_return_on_a_beat_is_the_beats_to_judge(learnt):
    assert _build_then_return(0.05)[1] == ()


def test_a_return_that_does_not_sound_like_a_drop_is_none(learnt):
    decision, moments = _build_then_return(0.7, strength=0.0)
    assert moments == ()
    assert decision.section.label == "build"


def test_without_a_beat_nothing_drops(learnt):
    assert _build_then_return(0.7, scheduled=False)[1] == ()


def test_the_phase_is_not_left_for_one_beat_that_sounds_odd(learnt):
    phase, beat = Phase(), _beat(0)
    good, odd = np.zeros(N_ROW), np.zeros(N_ROW)
    good[N_START - 1], odd[N_START - 1] = 4.0, -4.0
    assert all(phase.hear(Row(0, beat, good)) for _ in range(16))
    assert phase.hear(Row(0, beat, odd))
    assert not all(phase.hear(Row(0, beat, odd)) for _ in range(32))
    assert phase.off


def test_the_countdown_counts_down():
    model = SectionFilter()
    left = [model.bars_left(DROP, bars * BAR)[0] for bars in range(8)]
    assert [left[0] - n for n in range(8)] == left
    assert model.bars_left(DROP, MAX_BARS * BAR) == (0, 0.0)
