"""Imagined music: frames for what comes after the pipeline, a tracker for what is done to it, and a whole song."""

import functools

import numpy as np

from k1edge.audio import demo
from k1edge.clock import StreamClock, Timeline, WallClock
from k1edge.frames import BeatEvent, BeatState, FeatureFrame, GenesisFrame, Look, Macros, Section, StreamFormat
from k1edge.k1.contract import Stamp

FMT = StreamFormat(48_000)
EPOCH_MS = 1_795_000_000_000
DARK = Look("silence", "twilight", 11, (("brightness", 0.0),))
BRIGHT = Look("drop", "pulse", 29, (("brightness", 0.8), ("saturation", 0.85)), "fade", 300)
INTRO = Section("intro", 0, 0.5, True, 1)
demo_song = functools.cache(demo.demo_song)
"""Composed once for all who only read it."""


def timeline() -> Timeline:
    """A stream whose sample 0 was at the line at monotonic 1 s and at wall EPOCH_MS."""
    stream = StreamClock(FMT)
    stream.observe(FMT.hop, 1_010_000_000)
    return Timeline(stream, WallClock(EPOCH_MS * 1_000_000, 1_000_000_000, synced=True))


def at(hop: int) -> Stamp:
    """The moment when hop number `hop` has just arrived."""
    return Stamp(EPOCH_MS + hop * 10, True, 1_000_000_000 + hop * 10_000_000)


def announcement(number: int, due_s: float, in_bar: int = 1) -> BeatEvent:
    return BeatEvent(number, FMT.index(due_s), in_bar, in_bar == 1, 0.9, 0.95)


def frame(hop: int, *, announced=None, section=INTRO, moments=(), look=BRIGHT, bpm=120.0, energy=0.5,
          lock=True, **form) -> GenesisFrame:
    """What was known at the end of hop number `hop`."""
    end = hop * FMT.hop
    features = FeatureFrame(end, np.ones(40, np.float32), np.full(4, 0.25, np.float32), -20.0, -80.0, 1_500.0,
                            np.zeros(12, np.float32), False)
    beat = BeatState(end, bpm, 0.25, 0.9, lock, ((bpm / 2, 0.1),), announced, 4)
    return GenesisFrame(features, beat, Macros(energy=energy), section, moments, look, **form)


class Tracker:
    """Writes down the corrections it is asked for."""

    def __init__(self, acts=True):
        self.asked, self.acts = [], acts

    def __getattr__(self, name):
        return lambda *args: self.asked.append((name, *args)) or self.acts
