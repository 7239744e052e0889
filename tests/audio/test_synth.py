"""Test signals: what their truth says is what is in them."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from k1edge.audio import blocks, synth
from k1edge.audio.blocks import hops
from k1edge.frames import HOP_NS

RATES_HZ = (44_100, 48_000)


def level_dbfs(samples):
    return 20 * np.log10(np.sqrt(np.mean(np.square(samples, dtype=float))) + 1e-9)


def onsets_s(sound, threshold=0.1):
    loud = np.flatnonzero(np.abs(sound.samples) > threshold)
    return loud[np.r_[True, np.diff(loud) > sound.rate_hz // 20]] / sound.rate_hz


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("bpm", [70, 123.4, 180])
def test_clicks_begin_at_their_beats(bpm, rate_hz):
    sound = synth.clicks(bpm, 8.0, rate_hz)
    np.testing.assert_allclose(onsets_s(sound), sound.truth.beats_s, atol=0.001)
    np.testing.assert_allclose(np.diff(sound.truth.beats_s), 60 / bpm)
    np.testing.assert_array_equal(sound.truth.downbeats_s, sound.truth.beats_s[::4])


@pytest.mark.parametrize("bpm", [70, 124, 180])
def test_four_on_the_floor_kicks_on_every_beat(bpm):
    sound = synth.four_on_the_floor(bpm, 10.0)
    size = round(0.04 * sound.rate_hz)
    hits = [sound.samples[round(at * sound.rate_hz) :][:size] for at in sound.truth.beats_s]
    lulls = [sound.samples[round(at * sound.rate_hz) - size :][:size] for at in sound.truth.beats_s]
    assert min(map(level_dbfs, hits)) > max(map(level_dbfs, lulls))
    assert np.abs(sound.samples).max() < 1


@pytest.mark.parametrize("colour", ["white", "pink"])
def test_noise_has_the_level_and_the_colour_asked_for(colour):
    sound = synth.noise(8.0, -30.0, colour)
    power = np.abs(np.fft.rfft(sound.samples)) ** 2
    freqs_hz = np.fft.rfftfreq(len(sound.samples), 1 / sound.rate_hz)
    low, high = (power[(freqs_hz >= f) & (freqs_hz < 2 * f)].mean() for f in (200, 3_200))
    assert level_dbfs(sound.samples) == pytest.approx(-30, abs=0.1)
    assert 10 * np.log10(low / high) == pytest.approx({"white": 0, "pink": 12}[colour], abs=0.7)


def test_hum_is_at_the_mains_and_as_loud_as_asked():
    sound = synth.hum(2.0, -40.0, 60.0)
    spectrum = np.abs(np.fft.rfft(sound.samples))
    assert np.argmax(spectrum) / 2.0 == 60.0
    assert level_dbfs(sound.samples) == pytest.approx(-40, abs=0.1)


def test_silence_is_digital():
    sound = synth.silence(1.5)
    assert not sound.samples.any()
    assert sound.duration_s == 1.5
    assert len(sound.truth.beats_s) == 0


@given(st.lists(st.integers(0, 2_000), max_size=12), st.sampled_from([441, 480]))
def test_hops_keep_every_sample_whatever_the_chunks(sizes, hop):
    samples = np.arange(1, sum(sizes) + 1, dtype=np.float32)
    chunks = np.split(samples, np.cumsum(sizes)[:-1]) if sizes else []
    cut = list(hops(chunks, hop))
    heard = np.concatenate([np.empty(0), *cut])
    assert all(len(piece) == hop and not piece.flags.writeable for piece in cut)
    assert len(cut) == -(-len(samples) // hop)
    np.testing.assert_array_equal(heard[: len(samples)], samples)
    assert not heard[len(samples) :].any()


def test_after_a_stop_a_paced_source_goes_on_with_what_would_sound_now(monkeypatch):
    def sleep(seconds):
        clock.now_ns += round(seconds * 1e9)

    clock = SimpleNamespace(now_ns=0, monotonic_ns=lambda: clock.now_ns, sleep=sleep)
    monkeypatch.setattr(blocks, "time", clock)
    source = iter(synth.SynthSource(np.zeros(100 * 44_100, np.float32), 44_100, paced=True))
    starts_s = []
    for stopped_s in (0, 3, 0, 60, 0):
        clock.now_ns += stopped_s * 1_000_000_000
        starts_s += [next(source).start / 44_100 for _ in range(400)]
    steps = np.diff(starts_s) * 100
    assert list(np.flatnonzero(steps > 1.5)) == [1199], "a minute is past, three seconds are caught up with"
    assert starts_s[1200] == pytest.approx((clock.now_ns - 800 * HOP_NS) / 1e9, abs=0.02)


def test_an_array_gives_the_same_samples_fast_and_paced():
    sound = synth.clicks(120, 0.6)
    fast = list(synth.SynthSource(sound.samples, sound.rate_hz))
    paced = list(synth.SynthSource(sound.samples, sound.rate_hz, paced=True))
    assert [b.start for b in paced] == [b.start for b in fast]
    np.testing.assert_array_equal([b.samples for b in paced], [b.samples for b in fast])
    assert {b.arrived_ns for b in fast} == {0}
    assert paced[-1].arrived_ns <= time.monotonic_ns()
