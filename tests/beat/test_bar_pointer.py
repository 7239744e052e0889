"""The state space: mass is kept, periods are exact, evidence wins."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from k1edge.beat.bar_pointer import BEAT_AGE, STEPS_PER_S, TEMPI, BarPointer
from k1edge.beat.belief import Reader
from k1edge.beat.prior import TempoPrior


def pointer(bpm=120.0, octaves=0.75):
    return BarPointer(TempoPrior(((bpm, octaves, 1.0),)), 55, 215)


@pytest.fixture
def space():
    return pointer()


def pulse(space, period_steps, steps, downbeat_every=0, first=10.0):
    """A beat every `period_steps`: the evidence of a perfect activation."""
    for step in range(steps):
        number = round((step - first) / period_steps)
        near = abs(step - first - number * period_steps) <= 1.0
        down = near and downbeat_every and number % downbeat_every == 0
        bar = np.where(space.position == 0, 1.0 if down else -1.0, -1.0 if down else 0.3) if near else None
        space.step(2.0 if near else -0.7, 0.02 if near else -0.02, 0.0, bar)
    return (steps - 1 - first) % period_steps


@given(st.lists(st.tuples(st.floats(-2, 3), st.floats(-3, 4), st.floats(-1, 1)), max_size=300))
@settings(max_examples=25)
def test_mass_is_neither_made_nor_lost(evidence):
    space = pointer()
    for llr in evidence:
        space.step(*llr)
    assert space.tempo_masses().sum() + space.none == pytest.approx(1.0, abs=1e-4)
    assert (space.recent() >= 0).all() and 0 <= space.none <= 1


def test_the_marginal_is_the_sum_over_the_beats_however_long_it_goes_on():
    space, rng = pointer(), np.random.default_rng(0)
    for step in range(1000):
        bar = 0.1 * rng.normal(size=len(space.per_bar))
        space.step(1.0 if step % 25 < 2 else -0.5, 0.0, 0.3 * rng.normal(), bar, tempo=np.zeros(TEMPI))
        summed = np.einsum("abi,ai->ai", space._masses[space._recent], space._gains[space._recent])
        assert np.abs(summed - space.recent()).sum() < 1e-4 * summed.sum()


@given(st.lists(st.sampled_from([0.0, 6.0, -6.0]), min_size=1, max_size=300))
@settings(max_examples=15)
def test_the_strongest_evidence_never_breaks_the_numbers(llrs):
    space = pointer()
    for llr in llrs:
        space.step(llr, -llr / 2, llr / 2)
    assert np.isfinite(space.none) and np.isfinite(space.recent()).all()


@pytest.mark.parametrize("bpm", [62.0, 97.3, 128.0, 151.7, 199.0])
def test_a_pulse_is_found_and_its_next_beat_foretold(bpm):
    space, period = pointer(), 60 * STEPS_PER_S / bpm
    since = pulse(space, period, 800)
    belief = Reader(space).read(None)
    assert belief.tempo_bpm == pytest.approx(bpm, rel=0.012)
    left = (period - since) % period
    assert min(abs(belief.due - left), abs(belief.due - left - period), abs(belief.due - left + period)) < 1.0
    assert belief.mass > 0.9 and belief.none < 0.02


@pytest.mark.parametrize("metre", [3, 4])
def test_downbeats_tell_the_metre(space, metre):
    pulse(space, 25.0, 1500, downbeat_every=metre)
    reader = Reader(space)
    reader.read(None)
    beats = reader.beats()
    assert space.per_bar[beats.argmax()] == metre
    assert beats[space.per_bar == metre].sum() > 0.8 * beats.sum()


@pytest.mark.parametrize("place", [0, 20, 40, 63])
@pytest.mark.parametrize("share_of_beat", np.linspace(0, 1, 23))
def test_wherever_in_the_beat_it_is_planted_it_goes_on_from_there(space, place, share_of_beat):
    period = float(space.periods[place])
    due = share_of_beat * period
    space.plant(period, due, share=1 - 1e-6)
    reader = Reader(space)
    for steps in range(1, round(period) + 5):
        space.age()
        belief = reader.read(None)
        off = (belief.due - (due - steps) + period / 2) % period - period / 2
        assert abs(off) <= 1.0 and belief.period == pytest.approx(period, rel=0.03)
        assert belief.mass > 0.9


@pytest.mark.parametrize("due", [0.5, 2.0, 10.0])
def test_a_beat_planted_as_the_one_last_passed_is_followed_by_the_next(space, due):
    three_of_four = 1.0 * ((space.per_bar == 4) & (space.position == 2))
    space.plant(25.0, due, 1 - 1e-6, three_of_four)
    reader = Reader(space)
    for _ in range(int(due) + 4):
        space.age()
    reader.read(None)
    passed = reader.beats()
    assert (space.per_bar[passed.argmax()], space.position[passed.argmax()]) == (4, 3)


def test_a_planted_beat_comes_when_it_was_planted(space):
    space.plant(period=25.0, due=11.0, share=0.9)
    for _ in range(4):
        space.age()
    belief = Reader(space).read(None)
    assert belief.due == pytest.approx(7.0, abs=0.6)
    assert belief.period == pytest.approx(25.0, rel=0.02)


def test_ageing_alone_keeps_time(space):
    """The entry weights make the period exact: after 20 beats without evidence the mean has not drifted."""
    space.plant(period=float(space.periods[30]), due=10.0, share=0.999)
    reader = Reader(space)
    for _ in range(10 + round(20 * space.periods[30]) - 5):
        space.age()
    belief = reader.read(5.0)
    exact = 10 + 20 * space.periods[30] - (10 + round(20 * space.periods[30]) - 5)
    assert belief.due == pytest.approx(exact, abs=1.5)


@pytest.mark.parametrize("beats_ago", [-2, -1, 0, 1, 3])
@pytest.mark.parametrize("off", [-0.4, 0.0, 0.4])
def test_seating_makes_the_nearest_beat_a_downbeat(beats_ago, off):
    space, period = pointer(), 25.0
    since = pulse(space, period, 600)
    space.seat(since + (beats_ago + off) * period)
    reader = Reader(space)
    belief = reader.read(None)
    beats = reader.beats()
    wanted = space.position == beats_ago % space.per_bar
    assert beats[wanted].sum() > 0.95 * beats.sum()
    assert belief.due > BEAT_AGE


def test_without_evidence_no_beat_is_not_ruled_out_and_nothing_is_certain(space):
    for _ in range(3_000):
        space.age()
    belief = Reader(space).read(None)
    assert belief.mass < 0.3
    assert space.none > 0.02


@pytest.mark.parametrize("bpm", [75, 150])
def test_where_nothing_is_heard_tempi_are_as_probable_as_the_room_has_taught(space, bpm):
    space.believe(TempoPrior().taught(bpm).taught(bpm))
    for _ in range(1_000):
        space.age()
    assert space.tempi_bpm[space.tempo_masses().argmax()] == pytest.approx(bpm, rel=0.02)


def test_random_onsets_are_explained_by_no_beat():
    rng, space = np.random.default_rng(3), pointer()
    from k1edge.beat.observation import Activation, evidence

    for _ in range(3_000):
        space.step(*evidence(Activation(0.9 if rng.random() < 0.08 else 0.02, 0.02, 0.3)), 0.0)
    assert space.none > 0.5


def test_an_opinion_on_tempo_outlasts_onsets_half_way_that_argue_for_twice_the_tempo():
    shares = []
    for opinion in (0.0, 4.0):
        space, period = pointer(), 42.0
        slow = np.abs(np.log2(space.tempi_bpm * period / 60 / STEPS_PER_S)) < 0.1
        for step in range(1_500):
            near = abs((step - 10 + period / 4) % (period / 2) - period / 4) <= 1.0
            space.step(0.8 if near else -0.3, 0.02 if near else -0.02, 0.0, tempo=opinion * slow)
        shares.append(space.tempo_masses()[slow].sum() / (1 - space.none))
    assert shares[0] < 0.1 and shares[1] > 0.9, shares


def test_an_opinion_on_tempo_says_nothing_of_whether_there_is_a_beat():
    with_it, without = pointer(), pointer()
    pulse(without, 25.0, 300)
    pulse(with_it, 25.0, 300)
    before = with_it.none
    with_it.step(0.0, 0.0, 0.0, tempo=np.linspace(-3, 3, len(with_it.tempi_bpm)))
    without.step(0.0, 0.0, 0.0)
    assert with_it.none == pytest.approx(without.none, rel=1e-3) and before < 0.1


def test_weak_beats_half_way_do_not_double_the_tempo():
    """What is usual half way is evidence for the tempo, none for its double."""
    shares = []
    for half_llr in (0.0, 0.4):
        space, period = pointer(), 42.0
        for step in range(1_200):
            place = min((step - 10) % period, -(step - 10) % period)
            half = abs(place - period / 2) <= 1.0
            llr = 1.4 if place <= 1.0 else 0.2 if half else -0.6
            space.step(llr, 0.0, 0.0, half_llr=half_llr if half else -0.1 if place > 1.0 and half_llr else 0.0)
        masses, bpm = space.tempo_masses(), 60 * STEPS_PER_S / period
        shares.append(masses[np.abs(np.log2(space.tempi_bpm / bpm / 2)) < 0.1].sum())
    assert shares[1] < 0.5 * shares[0] + 1e-6


def test_what_is_said_of_the_bar_says_nothing_of_tempo_and_phase(space):
    pulse(space, 25, 200, downbeat_every=4)
    told, untold = copy.deepcopy(space), space
    third = np.where((space.per_bar == 4) & (space.position == 2), 2.0, 0.0)
    for _ in range(30):
        told.step(0.5, 0.0, 0.0, third)
        untold.step(0.5, 0.0, 0.0, np.zeros(len(third)))
    assert told.tempo_masses() == pytest.approx(untold.tempo_masses(), abs=1e-4)
    assert told.recent() * told.scale == pytest.approx(untold.recent() * untold.scale, abs=1e-4)
    everywhere = np.ones((len(space.ages), len(space.periods)), np.float32)
    shares = [each.beats(slice(None), everywhere) for each in (told, untold)]
    assert np.abs(np.subtract(*(share / share.sum() for share in shares))).max() > 0.05
