"""Double, halve, nudge, this-is-one and tap act on the state space: later beats follow from them."""

import functools
import itertools

import numpy as np
import pytest

from k1edge.audio import synth
from k1edge.beat.bar_pointer import STEPS_PER_S, BarPointer
from k1edge.beat.belief import Belief, Reader
from k1edge.beat.hands import Hands
from k1edge.beat.prior import TempoPrior
from tests.beat.streams import RATE_HZ, Player, errors_s, hit_share, kick, kit_at

CUT = 12 * RATE_HZ


@pytest.fixture
def player():
    return Player()


def cut_at(player, samples, act):
    player.play(samples[:CUT])
    act(player.tracker)
    return player.play(samples[CUT:])


def test_double_doubles_and_teaches_the_prior():
    sound = synth.clicks(80, 20)
    player = Player()
    before = player.tracker.tempo_prior.density(160)
    heard = cut_at(player, sound.samples, lambda t: t.double())
    assert heard.at(12.5).tempo_bpm == pytest.approx(160, rel=0.02)
    assert player.tracker.tempo_prior.density(160) > before
    assert player.tracker._pointer._density == pytest.approx(player.tracker.tempo_prior.density(player.tracker.tempi_bpm))
    truth = np.r_[sound.truth.beats_s, sound.truth.beats_s + 0.375]
    assert hit_share(heard.due_between(12.3, 14), truth[(truth > 12.4) & (truth < 13.8)]) == 1.0


def test_halve_halves_and_stays_on_the_beat():
    sound = synth.clicks(160, 20)
    heard = cut_at(Player(), sound.samples, lambda t: t.halve())
    assert heard.at(12.5).tempo_bpm == pytest.approx(80, rel=0.02)
    assert np.abs(errors_s(heard.due_between(12.5, 14), sound.truth.beats_s)).max() < 0.05


def test_a_level_that_was_left_does_not_come_back_while_the_song_goes_on():
    heard = cut_at(Player(), synth.four_on_the_floor(132, 45).samples, lambda t: t.halve())
    assert all(state.tempo_bpm == pytest.approx(66, rel=0.05) for state in heard.states[1_300:])


def test_a_level_that_was_left_comes_back_when_the_hand_is_taken_off(player):
    sound = synth.four_on_the_floor(132, 60).samples
    cut_at(player, sound[: 20 * RATE_HZ], lambda t: t.halve())
    player.tracker.release()
    assert player.play(sound[20 * RATE_HZ :]).states[-1].tempo_bpm == pytest.approx(132, rel=0.03)


def test_a_level_that_was_left_is_welcome_in_the_next_song(player):
    player.play(synth.four_on_the_floor(132, 15).samples)
    player.tracker.halve()
    player.play(synth.four_on_the_floor(132, 15).samples)
    player.play(synth.silence(12).samples)
    heard = player.play(synth.four_on_the_floor(148, 20).samples)
    assert heard.states[-1].tempo_bpm == pytest.approx(148, rel=0.03)


def test_taps_at_another_level_are_kept_to():
    sound = synth.four_on_the_floor(140, 40)
    player = Player()
    for beat_s in sound.truth.beats_s[24:34:2]:
        player.play(sound.samples[player.at : round(beat_s * RATE_HZ)])
        player.tracker.tap(player.at)
    heard = player.play(sound.samples[player.at :])
    assert heard.states[-1].tempo_bpm == pytest.approx(70, rel=0.05)


def hands_at(bpm):
    """Hands over a state space, what is believed there, and what is refused at a tempo."""
    pointer = BarPointer(TempoPrior(), 55.0, 215.0)
    hands = Hands(pointer, Reader(pointer))

    def refused(bpm):
        return bool(hands.refused[np.abs(np.log(pointer.tempi_bpm / bpm)).argmin()])

    return hands, Belief(60 * STEPS_PER_S / bpm, 3.0, 0.9, 0.0), refused


def test_with_a_level_its_double_is_left_and_nothing_beside():
    hands, belief, refused = hands_at(94)
    hands.change_level(belief, 2 / 3)
    assert all(map(refused, (88, 94, 102, 175, 189, 205)))
    assert not any(map(refused, (58, 63, 70, 126)))


def test_who_goes_on_tapping_goes_on_refusing_what_was_left():
    hands, belief, refused = hands_at(160)
    for n in range(8):
        tapped = hands.tap(200 + 2 * n * belief.period, 200 + 2 * n * belief.period, belief if n < 3 else hands_at(80)[1])
    assert tapped == pytest.approx(80) and refused(160) and not refused(80)


@pytest.mark.parametrize("faster", [0.86, 0.9, 1.1, 1.16, 1.3])
def test_what_was_tapped_is_never_refused(faster):
    hands, belief, refused = hands_at(110)
    for n in range(4):
        tapped = hands.tap(200 + n * belief.period / faster, 200 + n * belief.period / faster, belief)
    assert tapped == pytest.approx(110 * faster)
    assert hands.person_holds and refused(110) and not refused(110 * faster)


def test_a_level_beyond_the_range_is_refused():
    heard = cut_at(Player(), synth.clicks(150, 16).samples, lambda t: t.double())
    assert heard.at(13).tempo_bpm == pytest.approx(150, rel=0.02)


def test_what_was_refused_and_wanted_again_breaks_nothing():
    player, sound = Player(), synth.four_on_the_floor(118, 20).samples
    for act, until_s in (("halve", 10), ("double", 13), ("halve", 13.68)):
        player.play(sound[player.at : round(until_s * RATE_HZ)])
        assert getattr(player.tracker, act)()
    assert player.play(sound[player.at :]).states[-1].tempo_bpm == pytest.approx(59, rel=0.03)


def test_a_nudge_is_as_much_at_every_hop():
    """The posterior is looked at on every fourth, and goes on in between."""
    sound, moved, before = synth.clicks(120, 10).samples, [], Player()
    for hop in range(4):
        before.play(sound[before.at : (800 + hop) * before.fmt.hop])
        players = before.twin(), before.twin()
        for player, ms in zip(players, (0, 40), strict=True):
            assert player.tracker.nudge(ms)
            player.play(sound[player.at :])
        still, nudged = (player.heard.due_between(8.3, 8.9)[0] for player in players)
        moved.append(nudged - still)
    assert max(moved) - min(moved) < 0.005
    assert moved[0] == pytest.approx(0.03, abs=0.012), "the clicks have already begun to argue"


BREAKDOWN_S, BREAKDOWN_BPM = (12.5, 26.0), 120


@functools.cache
def coasting():
    """Drums, then chords alone, and a player after some seconds of them."""
    drums = synth.four_on_the_floor(BREAKDOWN_BPM, BREAKDOWN_S[0]).samples
    player, samples = Player(), chords(*BREAKDOWN_S)
    samples[: len(drums)] += drums
    player.play(samples[: 18 * RATE_HZ])
    assert player.tracker._lock.coasting
    return player, samples


def in_a_breakdown(act):
    """What is announced of a breakdown in which a hand acts."""
    before, samples = coasting()
    player = before.twin()
    act(player.tracker)
    return player.play(samples[player.at :])


def chords(begin_s, end_s):
    """Held from one moment on, their tones beating with each other, without an attack."""
    rng, at = np.random.default_rng(1), np.arange(round(end_s * RATE_HZ)) / RATE_HZ
    out = np.zeros(len(at))
    for root, detuned, harmonic in itertools.product((220, 277.2, 329.6, 440), (0.994, 1, 1.005), range(1, 7)):
        wander = 1.5 * np.sin(2 * np.pi * rng.uniform(4, 6) * at)
        out += np.exp(-0.45 * harmonic) * np.sin(2 * np.pi * root * harmonic * detuned * at + rng.uniform(0, 6) + wander)
    return (0.25 * np.clip((at - begin_s) / 2.5, 0, 1) * out / np.abs(out).max()).astype(np.float32)


def test_a_breakdown_is_halved_when_somebody_says_so():
    heard = in_a_breakdown(lambda tracker: tracker.halve())
    assert heard.states[-1].tempo_bpm == pytest.approx(BREAKDOWN_BPM / 2, rel=0.03)
    assert np.diff(heard.due_between(20, 26)) == pytest.approx(120 / BREAKDOWN_BPM, abs=0.05)


def test_a_breakdown_is_nudged_and_stays_so():
    grids = [in_a_breakdown(lambda tracker, ms=ms: tracker.nudge(ms)).due_between(20, 26) for ms in (0, 120)]
    off = (grids[1][:, None] - grids[0] + 0.25) % 0.5 - 0.25
    assert off == pytest.approx(0.12, abs=0.03)


def test_a_series_of_taps_is_one_lesson(player):
    for bpm in (96, 96, 96):
        player.tracker._learn(bpm, player.tracker.tempo_prior)
    known = player.tracker.tempo_prior.density(96)
    player.play(synth.four_on_the_floor(128, 12).samples)
    for _ in range(20):
        player.tracker.tap(player.at)
        player.play(np.zeros(round(60 / 128 * 100) * player.fmt.hop, np.float32))
    once = player.tracker.tempo_prior.density(96)
    assert once > 0.5 * known
    assert player.tracker.tempo_prior.density(128) > 0


@functools.cache
def nearly_eight_seconds_of_kicks():
    """A player that has heard 7.7 s of them, all of them, and when one is that it has not heard yet."""
    beats = np.arange(0.5, 18.4, 0.5)
    player, samples = Player(), kit_at(19, (kick(), beats, 0.7))
    player.play(samples[: 770 * player.fmt.hop])
    return player, samples, beats[15]


@pytest.mark.parametrize("ago_s", [0.0, 0.4])
@pytest.mark.parametrize("said_at", [-0.48, -0.4, 0.0, 0.4, 0.48])
def test_this_is_one_makes_the_nearest_beat_a_downbeat_and_holds(said_at, ago_s):
    """As far from the beat as it may be said: what is heard lags behind what is meant by 60 ms, an eighth of a beat. The
    network brings it late."""
    before, samples, one_s = nearly_eight_seconds_of_kicks()
    player, meant_s = before.twin(), one_s + said_at * 0.5
    player.play(samples[player.at : round((meant_s + ago_s) * RATE_HZ)])
    player.tracker.this_is_one(player.at - round(ago_s * RATE_HZ))
    heard = player.play(samples[player.at :])
    events = [e for at, e in heard.lines if at > one_s + ago_s + 0.3]
    assert len(events) > 12
    for event in events[:12]:
        beat = round((event.due / RATE_HZ - one_s) / 0.5)
        assert event.in_bar == beat % 4 + 1


def test_this_is_one_is_believed_and_not_only_told(player):
    """So that the bar goes on from there when the count is begun anew."""
    beats = np.arange(0.5, 10, 0.5)
    player.play(kit_at(8.1, (kick(), beats, 0.7)))
    assert player.tracker.this_is_one(8 * RATE_HZ)
    tracker = player.tracker
    tracker._look(tracker._now)
    believed = tracker._reader.beats()
    assert believed[tracker._pointer.position == 0].sum() > 0.99 * believed.sum()


FLOOR = synth.four_on_the_floor(100, 9)


@functools.cache
def heard_until(sample):
    player = Player()
    player.play(FLOOR.samples[:sample])
    return player


@pytest.mark.parametrize("moment_s", np.arange(0, 0.6, 0.1))
@pytest.mark.parametrize("act", ["double", "halve", "nudge", "tap"])
def test_whenever_a_hand_acts_no_beat_is_left_out(act, moment_s):
    beat_s = FLOOR.truth.beats_s[8]
    player = heard_until(round((beat_s + moment_s) * RATE_HZ)).twin()
    said = {"nudge": (20.0,), "tap": (round(beat_s * RATE_HZ),)}.get(act, ())
    getattr(player.tracker, act)(*said)
    due = player.play(FLOOR.samples[player.at :]).due_between(beat_s - 0.1, 8.5)
    period = {"double": 0.3, "halve": 1.2}.get(act, 0.6)
    assert np.diff(due[due > beat_s + moment_s - 0.1]).max() < 1.6 * period
    assert len(due) >= 3


def test_taps_set_tempo_and_phase_before_anything_is_heard(player):
    noise = synth.noise(30, -45).samples
    at = 0
    for n in range(5):
        at = round((4 + n * 0.48) * RATE_HZ)
        player.play(noise[player.at : at])
        player.tracker.tap(at)
    state = player.play(noise[at : at + RATE_HZ // 10]).states[-1]
    assert state.tempo_bpm == pytest.approx(125, rel=0.02)
    since_tap_s = (state.end - at) / RATE_HZ
    assert abs((state.phase - since_tap_s / 0.48 + 0.5) % 1.0 - 0.5) < 0.15
    assert player.tracker.tempo_prior.density(125) > 0


def test_hands_before_the_first_beat_do_nothing_and_say_so(player):
    for act in ("double", "halve"):
        assert not getattr(player.tracker, act)()
    assert not player.tracker.this_is_one(0)
    assert not player.tracker.nudge(30)
    player.tracker.tap(0)
    assert not player.play(synth.silence(2).samples).lines


def test_the_prior_can_be_handed_over(player):
    cut_at(player, synth.clicks(80, 14).samples, lambda t: t.double())
    again = Player(prior=player.tracker.tempo_prior)
    assert again.tracker.tempo_prior.density(160) == player.tracker.tempo_prior.density(160)
