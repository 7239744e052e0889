"""What the macros say, on sounds that are known."""

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from k1edge.audio.files import FileSource
from k1edge.audio.instruments import Kit, hat, kick, snare
from k1edge.dsp.features import FeatureExtractor
from k1edge.genesis.hearing import Ear
from k1edge.genesis.macros import MacroMeter
from tests.genesis.sounds import RATE_HZ, tone

EXCERPTS = Path(__file__).resolve().parents[3] / "shared/bench/beats/data"
"""Recordings and renderings beside the project, where they are there."""


def _noise(seconds, gain, seed=3):
    return gain * np.random.default_rng(seed).standard_normal(int(seconds * RATE_HZ))


def _hits(seconds, every_s=0.25):
    """Bursts of noise that die within 30 ms."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return _noise(seconds, 0.3) * np.exp(-(t % every_s) / 0.03)


def _voice(seconds, pitch_hz=180.0):
    """Someone who sings: a vibrating glottis through the formants of a, e, o, a syllable each 0.4 s."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * (pitch_hz * t + 0.6 * np.sin(2 * np.pi * 5.5 * t))
    vowels = ((700, 1_200, 2_600), (450, 1_900, 2_500), (450, 850, 2_500))
    sung = np.zeros(len(t))
    for harmonic in range(1, 20):
        colours = [sum(np.exp(-(((harmonic * pitch_hz - f) / 130) ** 2)) for f in formants) + 0.02 for formants in vowels]
        sung += np.array(colours)[(t / 0.4).astype(int) % 3] * np.sin(harmonic * phase)
    return 0.1 * sung * (0.55 - 0.45 * np.cos(2 * np.pi * t / 0.4))


def _drums(seconds, bpm=110.0):
    """A kit, played: kick, snare, eighths on the hat."""
    kit, out = Kit(), np.zeros(int((seconds + 1) * RATE_HZ))
    parts = ((kick(kit, RATE_HZ), 0.6, 2, 0), (snare(kit, RATE_HZ), 0.4, 2, 1), (hat(kit, RATE_HZ), 0.15, 0.5, 0))
    for drum, gain, every, first in parts:
        for beat in np.arange(first, seconds * bpm / 60, every):
            at = int(beat * 60 / bpm * RATE_HZ)
            out[at : at + len(drum)] += gain * drum
    return out[: int(seconds * RATE_HZ)]


@pytest.fixture
def measure(frames):
    def measure(samples, meter=None):
        ear, meter = Ear(), meter or MacroMeter()
        return [meter.process(ear.process(frame)) for frame in frames(samples)]

    return measure


def test_every_macro_stays_within_0_and_1(measure):
    wild = np.concatenate([_noise(2, 0.5), np.zeros(RATE_HZ), tone([50], 2, 0.9), _hits(2), _noise(1, 1e-4)])
    for m in measure(wild):
        assert all(0.0 <= x <= 1.0 for x in (m.energy, m.vocal_presence, m.bass_weight, m.percussiveness, m.brightness))


def test_a_quiet_venue_looks_like_a_loud_one(measure):
    music = tone([60, 220, 330, 440], 8) + _hits(8)
    loud, quiet = measure(music)[-200:], measure(music * 0.1)[-200:]
    assert np.mean([m.energy for m in loud]) == pytest.approx(np.mean([m.energy for m in quiet]), abs=0.05)


def test_ten_decibels_less_is_half_the_energy(measure):
    chord = tone([220, 330, 440], 6, 0.2)
    macros = measure(np.concatenate([chord, chord[: 2 * RATE_HZ] * 10 ** (-10 / 20)]))
    assert macros[590].energy > 0.9
    assert macros[-1].energy == pytest.approx(0.5, abs=0.06)


def test_the_gain_freezes_in_silence(measure):
    chord, hiss = tone([220, 330, 440], 4, 0.2), _noise(40, 1e-4)
    after = measure(np.concatenate([chord, hiss, chord[:RATE_HZ] * 0.1]))[-1]
    at_once = measure(np.concatenate([chord, chord[:RATE_HZ] * 0.1]))[-1]
    assert after.energy == pytest.approx(at_once.energy, abs=0.05)


def test_silence_and_hiss_glow_nowhere(measure):
    last = measure(np.concatenate([tone([220], 2), _noise(5, 1e-4)]))[-1]
    assert max(last.energy, last.vocal_presence, last.bass_weight, last.percussiveness) < 0.02


def test_drums_are_percussive_and_chords_are_not(measure):
    drums = np.mean([m.percussiveness for m in measure(_hits(6))[200:]])
    chord = np.mean([m.percussiveness for m in measure(tone([220, 277, 330, 440], 6))[200:]])
    assert drums > 0.4
    assert chord < 0.05


def test_bass_is_bass_and_a_bassless_chord_has_none(measure):
    assert measure(tone([55, 220, 330], 5))[-1].bass_weight > 0.8
    assert measure(tone([440, 550, 660], 5))[-1].bass_weight < 0.2


def test_brightness_follows_the_spectrum(measure):
    dark, bright = measure(tone([200, 300], 4))[-1], measure(_noise(4, 0.1))[-1]
    assert dark.brightness < 0.2 < 0.8 < bright.brightness


def test_a_voice_is_vocal_and_a_drum_kit_is_not_alone_or_together(measure):
    def mean(samples):
        heard = measure(samples)[200:]
        return np.mean([m.vocal_presence for m in heard]), np.mean([m.percussiveness for m in heard])

    (sung, sung_struck), (kit, kit_struck) = mean(_voice(6)), mean(_drums(6))
    both, both_struck = mean(_voice(6) + _drums(6))
    assert sung > kit + 0.3
    assert kit_struck > sung_struck + 0.3
    assert both > kit
    assert both_struck > sung_struck


DRUMS = ("groove/groove_drummer1_session2_111_rock", "groove/groove_drummer7_session3_133_soul",
         "groove/groove_drummer8_session2_31_afrobeat", "loops/sp_amen_140", "loops/h2_gm_kit_jazzy")  # fmt: skip
HELD = ("studio/choir_hymn_66", "studio/strings_80", "pop909/pop909_190", "pop909/pop909_391", "pop909/pop909_502")
"""Without drums: voices, strings, and a voice's part among keyboards."""


@pytest.mark.skipif(not EXCERPTS.exists(), reason="the excerpts are not beside the project")
def test_real_excerpts_of_drums_and_of_voices_lie_far_apart():
    def mean(name):
        source = FileSource(EXCERPTS / f"{name}.ogg")
        features, ear, meter = FeatureExtractor(source.fmt), Ear(), MacroMeter()
        heard = [meter.process(ear.process(features.process(block))) for block in islice(source, 1200)][200:]
        return np.mean([(m.vocal_presence, m.percussiveness) for m in heard], axis=0)

    drums, held = (np.array([mean(name) for name in names]) for names in (DRUMS, HELD))
    assert held[:, 0].min() > drums[:, 0].max() + 0.2
    assert drums[:, 1].min() > held[:, 1].max() + 0.4
