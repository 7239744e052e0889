"""Music, speech, silence and noise are told apart."""

import subprocess

import numpy as np
import pytest
import soundfile

from k1edge.audio.synth import hum, noise
from k1edge.frames import BeatState
from k1edge.genesis.hearing import Ear
from k1edge.genesis.wire import SILENT_HOPS, WireWatch
from tests.music import demo_song

RATE_HZ = 44_100
SETTLE = 300
WORDS = (
    "Good evening, ladies and gentlemen. The second half begins in about ten minutes, so please take your seats. "
    "If you own the grey van in front of the loading bay, kindly move it, because the band cannot get out. "
    "The bar in the foyer stays open until half past eleven tonight. Thank you, and enjoy the rest of the evening."
)


@pytest.fixture
def watch(frames):
    """watch(samples, tempo, confidence, lock) -> what is said after each hop of a beat of which so much is believed."""

    def watch(samples, tempo_bpm=0.0, confidence=0.0, lock=False, **beat):
        ear, watch.last = Ear(), WireWatch()
        states = ((f, BeatState(f.end, tempo_bpm, 0.0, confidence, lock, **beat)) for f in frames(samples))
        return [watch.last.process(f, ear.process(f), state) for f, state in states]

    return watch


def believed(watch, *args, **beat):
    """At the end; what is said changes only with what is more than a little."""
    watch(noise(5, -30.0).samples, 120.0, *args, **beat)
    return watch.last._belief.tolist()


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    """A real speech synthesiser, as used for announcements."""
    path = tmp_path_factory.mktemp("speech") / "words.wav"
    subprocess.run(["espeak-ng", "-v", "en-gb", "-s", "150", "-w", str(path), WORDS], check=True)
    samples, rate_hz = soundfile.read(path, dtype="float32")
    at = np.arange(0, len(samples) - 1, rate_hz / RATE_HZ)
    return np.interp(at, np.arange(len(samples)), samples).astype(np.float32)


def _share(wires, state):
    return np.mean([w.state == state for w in wires[SETTLE:]])


def test_speech_is_speech(watch, speech):
    assert _share(watch(speech), "speech") > 0.9


@pytest.mark.parametrize("sound", [noise(15, -30.0), noise(15, -45.0, "pink", seed=3), hum(15, -30.0)])
def test_noise_and_hum_are_noise(watch, sound):
    assert _share(watch(sound.samples), "noise") > 0.95


def _scattered(sound, per_s, seconds=12, seed=11):
    """The sound at random times, as loud as it happens to be."""
    rng = np.random.default_rng(seed)
    struck = np.zeros(seconds * RATE_HZ)
    struck[rng.integers(0, len(struck), per_s * seconds)] = rng.exponential(size=per_s * seconds)
    return np.convolve(struck, sound)[: len(struck)]


_T = np.arange(12 * RATE_HZ) / RATE_HZ
_BURST = np.exp(-_T[:1_000] / 0.005)
VENUE = {
    "a tone to test the line": np.sin(2 * np.pi * 1_000 * _T),
    "a fan": noise(12, seed=5).samples * (1 + 0.5 * np.sin(2 * np.pi * 4 * _T)),
    "a motor": sum(np.sin(2 * np.pi * 200 * n * _T) / n for n in range(1, 9)) + 10 * noise(12, seed=6).samples,
    "rain": _scattered(np.sin(2 * np.pi * 4_000 * _T[:1_000]) * _BURST, 200) + noise(12, seed=7).samples,
    "applause": _scattered(noise(0.1, 0.0, seed=8).samples[:1_000] * _BURST, 150),
}


@pytest.mark.parametrize("silent_s", [0, 2])
@pytest.mark.parametrize("sound", VENUE.values(), ids=VENUE.keys())
def test_what_else_a_venue_sounds_like_is_no_music(watch, sound, silent_s):
    """Nor is its beginning, with or without a silence before it, the onset that would make it one."""
    samples = np.concatenate([np.zeros(silent_s * RATE_HZ), 0.05 * sound / sound.std()])
    assert "music" not in [wire.state for wire in watch(samples.astype(np.float32))]


def test_silence_is_silence_at_once(watch):
    assert all(w.state == "silence" for w in watch(np.zeros(5 * RATE_HZ)))


def test_music_is_music_even_without_a_tracker(watch):
    assert _share(watch(demo_song().samples[: 40 * RATE_HZ]), "music") > 0.9


def test_the_end_of_the_music_is_silence_within_a_second_or_so(watch):
    song = demo_song().samples[20 * RATE_HZ : 30 * RATE_HZ]
    wires = watch(np.concatenate([song, np.zeros(3 * RATE_HZ)]))
    ended = next(i for i, w in enumerate(wires) if i > 990 and w.state == "silence")
    assert ended <= 1000 + SILENT_HOPS + 20
    assert wires[-1].since == wires[ended].since


@pytest.mark.parametrize(("confidence", "counts"), [(0.9, True), (0.5, False)])
def test_a_beat_that_nobody_is_sure_of_is_no_evidence_of_music(watch, confidence, counts):
    assert (believed(watch, confidence, lock=True) != believed(watch, confidence, lock=False)) == counts


@pytest.mark.parametrize(("confidence", "state"), [(0.9, "music"), (0.7, "noise")])
def test_a_sure_beat_outweighs_whatever_sounds_like_noise(watch, confidence, state):
    assert watch(hum(8, -30.0).samples, 180.0, confidence, lock=True)[-1].state == state


@pytest.mark.parametrize(("builds", "lock", "state"), [(True, True, "music"), (False, True, "noise"), (True, False, "noise")])
def test_a_riser_in_a_build_is_music_while_its_beat_is_heard(frames, builds, lock, state):
    ear, wire = Ear(), WireWatch()
    for number, f in enumerate(frames(np.r_[demo_song().samples[: 6 * RATE_HZ], noise(8, -20.0).samples])):
        confidence, is_on = (0.5, lock) if number > 600 else (0.9, True)
        heard = wire.process(f, ear.process(f), BeatState(f.end, 120.0, 0.0, confidence, is_on), builds=builds)
    assert heard.state == state


def test_only_a_beat_that_is_heard_is_evidence_of_music(watch):
    heard, coasting, none = (believed(watch, 0.9, **beat) for beat in (
        {"lock": True}, {"lock": True, "coasting": True}, {"lock": False}))  # fmt: skip
    assert coasting == none != heard


def test_confidence_is_a_probability(watch):
    assert all(0.0 <= w.confidence <= 1.0 for w in watch(np.concatenate([noise(4).samples, np.zeros(RATE_HZ)])))
