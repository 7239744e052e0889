"""The form of the music as it happens: sections, moments, macros.

Consumes `FeatureFrame` and `BeatState`, emits `Form`, 100 a second. Decisions are taken once a beat, from the beat's
own averages against their recent past, and only what they change is rebuilt.

Cost: about 60 us a hop with the ear and the macros.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from k1edge.config import GenesisSettings
from k1edge.frames import HOPS_PER_S, BeatState, FeatureFrame, Macros, Moment, Section, StreamFormat
from k1edge.genesis.grid import BarGrid, Beat
from k1edge.genesis.hearing import Ear
from k1edge.genesis.macros import MacroMeter

SLOW_S = 4.0
LOUD = 0.7
BASS_THERE, BASS_GONE = 0.5, 0.25
DWELL_BARS = 4


@dataclass(frozen=True, slots=True)
class Form:
    """What the music is doing after one hop."""

    section: Section
    moments: tuple[Moment, ...]
    macros: Macros
    beat: Beat | None = None
    """The beat that became due within this hop."""


class Structure:
    """Features and beats in, form out; one per stream."""

    def __init__(self, settings: GenesisSettings, fmt: StreamFormat) -> None:
        self._silence_after = round(settings.silence_after_s * HOPS_PER_S)
        self._ear, self._meter, self._grid = Ear(), MacroMeter(), BarGrid(fmt)
        self._silent_hops = 0
        self._slow = 1 - math.exp(-1 / (SLOW_S * HOPS_PER_S))
        self._energy, self._bass = 0.0, 0.0
        self._since_bar = 0
        self._section = Section("unknown", 0, 0.0, True)

    def process(self, features: FeatureFrame, beat: BeatState) -> Form:
        """The form after one hop."""
        macros = self._meter.process(self._ear.process(features))
        self._silent_hops = self._silent_hops + 1 if features.silent else 0
        self._energy += self._slow * (macros.energy - self._energy)
        self._bass += self._slow * (macros.bass_weight - self._bass)
        passed = self._grid.process(beat)
        moments = self._decide(features.end, passed) if passed or self._silent_hops else ()
        return Form(self._section, moments, macros, passed)

    def _decide(self, end: int, beat: Beat | None) -> tuple[Moment, ...]:
        old = self._section
        if self._silent_hops >= self._silence_after:
            return self._enter("silence", end, beat, 1.0) if old.label != "silence" else ()
        if beat is None or not beat.downbeat:
            return ()
        label = self._label(old.label)
        if label == old.label or (old.label not in ("silence", "unknown") and beat.bar - self._since_bar < DWELL_BARS):
            return ()
        return self._enter(label, beat.due, beat, 0.5)

    def _label(self, before: str) -> str:
        if self._bass < BASS_GONE:
            return "intro" if before in ("unknown", "silence", "intro") else "breakdown"
        if self._energy > LOUD and self._bass > BASS_THERE:
            return "drop" if before in ("breakdown", "drop") else "chorus"
        return "verse"

    def _enter(self, label: str, at: int, beat: Beat | None, confidence: float) -> tuple[Moment, ...]:
        before = self._section
        self._section = Section(label, at, confidence, label != "silence", before.index + 1)
        self._since_bar = beat.bar if beat else self._since_bar
        kind = label if label in ("drop", "breakdown") else "change"
        return (Moment(kind, at, confidence),)
