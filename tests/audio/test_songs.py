"""The demo song and the random arrangements: what their truth says is heard, and they are clean to listen to."""

import numpy as np
import pytest

from k1edge.audio import arrangement, instruments
from k1edge.audio.composer import Chord, Passage, Style, compose
from k1edge.audio.demo import FORM
from k1edge.audio.mixdown import CEILING, SEGMENT, Mix
from k1edge.frames import SECTION_LABELS
from tests.music import demo_song

SEEDS = range(60)
FLOAT32 = 1e-6
"""Rounding."""


@pytest.fixture(scope="module")
def song():
    return demo_song()


@pytest.fixture(scope="module")
def random_song():
    return arrangement.arrangement(7)


def level_dbfs(samples):
    return 20 * np.log10(np.sqrt(np.mean(np.square(samples, dtype=float))) + 1e-9)


def part(sound, start_s, end_s):
    return sound.samples[round(start_s * sound.rate_hz) : round(end_s * sound.rate_hz)]


def treble_dbfs(samples, rate_hz=44_100, size=220):
    """Level above 14 kHz of each 5 ms."""
    pieces = samples[: len(samples) // size * size].reshape(-1, size) * np.hanning(size)
    spectra = np.abs(np.fft.rfft(pieces)[:, np.fft.rfftfreq(size, 1 / rate_hz) > 14_000]) * 4 / size
    return 10 * np.log10((spectra**2).sum(axis=1) + 1e-12)


def low(samples, rate_hz=44_100):
    """The samples below 150 Hz, by a moving mean of 3 ms twice."""
    box = np.ones(round(0.003 * rate_hz)) / round(0.003 * rate_hz)
    return np.convolve(np.convolve(samples, box, "same"), box, "same")


def test_the_demo_has_the_form_it_promises(song):
    labels = [span.label for span in song.truth.sections]
    assert labels == ["intro", "build", "drop", "breakdown", "build", "drop", "outro"]
    assert 88 <= song.duration_s <= 93
    assert song.truth.drops_s == tuple(s.start_s for s in song.truth.sections if s.label == "drop")
    assert len(song.truth.builds_s) == 2
    assert song.truth.fake_drops_s == ()
    assert len(song.truth.beats_s) == 4 * sum(passage.bars for passage in FORM)


def test_the_demo_is_loud_and_never_clips(song):
    assert -2.0 <= 20 * np.log10(np.abs(song.stereo).max()) <= -1.0
    assert -16 <= level_dbfs(song.samples) <= -12
    assert abs(song.samples.mean()) < 1e-3
    np.testing.assert_allclose(song.stereo.mean(axis=1), song.samples, atol=1e-6)


def test_the_demo_has_a_kick_on_every_beat_of_its_drops(song):
    for span in (s for s in song.truth.sections if s.label == "drop"):
        beats_s = song.truth.beats_s
        for beat_s in beats_s[(beats_s >= span.start_s) & (beats_s < span.end_s - 0.1)]:
            before, after = part(song, beat_s - 0.06, beat_s - 0.005), part(song, beat_s + 0.01, beat_s + 0.07)
            assert level_dbfs(low(after)) > level_dbfs(low(before)) + 1


def test_drops_follow_a_breath_and_are_louder_than_their_builds(song):
    for drop_s in song.truth.drops_s:
        build, breath = part(song, drop_s - 4, drop_s - 2), part(song, drop_s - 0.2, drop_s)
        first = part(song, drop_s, drop_s + 2)
        assert level_dbfs(first) > level_dbfs(breath) + 12
        assert level_dbfs(low(first)) > level_dbfs(low(build)) + 1


def test_a_breakdown_has_no_bass(song):
    breakdown = next(s for s in song.truth.sections if s.label == "breakdown")
    drop = next(s for s in song.truth.sections if s.label == "drop")
    quiet, loud = (low(part(song, s.start_s + 1, s.end_s - 0.5)) for s in (breakdown, drop))
    assert level_dbfs(quiet) < level_dbfs(loud) - 6


def test_a_breakdown_has_no_clicks(song):
    """No drums play there: a seam between segments or a note cut off would stand out above 14 kHz."""
    breakdown = next(s for s in song.truth.sections if s.label == "breakdown")
    assert any(breakdown.start_s + 1 < n * SEGMENT / song.rate_hz < breakdown.end_s for n in range(12)), "a seam lies in it"
    # A single sample that is 0.002 off gives -75 dBFS in this measure.
    assert treble_dbfs(part(song, breakdown.start_s + 1, breakdown.end_s)).max() < -75
    click = np.zeros(220)
    click[110] = 0.002
    assert treble_dbfs(click) > -75


def test_the_same_seed_is_the_same_song():
    one, two = (compose(*_short(3), 48_000) for _ in range(2))
    np.testing.assert_array_equal(one.stereo, two.stereo)


def _short(seed):
    style, form = arrangement.written(seed)
    return style, form[:2]


def test_seeds_differ():
    assert len({arrangement.written(seed)[0].bpm for seed in SEEDS}) > len(SEEDS) * 0.8


def test_arrangements_keep_to_their_limits():
    truths = [arrangement.truth(seed) for seed in SEEDS]
    for truth in truths:
        assert 90 <= truth.bpm <= 175
        assert 180 <= truth.sections[-1].end_s <= 360
        assert truth.drops_s
        assert {span.label for span in truth.sections} <= set(SECTION_LABELS)
        assert [a.end_s for a in truth.sections[:-1]] == [b.start_s for b in truth.sections[1:]]
        np.testing.assert_allclose(np.diff(truth.beats_s), 60 / truth.bpm)
        starts_s = [span.start_s for span in truth.sections]
        assert np.abs(truth.downbeats_s[:, None] - starts_s).min(axis=0).max() < 1e-6, "sections begin on bars"


def test_arrangements_offer_every_difficulty():
    scores = [arrangement.written(seed) for seed in SEEDS]
    passages = [passage for _, form in scores for passage in form]
    builds = [p for p in passages if p.label == "build"]
    assert {p.label for p in passages} >= {"intro", "verse", "build", "drop", "breakdown", "bridge", "outro"}
    assert {p.riser for p in builds} == {p.roll for p in builds} == {True, False}
    assert {0, 4} <= {p.rest_beats for p in builds}
    assert {p.kick for p in passages if p.label == "drop"} >= {"four", "half", "broken"}
    assert sum(len(arrangement.truth(seed).fake_drops_s) for seed in SEEDS) > 10
    assert len({style.kit for style, _ in scores}) == len(scores)
    assert {style.swing > 0 for style, _ in scores} == {True, False}


def test_a_random_song_is_loud_clean_and_as_long_as_its_truth(random_song):
    truth = random_song.truth
    assert np.isfinite(random_song.samples).all()
    assert np.abs(random_song.stereo).max() <= CEILING * (1 + FLOAT32)
    assert -20 < level_dbfs(random_song.samples) < -10
    assert truth.sections[-1].end_s < random_song.duration_s < truth.sections[-1].end_s + 3
    np.testing.assert_array_equal(truth.beats_s, arrangement.truth(7).beats_s)


def test_the_drops_of_a_random_song_bring_the_bass_back(random_song):
    for drop_s in random_song.truth.drops_s:
        before, after = part(random_song, drop_s - 0.5, drop_s), part(random_song, drop_s, drop_s + 2)
        assert level_dbfs(low(after)) > level_dbfs(low(before)) + 3


def test_a_beat_is_where_the_truth_says_to_the_sample():
    style = Style(bpm=90.0, chords=(Chord(33, (57, 60, 64)),), melody=(((0, 76, 4),),))
    sound = compose(style, (Passage("intro", 2, kick="four"),), 48_000)
    for beat_s in sound.truth.beats_s:
        around = np.abs(part(sound, beat_s - 0.002, beat_s + 0.004))
        onset = np.flatnonzero(around > 0.01)[0] / 48_000 - 0.002
        assert 0 <= onset < 0.002


def test_swing_delays_only_the_second_sixteenths():
    style = Style(bpm=120.0, chords=(Chord(33, (57, 60, 64)),), melody=(((0, 76, 4), (1, 76, 2)),), swing=0.25)
    swung = compose(style, (Passage("drop", 1, hats=3),), 44_100)
    loud = np.flatnonzero(np.abs(swung.samples) > 0.02) / 44_100 - 0.25
    # Not the fourth, which the open hat before it still covers.
    steps = np.array([loud[loud >= step * 0.125 - 0.001][0] for step in (0, 1, 2, 5)])
    np.testing.assert_allclose(steps, np.array([0, 1.25, 2, 5.25]) * 0.125, atol=0.004)


@pytest.mark.parametrize("wave", ["saw", "square", "triangle", "sine", "organ", "bell"])
def test_voices_are_in_tune_free_of_aliases_and_end_in_silence(wave):
    timbre = instruments.Timbre(wave=wave, bright_hz=18_000, dark_hz=18_000, sustain=1.0)
    note = instruments.voice(timbre, 1_000.0, 0.5, 44_100)
    spectrum = np.abs(np.fft.rfft(note[0] * np.hanning(note.shape[1])))
    freqs_hz = np.fft.rfftfreq(note.shape[1], 1 / 44_100)
    harmonic = np.abs(freqs_hz / 1_000 - np.round(freqs_hz / 1_000)) < 0.02
    assert abs(freqs_hz[np.argmax(spectrum)] - 1_000) < 3
    assert spectrum[~harmonic & (freqs_hz > 100)].max() < spectrum.max() * 10 ** (-60 / 20)
    assert not note[:, -1].any()


def test_an_unknown_wave_is_refused():
    with pytest.raises(ValueError, match="no wave is called 'theremin'"):
        instruments.voice(instruments.Timbre(wave="theremin"), 440, 0.1, 44_100)


def test_the_mix_limits_whatever_it_is_given():
    mix = Mix(1.0, 44_100)
    for _ in range(8):
        mix.place("drums", 0.1, instruments.kick(instruments.Kit(), 44_100), 2.0)
    assert np.abs(mix.render()).max() <= CEILING * (1 + FLOAT32)


def test_a_sound_across_segments_is_whole_and_panned():
    tone = np.sin(np.arange(SEGMENT) * 0.05).astype(np.float32) * 0.3
    mix = Mix(2.5 * SEGMENT / 44_100, 44_100)
    mix.sweep(0.0, 200_000.0)
    mix.place("bass", 0.5 * SEGMENT / 44_100, tone, 1.0, pan=-1.0)
    out = mix.render()
    np.testing.assert_allclose(out[SEGMENT // 2 : SEGMENT // 2 + SEGMENT, 0], tone * 2**0.5, atol=1e-5)
    assert np.abs(out[:, 1]).max() < 1e-6


def test_the_sweep_takes_away_what_is_above_it_and_ends_nowhere_abruptly():
    tone = np.sin(np.arange(2 * SEGMENT) * 2 * np.pi * 4_000 / 44_100).astype(np.float32) * 0.3
    mix = Mix(2 * SEGMENT / 44_100, 44_100)
    mix.sweep(0.0, 300.0)
    mix.place("music", 0.0, tone, 1.0)
    out = mix.render()[4_000:-4_000, 0]
    assert level_dbfs(out) < level_dbfs(tone) - 40
    assert np.abs(np.diff(out, 2)).max() < 0.01
