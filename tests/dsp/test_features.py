"""Features of one hop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from k1edge.dsp.features import FLOOR_CEILING_DBFS, N_BANDS, N_NOVELTY, FeatureExtractor, band_centres_hz
from k1edge.frames import AudioBlock, StreamFormat

RATES = (44_100, 48_000)


def sine(rate_hz, freq_hz, seconds, amplitude=0.5):
    return (amplitude * np.sin(2 * np.pi * freq_hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def noise(rate_hz, seconds, dbfs, seed=1):
    return (np.random.default_rng(seed).standard_normal(round(seconds * rate_hz)) * 10 ** (dbfs / 20)).astype(np.float32)


def frames(audio, rate_hz=48_000, gap_after=None):
    fmt = StreamFormat(rate_hz)
    features = FeatureExtractor(fmt)
    shift = 0
    out = []
    for i in range(len(audio) // fmt.hop):
        if i == gap_after:
            shift = 20 * fmt.hop
        out.append(features.process(AudioBlock(audio[i * fmt.hop : (i + 1) * fmt.hop], i * fmt.hop + shift, 0)))
    return out


@pytest.mark.parametrize("freq_hz", [60.0, 440.0, 5_000.0])
def test_the_same_sound_gives_the_same_bands_at_every_rate(freq_hz):
    at_44, at_48 = (frames(sine(rate, freq_hz, 1.0), rate)[-1] for rate in RATES)
    np.testing.assert_allclose(at_44.bands, at_48.bands, atol=0.05)
    assert at_44.centroid_hz == pytest.approx(at_48.centroid_hz, rel=0.02)
    assert at_44.level_dbfs == pytest.approx(at_48.level_dbfs, abs=0.05)


def test_a_tone_is_strongest_in_the_band_around_it():
    centres = band_centres_hz()
    for freq_hz in (100.0, 1_000.0, 8_000.0):
        strongest = centres[int(np.argmax(frames(sine(48_000, freq_hz, 0.5))[-1].bands))]
        assert strongest == pytest.approx(freq_hz, rel=0.15, abs=20)


def test_bands_do_not_depend_on_the_level_of_the_line():
    audio = noise(48_000, 3.0, -20)
    loud, quiet = frames(audio)[-1], frames(audio * 0.03)[-1]
    np.testing.assert_allclose(loud.bands, quiet.bands, atol=1e-3)


def test_a_full_scale_sine_is_minus_three_dbfs():
    assert frames(sine(48_000, 1_000.0, 0.5, amplitude=1.0))[-1].level_dbfs == pytest.approx(-3.01, abs=0.02)


@pytest.mark.parametrize("dbfs", [-120, -90, -75, -65])
def test_hiss_of_an_idle_line_is_silent(dbfs):
    assert all(f.silent for f in frames(noise(48_000, 2.0, dbfs)))


@pytest.mark.parametrize("offset", [0.005, -0.05])
def test_an_offset_of_the_input_is_no_sound(offset):
    hiss = noise(48_000, 2.0, -80)
    plain, shifted = frames(hiss)[-1], frames(hiss + np.float32(offset))[-1]
    assert shifted.silent
    assert shifted.level_dbfs == pytest.approx(plain.level_dbfs, abs=0.5)


def test_music_forty_decibels_down_is_not_silent():
    beats = np.concatenate([sine(48_000, 200.0, 0.1, 0.3), np.zeros(19_200, np.float32)] * 8) * 0.01
    heard = frames(beats)
    assert sum(not f.silent for f in heard) > len(heard) // 6


def test_steady_loud_music_is_never_taken_for_the_noise_floor():
    heard = frames(noise(48_000, 90.0, -20))
    assert not heard[-1].silent
    assert heard[-1].noise_floor_dbfs <= FLOOR_CEILING_DBFS


def test_the_noise_floor_is_found_in_the_gaps():
    audio = np.concatenate([noise(48_000, 1.0, -20), noise(48_000, 1.0, -80, seed=2)] * 3)
    assert frames(audio)[-1].noise_floor_dbfs == pytest.approx(-80, abs=2)


def test_a_click_is_novel_in_every_region_at_once():
    audio = noise(48_000, 1.0, -80)
    audio[24_000] += 0.9
    novelty = np.array([f.novelty for f in frames(audio)])
    peaks = novelty[10:].argmax(axis=0) + 10
    assert ((peaks >= 50) & (peaks <= 53)).all()
    assert (novelty[48:56].max(axis=0) > 3 * novelty[20:45].max(axis=0)).all()


def test_a_kick_is_novel_at_the_bottom_and_not_at_the_top():
    audio = np.zeros(48_000, np.float32)
    t = np.arange(7_200) / 48_000
    audio[24_000:31_200] = 0.8 * np.exp(-t * 20) * np.sin(2 * np.pi * 55 * t) * np.minimum(1, t / 0.004)
    novelty = np.array([f.novelty for f in frames(audio)])[45:60]
    assert novelty[:, 0].max() > 4 * novelty[:, 3].max()


def test_a_steady_tone_is_novel_only_when_it_begins():
    novelty = np.array([f.novelty.sum() for f in frames(sine(48_000, 440.0, 2.0))])
    assert novelty[30:].max() < 1e-3


def test_a_hole_in_the_audio_is_not_an_onset():
    audio = noise(48_000, 2.0, -20)
    audio[48_000:] *= 0.05
    audio = np.concatenate([audio[48_000:], audio[:48_000]])
    whole = max(f.novelty.sum() for f in frames(audio)[98:110])
    holed = max(f.novelty.sum() for f in frames(audio, gap_after=100)[100:107])
    assert whole > 1.0
    assert holed == 0.0


def test_chroma_names_the_pitch_classes_of_a_chord():
    chord = sum(sine(48_000, f, 1.0, 0.2) for f in (220.0, 277.18, 329.63))
    chroma = frames(chord)[-1].chroma
    assert set(np.argsort(chroma)[-3:]) == {9, 1, 4}, "A, C sharp, E"
    assert chroma.sum() == pytest.approx(1.0, abs=1e-5)


def test_silence_has_no_chroma():
    assert not frames(np.zeros(48_000, np.float32))[-1].chroma.any()


def test_what_is_handed_on_cannot_be_written():
    frame = frames(noise(48_000, 0.5, -20))[-1]
    for array in (frame.bands, frame.novelty, frame.chroma):
        with pytest.raises(ValueError):
            array[0] = 1.0


@settings(max_examples=60)
@given(hnp.arrays(np.float32, 480 * 6, elements=st.floats(-1, 1, width=32)))
def test_any_audio_gives_finite_features_of_the_promised_shape(audio):
    for f in frames(audio):
        assert f.bands.shape == (N_BANDS,)
        assert f.novelty.shape == (N_NOVELTY,)
        assert f.chroma.shape == (12,)
        assert np.isfinite(f.bands).all()
        assert (f.novelty >= 0).all()
        assert np.isfinite([f.level_dbfs, f.noise_floor_dbfs, f.centroid_hz]).all()
