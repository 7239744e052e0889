"""Plays a form in a style: passages of bars become drums, bass, chords, arpeggio, lead and risers, with exact truth.

Consumes `Style` (who plays) and `Passage`s (what happens, in order), emits a `Sound` with stereo and truth. All in 4/4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from k1edge.audio import instruments
from k1edge.audio.instruments import Kit, Timbre
from k1edge.audio.mixdown import SWEEP_OPEN_HZ, Mix
from k1edge.audio.synth import Sound, Span, Truth

START_S = 0.25
"""Silence before the first beat: sound servers swallow the first instant of a clip."""
TAIL_S = 1.5
BEATS_PER_BAR = 4
STEPS_PER_BAR = 16

Melody = tuple[tuple[int, int, int], ...]
"""One bar: (sixteenth, MIDI note, length in sixteenths)."""


@dataclass(frozen=True, slots=True)
class Chord:
    """One bar of harmony, in MIDI notes."""

    bass: int
    notes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Style:
    """Tempo, players and material of one song."""

    bpm: float
    chords: tuple[Chord, ...]
    melody: tuple[Melody, ...]
    kit: Kit = field(default_factory=Kit)
    bass: Timbre = field(default_factory=lambda: Timbre(bright_hz=1_400, dark_hz=260, bright_s=0.08, decay_s=0.2))
    pad: Timbre = field(
        default_factory=lambda: Timbre(
            bright_hz=10_000, dark_hz=5_500, bright_s=0.5, voices=5, detune=0.007, attack_s=0.03, release_s=0.12
        )
    )
    arp: Timbre = field(default_factory=lambda: Timbre(wave="triangle", voices=1, sustain=0.0, decay_s=0.16))
    lead: Timbre = field(
        default_factory=lambda: Timbre(
            wave="square", bright_hz=9_000, dark_hz=4_000, voices=2, detune=0.004, decay_s=0.35
        )
    )
    swing: float = 0.0
    """Share of a sixteenth by which every second one is late."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Some bars in which the same players play."""

    label: str
    bars: int
    kick: str = "none"
    """none | four | half | broken."""
    clap: bool = False
    hats: int = 0
    """0 none, 1 off-beats, 2 eighths, 3 sixteenths with open off-beats."""
    bass: str = "none"
    """none | offbeat | rolling | long."""
    chords: str = "none"
    """none | pad | stabs."""
    arp: bool = False
    lead: bool = False
    cutoff_hz: tuple[float, float] = (SWEEP_OPEN_HZ, SWEEP_OPEN_HZ)
    """The low-pass on chords, arpeggio and lead at the start and at the end."""
    roll: bool = False
    """A snare roll that doubles its speed towards the end."""
    riser: bool = False
    fill: bool = False
    """Toms in the last half bar."""
    rest_beats: int = 0
    """Beats of silence at the end (the breath before a drop)."""
    impact: bool = False
    """Cymbal and boom on the first beat."""
    gain: float = 1.0


KICKS = {"none": (), "four": (0, 4, 8, 12), "half": (0, 10), "broken": (0, 6, 10)}
CLAPS = {"none": (4, 12), "four": (4, 12), "half": (8,), "broken": (4, 12)}
BASSES = {
    "none": (),
    "offbeat": ((2, 2), (6, 2), (10, 2), (14, 2)),
    "rolling": ((2, 1), (3, 1), (6, 1), (7, 1), (10, 1), (11, 1), (14, 1), (15, 1)),
    "long": ((0, 15),),
}
STABS = ((0, 2), (3, 2), (6, 3), (10, 2), (13, 2))
FILL_STEPS = (8, 10, 11, 12, 14, 15)
FILL_HZ = (196.0, 165.0, 131.0)
ECHO_STEPS = 3
ECHO_GAINS = (0.4, 0.2, 0.1)


def compose(style: Style, form: tuple[Passage, ...], rate_hz: int) -> Sound:
    """Renders the whole song; about 1/60 of its duration on a desktop core."""
    band = _Band(style, form, rate_hz)
    bar = 0
    for passage in form:
        band.play(passage, bar)
        bar += passage.bars
    stereo = band.mix.render()
    samples = stereo.mean(axis=1)
    samples.flags.writeable = stereo.flags.writeable = False
    return Sound(samples, rate_hz, truth_of(style.bpm, form), stereo)


def truth_of(bpm: float, form: tuple[Passage, ...]) -> Truth:
    """Beats, bars, sections, builds and drops of a form, without rendering it."""
    beat_s = 60 / bpm
    starts = np.cumsum([0] + [passage.bars for passage in form]) * BEATS_PER_BAR
    beats_s = START_S + np.arange(starts[-1]) * beat_s
    bounds_s = START_S + starts * beat_s
    spans = tuple(
        Span(passage.label, float(start), float(end))
        for passage, (start, end) in zip(form, pairwise(bounds_s), strict=True)
    )
    return Truth(
        beats_s=beats_s,
        downbeats_s=beats_s[::BEATS_PER_BAR],
        sections=spans,
        builds_s=tuple(span.start_s for span in spans if span.label == "build"),
        drops_s=tuple(span.start_s for span in spans if span.label == "drop"),
        fake_drops_s=tuple(
            after.start_s for span, after in pairwise(spans) if span.label == "build" and after.label != "drop"
        ),
        bpm=bpm,
    )


class _Band:
    """Plays passages into a mix; notes that return are made once."""

    def __init__(self, style: Style, form: tuple[Passage, ...], rate_hz: int) -> None:
        self.style = style
        self._rate_hz = rate_hz
        self._step_s = 60 / style.bpm / (STEPS_PER_BAR // BEATS_PER_BAR)
        bars = sum(passage.bars for passage in form)
        self.mix = Mix(START_S + bars * STEPS_PER_BAR * self._step_s + TAIL_S, rate_hz)
        kit = style.kit
        self._kick = instruments.kick(kit, rate_hz)
        self._snare = instruments.snare(kit, rate_hz)
        self._closed = instruments.hat(kit, rate_hz)
        self._open = instruments.hat(kit, rate_hz, is_open=True)
        self._notes: dict[tuple[Timbre, int, int], np.ndarray] = {}
        self._limit = 0.0

    def play(self, passage: Passage, first_bar: int) -> None:
        """All players, bar after bar; nothing starts in the rest at the end."""
        last_bar = first_bar + passage.bars
        self._limit = self._at(last_bar, -passage.rest_beats * STEPS_PER_BAR // BEATS_PER_BAR)
        self.mix.sweep(self._at(first_bar, 0), passage.cutoff_hz[0])
        self.mix.sweep(self._at(last_bar, 0) - 0.001, passage.cutoff_hz[1])
        self._mark(passage, first_bar)
        for bar in range(first_bar, last_bar):
            self._drums(passage, bar)
            self._harmony(passage, bar)
            self._tune(passage, bar)
        if passage.roll:
            self._roll(passage, first_bar)
        for number, step in enumerate(FILL_STEPS if passage.fill else ()):
            drum = instruments.tom(FILL_HZ[number % len(FILL_HZ)], self._rate_hz)
            self._strike("drums", self._at(last_bar - 1, step), drum, 0.3, pan=0.5 - number * 0.2)

    def _at(self, bar: int, step: float) -> float:
        late = self.style.swing * (step % 2 == 1)
        return START_S + (bar * STEPS_PER_BAR + step + late) * self._step_s

    def _strike(self, bus: str, at_s: float, samples: np.ndarray, gain: float, *, pan: float = 0.0) -> None:
        if at_s < self._limit - 1e-6:
            self.mix.place(bus, at_s, samples, gain, pan=pan)

    def _note(self, timbre: Timbre, semitone: int, steps: int) -> np.ndarray:
        key = (timbre, semitone, steps)
        if key not in self._notes:
            pitch_hz = instruments.pitch_hz(semitone)
            self._notes[key] = instruments.voice(timbre, pitch_hz, steps * self._step_s * 0.95, self._rate_hz)
        return self._notes[key]

    def _mark(self, passage: Passage, bar: int) -> None:
        start_s = self._at(bar, 0)
        if passage.impact:
            self._strike("effects", start_s, instruments.crash(self.style.kit, self._rate_hz), 0.2, pan=0.2)
            self._strike("effects", start_s, instruments.impact(self._rate_hz), 0.4)
        if passage.riser:
            rising = instruments.riser(self._limit - start_s, self._rate_hz)
            self._strike("effects", start_s, rising, 0.2)

    def _drums(self, passage: Passage, bar: int) -> None:
        for step in KICKS[passage.kick]:
            at_s = self._at(bar, step)
            if at_s < self._limit - 1e-6:
                self.mix.place("drums", at_s, self._kick, 0.62 * passage.gain)
                self.mix.duck(at_s)
        for step in CLAPS[passage.kick] if passage.clap else ():
            self._strike("drums", self._at(bar, step), self._snare, 0.38 * passage.gain)
        for step in range(STEPS_PER_BAR):
            self._hat(passage, bar, step)

    def _hat(self, passage: Passage, bar: int, step: int) -> None:
        off_beat = step % 4 == 2
        if passage.hats == 3 and off_beat:
            self._strike("drums", self._at(bar, step), self._open, 0.17 * passage.gain, pan=0.15)
        elif passage.hats == 3 or (passage.hats == 2 and step % 2 == 0) or (passage.hats == 1 and off_beat):
            accent = (0.12, 0.06, 0.14, 0.07)[step % 4] * passage.gain
            self._strike("drums", self._at(bar, step), self._closed, accent, pan=0.25 if step % 8 < 4 else -0.25)

    def _harmony(self, passage: Passage, bar: int) -> None:
        chord = self.style.chords[bar % len(self.style.chords)]
        for step, steps in BASSES[passage.bass]:
            lift = 12 if passage.bass == "rolling" and step % 8 == 7 else 0
            note = self._note(self.style.bass, chord.bass + lift, steps)
            self._strike("bass", self._at(bar, step), note, 0.3 * passage.gain)
        rhythm = {"none": (), "pad": ((0, STEPS_PER_BAR),), "stabs": STABS}[passage.chords]
        for step, steps in rhythm:
            for semitone in chord.notes:
                note = self._note(self.style.pad, semitone, steps)
                self._strike("music", self._at(bar, step), note, 0.09 * passage.gain)

    def _tune(self, passage: Passage, bar: int) -> None:
        if passage.arp:
            tones = self.style.chords[bar % len(self.style.chords)].notes
            for step in range(0, STEPS_PER_BAR, 2):
                order = (0, 2, 1, 3, 2, 1, 3, 2)[step // 2] % len(tones)
                self._sing(self.style.arp, self._at(bar, step), (tones[order] + 12, 2), 0.13 * passage.gain)
        for step, semitone, steps in self.style.melody[bar % len(self.style.melody)] if passage.lead else ():
            self._sing(self.style.lead, self._at(bar, step), (semitone, steps), 0.17 * passage.gain)

    def _sing(self, timbre: Timbre, at_s: float, note: tuple[int, int], gain: float) -> None:
        """A note and its echoes, which wander from side to side."""
        samples = self._note(timbre, *note)
        self._strike("music", at_s, samples, gain)
        for number, echo in enumerate(ECHO_GAINS, 1):
            side = 0.7 if number % 2 else -0.7
            self._strike("music", at_s + number * ECHO_STEPS * self._step_s, samples, gain * echo, pan=side)

    def _roll(self, passage: Passage, first_bar: int) -> None:
        for bar in range(passage.bars):
            progress = bar / passage.bars
            every = 4 if progress < 0.5 else 2 if progress < 0.75 else 1
            for step in range(0, STEPS_PER_BAR, every):
                strength = (bar + step / STEPS_PER_BAR) / passage.bars
                self._strike("drums", self._at(first_bar + bar, step), self._snare, 0.08 + 0.16 * strength)
