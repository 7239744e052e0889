"""The aubio engine keeps the tracker's promises as far as aubio can."""

import numpy as np
import pytest

from k1edge.audio import synth
from tests.beat.streams import RATE_HZ, Player, errors_s, hit_share, play


@pytest.fixture(scope="module")
def sound():
    return synth.four_on_the_floor(120, 25)


def test_its_beats_are_announced_ahead_and_once(sound):
    heard = play(sound.samples, engine="aubio")
    late = heard.due_between(12, 24)
    assert hit_share(late, sound.truth.beats_s[(sound.truth.beats_s > 12) & (sound.truth.beats_s < 24)]) >= 0.9
    assert min(heard.fmt.seconds(e.due) - at for at, e in heard.lines) >= 0.0999
    numbers = [e.number for _, e in heard.lines]
    assert numbers == sorted(numbers) and len(heard.due_s) == numbers[-1]


@pytest.mark.parametrize("samples", [synth.silence(20).samples, synth.noise(20, -55).samples, synth.noise(20, -20).samples],
                         ids=["silence", "hiss", "noise"])
def test_it_does_not_beat_to_noise(samples):
    assert not play(samples, engine="aubio").lines


def test_hands_change_what_follows():
    sound = synth.four_on_the_floor(120, 25).samples
    player = Player(engine="aubio")
    player.play(sound[: 15 * RATE_HZ])
    player.tracker.halve()
    player.tracker.this_is_one(player.at)
    heard = player.play(sound[15 * RATE_HZ : 20 * RATE_HZ])
    assert heard.states[-1].tempo_bpm == pytest.approx(60, rel=0.03)
    assert heard.lines[-1][1].in_bar in (1, 2, 3, 4)
    player.tracker.double()
    player.tracker.nudge(100)
    heard = player.play(sound[20 * RATE_HZ :])
    moved = errors_s(heard.due_between(22, 24.5), synth.four_on_the_floor(120, 25).truth.beats_s)
    assert np.median(moved) == pytest.approx(0.1, abs=0.03)
    player.tracker.tap(player.at)


def test_what_cannot_be_done_yet_is_not_done_later():
    player = Player(engine="aubio")
    assert not player.tracker.nudge(100) and not player.tracker.this_is_one(480) and not player.tracker.tap(480)
    sound = synth.four_on_the_floor(120, 25)
    assert abs(np.median(errors_s(player.play(sound.samples).due_between(15, 24.5), sound.truth.beats_s))) < 0.05


def test_released_it_beats_as_it_would_have(sound):
    player = Player(engine="aubio")
    player.play(sound.samples[: 15 * RATE_HZ])
    player.tracker.halve()
    player.tracker.nudge(100)
    player.tracker.release()
    heard = player.play(sound.samples[15 * RATE_HZ :])
    assert heard.states[-1].tempo_bpm == pytest.approx(120, rel=0.03)
    assert abs(np.median(errors_s(heard.due_between(20, 24.5), sound.truth.beats_s))) < 0.05


def test_its_state_is_within_range():
    heard = play(synth.four_on_the_floor(124, 12).samples, engine="aubio")
    assert all(0 <= s.phase < 1 and 0 <= s.confidence <= 1 for s in heard.states)


class DayLater:
    """aubio after so many samples: it counts them in 32 bits."""

    def __init__(self, tempo, samples):
        self._tempo, self._samples = tempo, samples

    def __call__(self, samples):
        return self._tempo(samples)

    def __getattr__(self, name):
        return getattr(self._tempo, name)

    def get_last(self):
        return (self._tempo.get_last() + self._samples) % 2**32


def test_a_day_of_music_leaves_it_on_the_beat(sound):
    player = Player(engine="aubio")
    fed = 2**32 // player.fmt.hop - 1_500
    player.tracker._fed, player.tracker._tempo = fed, DayLater(player.tracker._tempo, fed * player.fmt.hop)
    heard = player.play(sound.samples)
    assert np.abs(errors_s(heard.due_between(16, 24.5), sound.truth.beats_s)).max() < 0.05


def test_hands_stay_within_the_range():
    player = Player(engine="aubio")
    player.play(synth.four_on_the_floor(120, 12).samples)
    assert [player.tracker.halve() for _ in range(4)] == [True, False, False, False]
    assert [player.tracker.double() for _ in range(4)] == [True, False, False, False]


def test_this_is_one_is_the_beat_nearest_to_the_moment_that_was_meant(sound):
    player = Player(engine="aubio", lead_ms=400)
    player.play(sound.samples[: 15 * RATE_HZ])
    one = sound.truth.beats_s[np.abs(sound.truth.beats_s - 14.9).argmin()]
    player.tracker.this_is_one(round((one + 0.05) * RATE_HZ))
    heard = player.play(sound.samples[player.at :])
    assert {round((event.due / RATE_HZ - one) * 2) % 4 + 1 - event.in_bar for _, event in heard.lines[-12:]} == {0}
