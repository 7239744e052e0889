"""The form of real sounds."""

import numpy as np
import pytest

from k1edge.audio.demo import demo_song
from k1edge.config import GenesisSettings
from k1edge.genesis.structure import Structure


@pytest.fixture(scope="module")
def song():
    return demo_song()


@pytest.fixture
def follow(fmt, frames, metronome):
    def follow(samples, beats_s=(), downbeats_s=(), bpm=120.0):
        structure, tracker = Structure(GenesisSettings(), fmt), metronome(beats_s, downbeats_s, bpm)
        return [structure.process(frame, tracker.state(frame.end)) for frame in frames(samples)]

    return follow


def test_silence_is_the_section_silence(follow):
    forms = follow(np.zeros(6 * 44_100))
    assert forms[-1].section.label == "silence"
    assert [m.kind for form in forms[300:] for m in form.moments] == []


def test_the_same_frames_give_the_same_form(follow, song):
    part = song.samples[: 30 * 44_100]
    truth = song.truth
    once, again = (follow(part, truth.beats_s, truth.downbeats_s, truth.bpm) for _ in range(2))
    assert once == again
