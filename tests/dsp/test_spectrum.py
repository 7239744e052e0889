"""Magnitudes of the lowest bins."""

import tracemalloc

import numpy as np
import pytest

from k1edge.dsp.spectrum import Spectrum

SIZES = [(2_205, 801), (2_400, 801), (8_820, 401), (9_600, 401), (30, 16), (7, 3)]


def by_numpy(window, samples, count):
    return np.abs(np.fft.rfft(samples * window))[:count]


def case(size, seed=1):
    rng = np.random.default_rng(seed)
    return np.hanning(size + 1)[:-1], rng.standard_normal(size).astype(np.float32)


@pytest.mark.parametrize(("size", "count"), SIZES)
def test_every_wanted_bin_is_there_and_right(size, count):
    window, samples = case(size)
    spectrum = Spectrum(window, count)
    expected = by_numpy(window, samples, size // 2 + 1)
    said = spectrum.process(samples)
    assert set(range(count)) <= set(spectrum.bins.tolist())
    np.testing.assert_allclose(said, expected[spectrum.bins], atol=2e-6 * expected.max())


@pytest.mark.parametrize(("size", "count"), SIZES)
def test_spread_weights_count_every_bin_once(size, count):
    window, samples = case(size)
    spectrum = Spectrum(window, count)
    weights = np.random.default_rng(2).uniform(0, 1, (count, 3))
    expected = by_numpy(window, samples, count) @ weights
    np.testing.assert_allclose(spectrum.spread(weights) @ spectrum.process(samples), expected, rtol=1e-5)


def test_a_tone_is_in_its_bin_alone():
    window, _ = case(2_400)
    spectrum = Spectrum(window * 4 / 2_400, 801)
    said = spectrum.process(np.cos(2 * np.pi * 50 * np.arange(2_400) / 2_400).astype(np.float32))
    assert said[spectrum.bins == 50] == pytest.approx(1.0, abs=1e-5)
    assert said[np.abs(spectrum.bins - 50) > 1].max() < 1e-6


def test_silence_is_exactly_nothing():
    assert not Spectrum(case(2_205)[0], 801).process(np.zeros(2_205, np.float32)).any()


def test_nothing_is_allocated_per_call():
    window, samples = case(2_205)
    spectrum = Spectrum(window, 801)
    spectrum.process(samples)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for _ in range(500):
        spectrum.process(samples)
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert grown < 2000
