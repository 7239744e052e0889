import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from k1edge.analysis import form, levels, mood, tone
from k1edge.analysis.listening import listen
from k1edge.analysis.recording import means
from k1edge.analysis.song import NoMusic, Origin, analyse
from k1edge.audio.blocks import blocks
from k1edge.audio.synth import four_on_the_floor, noise, silence
from k1edge.config import BeatSettings, Settings
from k1edge.frames import StreamFormat
from k1edge.genesis.document import encode, plain, validate
from tests.failing import raising

RATE_HZ = 48_000
ORIGIN = Origin("a.wav", "1" * 64, "2026-11-22T10:00:00+00:00", RATE_HZ)


def heard(samples: np.ndarray):
    fmt = StreamFormat(RATE_HZ)
    return listen(blocks(iter([np.asarray(samples, np.float32)]), fmt, False), fmt, Settings())


def tone_of(freqs_hz, seconds: float = 2.0, gain: float = 0.2) -> np.ndarray:
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return gain * sum(np.sin(2 * np.pi * f * t) for f in freqs_hz)


@pytest.fixture(scope="module")
def floor():
    sound = four_on_the_floor(126.0, 30.0, RATE_HZ)
    return sound, heard(sound.samples)


def test_four_on_the_floor_becomes_a_map_with_its_tempo_and_beats(floor):
    sound, recording = floor
    stages = []
    song = analyse(recording, ORIGIN, BeatSettings(), version="9", progress=lambda stage, share: stages.append(share))
    assert song.global_metrics.bpm == pytest.approx(126.0, rel=0.005)
    beats = np.array(song.layers.rhythm.beat_grid_ms) / 1000
    errors = np.abs(sound.truth.beats_s[:, None] - beats).min(axis=1)
    assert np.mean(errors < 0.03) > 0.9
    assert stages == sorted(stages) and stages[0] > 0.4 and stages[-1] < 1
    assert song.metadata.model_extra == {"source": "file"}
    assert validate(plain(song)) == song
    assert "missing" not in plain(song)["layers"]["annotations"]


def test_no_time_ms_stands_outside_the_bands(floor):
    text = encode(analyse(floor[1], ORIGIN, BeatSettings())).decode()
    outside = text[: text.index('"frequency"')] + text[text.index('"dynamics"') :]
    assert '"time_ms"' not in outside and '"bass"' not in outside


def test_a_pass_that_fails_loses_nothing_else(floor, monkeypatch):
    broken = raising(ValueError("not today"))
    monkeypatch.setattr(tone, "chords", broken)
    monkeypatch.setattr(levels, "spectral", broken)
    layers = plain(analyse(floor[1], ORIGIN, BeatSettings()))["layers"]
    assert layers["annotations"]["missing"] == ["harmony", "spectral"]
    assert "spectral" not in layers and layers["annotations"]["sections"] and layers["annotations"]["mood"]


def test_silence_is_no_music():
    with pytest.raises(NoMusic, match="silence"):
        analyse(heard(silence(5.0, RATE_HZ).samples), ORIGIN, BeatSettings())


def test_a_steady_noise_is_no_music():
    with pytest.raises(NoMusic):
        analyse(heard(noise(10.0, -30.0, rate_hz=RATE_HZ).samples), ORIGIN, BeatSettings())


def test_nothing_at_all_is_no_music():
    with pytest.raises(NoMusic):
        analyse(heard(np.zeros(0)), ORIGIN, BeatSettings())


@pytest.mark.parametrize(("freq_hz", "band"), [(80.0, 0), (1_000.0, 1), (8_000.0, 2)])
def test_a_tone_is_in_its_own_band_at_its_own_level(freq_hz, band):
    sound = levels.measure(heard(tone_of([freq_hz], gain=0.5)))
    steady = sound.powers[20:]
    assert (steady.argmax(axis=1) == band).all()
    assert 10 * np.log10(steady[:, band].mean()) == pytest.approx(10 * np.log10(0.5**2 / 2), abs=0.5)


def test_envelopes_reach_one_and_rise_with_the_sound():
    quiet_loud = np.concatenate([tone_of([80.0], 3.0, 0.05), tone_of([80.0], 3.0, 0.5)])
    bass = levels.envelopes(levels.measure(heard(quiet_loud)))["bass"]
    values = np.array([point["intensity"] for point in bass])
    assert values.max() == 1.0
    assert values[20:140].mean() == pytest.approx(0.1, abs=0.02)
    assert [point["time_ms"] for point in bass[:3]] == [0.0, 20.0, 40.0]


def test_of_a_long_song_the_strongest_are_kept_where_they_stand(monkeypatch):
    monkeypatch.setattr(levels, "MOST_POINTS", 100)
    powers = np.zeros((700, 3), np.float32)
    powers[9, 0] = powers[699, 2] = 0.25
    bands = levels.envelopes(levels.Levels(powers, np.zeros(700), np.zeros(700)))
    assert {name: len(points) for name, points in bands.items()} == {"bass": 88, "mids": 88, "highs": 88}
    assert [point["time_ms"] for point in bands["bass"][:3]] == [0.0, 80.0, 160.0]
    assert bands["bass"][1] == {"time_ms": 80.0, "intensity": 1.0}
    assert bands["highs"][-1] == {"time_ms": 6_980.0, "intensity": 1.0}


def test_dynamics_know_a_20_db_difference():
    both = np.concatenate([tone_of([440.0], 3.0, 0.05), tone_of([440.0], 3.0, 0.5)])
    dynamics = levels.dynamics(levels.measure(heard(both)))
    assert dynamics["range_db"] == pytest.approx(20, abs=0.5)
    assert len(dynamics["rms_curve"]["at_ms"]) == len(dynamics["rms_curve"]["level"]) == 60


def test_each_click_is_an_onset_where_it_sounds():
    samples = np.zeros(3 * RATE_HZ, np.float32)
    at_s = [0.5, 0.8, 1.5, 2.3]
    click = np.random.default_rng(0).normal(0, 0.3, 480) * np.exp(-np.arange(480) / 80)
    for second in at_s:
        samples[int(second * RATE_HZ) :][:480] += click
    assert levels.onsets_ms(heard(samples)) == pytest.approx([second * 1000 for second in at_s], abs=15)


def test_keys_of_the_same_tones_are_told_apart_by_whose_triad_comes_first_and_longest():
    chroma = np.zeros((1, 12))
    chroma[0, [0, 2, 4, 5, 7, 9, 11]] = 1.0, 0.6, 1.2, 0.4, 1.0, 1.0, 0.6
    for label, expected in (("Am", ("A", "minor")), ("C", ("C", "major"))):
        other = "C" if label == "Am" else "Am"
        spans = [{"label": label, "start_ms": 0.0, "end_ms": 3000.0}, {"label": other, "start_ms": 3000.0, "end_ms": 4500.0}]
        found = tone.key(chroma, spans)
        assert (found["tonic"], found["mode"]) == expected


CHORDS = {"C": (261.6, 329.6, 392.0), "Am": (220.0, 261.6, 329.6), "F": (349.2, 440.0, 523.3), "G": (392.0, 493.9, 587.3)}


def test_chords_are_named_in_their_order():
    recording = heard(np.concatenate([tone_of(CHORDS[name]) for name in ("C", "Am", "F", "G")]))
    edges = np.arange(0, 801, 50)
    chroma = np.add.reduceat(recording["chroma"].astype(float), edges[:-1], axis=0)
    found = tone.chords(chroma, edges * 10.0)
    assert [chord["label"] for chord in found] == ["C", "Am", "F", "G"]
    assert found[1]["start_ms"] == pytest.approx(2000, abs=500)


@pytest.mark.parametrize(("names", "key"), [(("C", "F", "G", "C"), ("C", "major")), (("Am", "F", "Am", "Am"), ("A", "minor"))])
def test_a_cadence_has_its_key(names, key):
    recording = heard(np.concatenate([tone_of(CHORDS[name]) for name in names]))
    edges = np.arange(0, len(recording) + 1, 50)
    spans = tone.chords(np.add.reduceat(recording["chroma"].astype(float), edges[:-1], axis=0), edges * 10.0)
    found = tone.key(recording["chroma"].astype(float), spans)
    assert (found["tonic"], found["mode"]) == key
    assert 0 <= found["confidence"] <= 1


def test_nothing_tonal_has_no_key_and_no_chords():
    assert tone.key(np.zeros((10, 12)), []) is None
    assert tone.chords(np.zeros((10, 12)), np.arange(11) * 500.0) == []


def bars_of(*kinds: int) -> form.Bars:
    """Four bars of each kind of music."""
    draw = np.random.default_rng(7)
    rows, timbres, chromas = [], [], []
    for kind in kinds:
        for n in range(4):
            rows.append(np.full(4, -20.0 - 6 * kind))
            timbres.append(np.random.default_rng(kind).normal(0, 1, 40) + draw.normal(0, 0.1, 40))
            chromas.append(np.roll(np.eye(12)[0], n))
    return form.Bars(np.array(rows), np.array(timbres), np.array(chromas))


def test_music_that_comes_again_has_the_same_letter():
    assert form.letters(bars_of(0, 1, 0, 1, 2), [0, 4, 8, 12, 16, 20]) == list("ABABC")


@pytest.mark.parametrize("cuts", [[0, 8], [0, 4, 8], [0, 3, 8]])
def test_music_that_never_changes_has_one_letter(cuts):
    assert form.letters(bars_of(0, 0), cuts)[:2] == ["A"] * min(len(cuts) - 1, 2)


def test_hours_of_bars_are_not_compared_one_by_one():
    bars = bars_of(*range(250))
    tracemalloc.start()
    form.letters(bars, list(range(0, 1_001, 4)))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < len(bars.dbfs) ** 2 * 8


def test_means_are_those_of_each_stretch_and_are_taken_a_few_at_a_time():
    values = np.random.default_rng(3).normal(0, 1, (100_000, 40)).astype(np.float16)
    edges = np.append(np.arange(0, 100_000, 190), 100_000)
    tracemalloc.start()
    found = means(values, edges)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_allclose(found, [values[a:b].mean(axis=0, dtype=float) for a, b in pairwise(edges)], rtol=1e-12)
    assert most < values.nbytes


def test_loud_busy_bright_music_is_more_aroused_than_soft_music():
    hops = 3000
    chroma = np.tile(np.eye(12)[0], (hops, 1))
    loud = np.concatenate([np.full(hops // 2, -40.0), np.full(hops // 2, -12.0)])
    novelty = np.concatenate([np.full(hops // 2, 0.1), np.full(hops // 2, 1.0)])
    columns = mood.curves(chroma, loud, np.full(hops, 2000.0), novelty, bpm=128.0)
    arousal = columns["arousal"]
    assert arousal[-1] > arousal[0] + 0.4
    assert len(arousal) == len(columns["valence"]) == len(columns["tension"]) <= mood.MOST_POINTS
    spans = mood.moods(columns, 30_000.0)
    assert spans[0]["start_ms"] == 0.0 and spans[-1]["end_ms"] == 30_000.0
    assert all(a["end_ms"] == b["start_ms"] for a, b in pairwise(spans))
