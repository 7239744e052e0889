"""Streams for the Genesis Engine: frames of real sounds, and beat states on an exact grid."""

import numpy as np
import pytest

from k1edge.audio.synth import SynthSource
from k1edge.dsp.features import FeatureExtractor
from k1edge.frames import BeatEvent, BeatState, StreamFormat

FMT = StreamFormat(44_100)
LEAD_S = 0.15


def frames_of(samples, fmt=FMT):
    extractor = FeatureExtractor(fmt)
    return [extractor.process(block) for block in SynthSource(np.asarray(samples, np.float32), fmt.rate_hz)]


class Metronome:
    """Announces the given beats ahead, as a tracker that is never wrong would."""

    metre = 4

    def __init__(self, beats_s, downbeats_s=(), bpm=120.0, fmt=FMT):
        downbeats = {round(t, 3) for t in downbeats_s}
        in_bar, self._events = 0, []
        for number, at in enumerate(beats_s, 1):
            in_bar = 1 if round(at, 3) in downbeats else in_bar + 1 if in_bar else 0
            self._events.append(BeatEvent(number, fmt.index(at), in_bar, in_bar == 1, 1.0, 1.0))
        self._bpm, self._lead, self._next = bpm, fmt.index(LEAD_S), 0

    def state(self, end):
        event = None
        if self._next < len(self._events) and self._events[self._next].due <= end + self._lead:
            event = self._events[self._next]
            self._next += 1
        locked = self._next > 0
        return BeatState(end, self._bpm if locked else 0.0, 0.0, 1.0 if locked else 0.0, locked, (), event, self.metre * locked)


@pytest.fixture(scope="session")
def fmt():
    return FMT


@pytest.fixture(scope="session")
def frames():
    """frames(samples) -> every `FeatureFrame` of them."""
    return frames_of


@pytest.fixture(scope="session")
def metronome():
    """metronome(beats_s, downbeats_s) -> .state(end): the `BeatState` of a tracker that is never wrong."""
    return Metronome
