"""Key, mode, valence and arousal."""

import numpy as np
import pytest

from k1edge.frames import BeatState, Macros
from k1edge.genesis.mood import MoodWatch

RATE_HZ = 44_100
C_MAJOR = ((60, 64, 67), (65, 69, 72), (67, 71, 74), (60, 64, 67))
A_MINOR = ((57, 60, 64), (62, 65, 69), (64, 67, 71), (57, 60, 64))


def _cadence(chords, seconds=16):
    t = np.arange(2 * RATE_HZ) / RATE_HZ
    bars = [sum(np.sin(2 * np.pi * 440 * 2 ** ((note - 69) / 12) * t) for note in chord) for chord in chords]
    return np.tile(np.concatenate(bars), seconds // 8) * 0.1


@pytest.fixture
def feel(frames):
    def feel(samples, macros=None, tempo_bpm=0.0):
        watch, macros = MoodWatch(), macros or Macros(energy=0.5, brightness=0.5)
        states = [watch.process(f, macros, BeatState(f.end, tempo_bpm, 0.0, 1.0, tempo_bpm > 0)) for f in frames(samples)]
        return states[-1]

    return feel


@pytest.mark.parametrize(("chords", "shift", "key"), [
    (C_MAJOR, 0, "C major"), (A_MINOR, 0, "A minor"), (C_MAJOR, 5, "F major"), (A_MINOR, 3, "C minor"),
])  # fmt: skip
def test_a_cadence_has_its_key(feel, chords, shift, key):
    mood = feel(_cadence([[note + shift for note in chord] for chord in chords]))
    assert mood.key == key


def test_noise_has_no_key(feel):
    assert feel(np.random.default_rng(2).standard_normal(10 * RATE_HZ) * 0.1).key == ""


def test_major_is_brighter_than_minor(feel):
    assert feel(_cadence(C_MAJOR)).valence > 0.1 > -0.1 > feel(_cadence(A_MINOR)).valence


def test_loud_fast_drums_excite(feel):
    calm = feel(_cadence(C_MAJOR), Macros(energy=0.3))
    wild = feel(_cadence(C_MAJOR), Macros(energy=1.0, percussiveness=1.0), 170.0)
    assert wild.arousal > calm.arousal + 0.3


def test_a_mood_moves_slowly(feel):
    major, minor = _cadence(C_MAJOR), _cadence(A_MINOR)[: 2 * RATE_HZ]
    assert abs(feel(np.concatenate([major, minor])).valence - feel(major).valence) < 0.1


def test_no_mood_is_told_before_enough_has_been_heard_and_then_it_is_the_mean_of_all_that(feel):
    loud = Macros(energy=1.0, percussiveness=1.0)
    assert feel(_cadence(C_MAJOR)[: 10 * RATE_HZ], loud, 180.0).arousal == 0.0
    assert feel(_cadence(C_MAJOR), loud, 180.0).arousal == pytest.approx(1.0, abs=0.01)


def test_silence_leaves_the_mood_as_it_is(feel):
    song = _cadence(C_MAJOR)
    assert feel(np.concatenate([song, np.zeros(10 * RATE_HZ)])).key == feel(song).key
