"""The form of real sounds."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from k1edge.audio.synth import noise
from k1edge.config import GenesisSettings
from k1edge.frames import SECTION_LABELS, Section
from k1edge.genesis.grid import Beat
from k1edge.genesis.structure import Structure
from tests.music import demo_song

RATE_HZ = 44_100


@pytest.fixture(scope="module")
def song():
    return demo_song()


@pytest.fixture(scope="module")
def follow(fmt, frames, metronome):
    def follow(samples, truth=None):
        tracker = metronome(truth.beats_s, truth.downbeats_s, truth.bpm) if truth else metronome(())
        structure = Structure(GenesisSettings(), fmt)
        return [structure.process(frame, tracker.state(frame.end)) for frame in frames(samples)]

    return follow


@pytest.fixture(scope="module")
def demo(follow, song):
    """The form of the demo song after each hop."""
    return follow(song.samples, song.truth)


def _moments(forms, kind):
    return [(i, m) for i, form in enumerate(forms) for m in form.moments if m.kind == kind]


def test_the_first_section_begins_with_the_first_hop(fmt, frames, metronome):
    structure, weeks = Structure(GenesisSettings(), fmt), fmt.index(3 * 7 * 86_400)
    frame = replace(frames(noise(0.1, -20.0).samples)[0], end=weeks + fmt.hop)
    assert structure.process(frame, metronome(()).state(frame.end)).section.since == weeks


def test_the_demos_second_drop_is_called_on_its_first_beat(demo, song):
    drop_s = song.truth.drops_s[1]
    called = [(i, m) for i, m in _moments(demo, "drop") if abs(m.due / RATE_HZ - drop_s) < 0.1]
    assert len(called) == 1
    assert (called[0][0] + 1) / 100 <= drop_s + 0.25


def test_the_build_of_the_demos_second_drop_is_known_two_bars_before_it(demo, song):
    bar_s = 4 * 60 / song.truth.bpm
    build_s, drop_s = song.truth.builds_s[1], song.truth.drops_s[1]
    called = [i / 100 for i, m in _moments(demo, "build") if abs(m.due / RATE_HZ - build_s) < bar_s]
    assert called
    assert called[0] <= drop_s - 2 * bar_s + 0.25


def test_sections_are_canonical_and_counted(demo):
    indices = [form.section.index for form in demo]
    assert indices == sorted(indices)
    assert {form.section.label for form in demo} <= set(SECTION_LABELS)
    assert all(form.section.since <= (i + 1) * 441 for i, form in enumerate(demo))


def test_a_section_is_entered_once_and_a_drop_stays_one(demo, song):
    entered = [(i, m) for i, form in enumerate(demo) for m in form.moments]
    assert len(entered) <= 2 * len(song.truth.sections)
    assert len({m.due for _, m in entered}) >= len(entered) - 2
    called, _ = next((i, m) for i, m in _moments(demo, "drop") if abs(m.due / RATE_HZ - song.truth.drops_s[1]) < 0.1)
    drop = demo[called].section
    assert {form.section.label for form in demo if form.section.index == drop.index} == {"drop"}


def test_bars_are_counted_from_the_sections_own_beginning(demo, song):
    (start,) = {m.due for _, m in _moments(demo, "drop") if abs(m.due / RATE_HZ - song.truth.drops_s[1]) < 0.1}
    bar_s = 4 * 60 / song.truth.bpm
    for bars in (1, 3.5, 6):
        form = demo[round((start / RATE_HZ + bars * bar_s) * 100)]
        assert form.bars == pytest.approx(bars, abs=0.05)


@pytest.fixture(scope="module")
def quiet_frames(song, frames):
    return frames(0.1 * song.samples[: 19 * RATE_HZ])


@pytest.mark.parametrize("metre", [2, 3, 5])
def test_bars_pass_evenly_in_every_metre(fmt, quiet_frames, metronome, metre):
    period_s = 0.5
    beats_s = np.arange(1, 40) * period_s
    tracker, structure = metronome(beats_s, beats_s[::metre]), Structure(GenesisSettings(), fmt)
    tracker.metre = metre
    forms = [structure.process(frame, tracker.state(frame.end)) for frame in quiet_frames]
    bars = np.array([form.bars for form in forms])
    within = np.array([a.section.index == b.section.index for a, b in itertools.pairwise(forms)])
    after = 200
    assert np.diff(bars)[after:][within[after:]] == pytest.approx(0.01 / period_s / metre, abs=1e-3)


def test_a_song_after_a_pause_is_judged_by_itself(follow, song):
    alone = follow(song.samples[: 20 * RATE_HZ], song.truth)
    pause = 5 * RATE_HZ
    samples = np.concatenate([song.samples, np.zeros(pause, np.float32), 0.1 * song.samples[: 20 * RATE_HZ]])
    later_s = (len(song.samples) + pause) / RATE_HZ
    beats_s, downbeats_s = (
        [*times, *(at + later_s for at in times if at < 20)] for times in (song.truth.beats_s, song.truth.downbeats_s))
    after = follow(samples, replace(song.truth, beats_s=beats_s, downbeats_s=downbeats_s))[-len(alone) :]
    assert [m.kind for form in after for m in form.moments] == [m.kind for form in alone for m in form.moments]
    assert after[-1].section.label == alone[-1].section.label


def test_silence_is_the_section_silence_and_no_moment(follow):
    forms = follow(np.zeros(6 * RATE_HZ))
    assert forms[-1].section.label == "silence"
    assert not any(form.moments for form in forms)
    assert forms[-1].section.since <= 2.1 * RATE_HZ


@pytest.mark.parametrize("turn_s", [1.8, 1.333])
@pytest.mark.parametrize("song_s", [0, 12], ids=["from the start", "after a song"])
def test_a_needle_at_the_end_of_a_record_is_silence_and_no_beat_of_it_ends_that(follow, song, turn_s, song_s):
    part, groove = song.samples[: song_s * RATE_HZ], np.zeros(30 * RATE_HZ, np.float32)
    clicks_s = np.arange(turn_s / 2, 29, turn_s)
    for at in (clicks_s * RATE_HZ).astype(int):
        groove[at : at + 1_500] = noise(0.1, -20.0).samples[:1_500]
    beats_s = (*(at for at in song.truth.beats_s if at < song_s), *(song_s + clicks_s))
    labels = [form.section.label for form in follow(np.concatenate([part, groove]), replace(song.truth, beats_s=beats_s))]
    assert set(labels[100 * (song_s + 8) :]) == {"silence"}


def test_noise_has_no_form_and_no_dance(follow):
    forms = follow(noise(20, -30.0, seed=4).samples)
    assert forms[-1].section.label == "unknown"
    assert not any(form.moments for form in forms[400:])
    assert forms[-1].macros.energy < 0.02


def test_the_song_after_a_pause_begins_anew(follow, song):
    part = song.samples[: 12 * RATE_HZ]
    truth = song.truth
    forms = follow(np.concatenate([part, np.zeros(5 * RATE_HZ), part]), truth)
    labels = [form.section.label for form in forms]
    paused = labels.index("silence")
    assert 13 <= paused / 100 <= 15
    assert labels[-1] != "silence"
    assert forms[-1].section.index > forms[paused].section.index


def test_the_same_frames_give_the_same_form(follow, song):
    part = song.samples[: 20 * RATE_HZ]
    assert follow(part, song.truth) == follow(part, song.truth)


@pytest.mark.parametrize("metre", [3, 4, 5])
@pytest.mark.parametrize("late", range(9))
def test_bars_are_the_same_however_late_a_section_is_entered(fmt, monkeypatch, metre, late):
    structure, period = Structure(GenesisSettings(), fmt), fmt.index(0.5)
    began = 20 * metre
    now = began + late
    beat = Beat(now, now * period, now % metre + 1, now // metre, period, True, metre)
    monkeypatch.setattr(structure._grid, "last", beat)

    def enter(row):
        structure._decision.section = Section("chorus", began * period, 1.0, False, 7)
        return ()

    structure._decide(None, enter)
    assert structure._bars(beat.due) == pytest.approx(late / metre)


def test_a_section_that_begins_in_the_middle_of_a_bar_is_as_old_however_late_it_is_entered(fmt, monkeypatch):
    structure, period, first = Structure(GenesisSettings(), fmt), fmt.index(0.5), set()
    for late in range(12):
        now = 18 + late
        monkeypatch.setattr(structure._grid, "last", Beat(now, now * period, now % 4 + 1, now // 4, period, True, 4))

        def enter(row, index=late):
            structure._decision.section = Section("chorus", 18 * period, 1.0, False, index + 7)
            return ()

        structure._decide(None, enter)
        first.add(structure._first_bar)
    assert len(first) == 1
