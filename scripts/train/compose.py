"""Composes pieces: a beat grid, drum strokes and notes, in the manner of a `Style`, from a random generator.

Emits `Piece`; times in seconds, positions in beats from the first downbeat.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from styles import PROGRAMS, STYLES, Style

LOUDNESS = {"X": 1.0, "x": 0.72, "o": 0.42, "?": 0.4}
SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 3, 5, 7, 9, 10), (0, 2, 4, 5, 7, 9, 10))
PROGRESSIONS = (
    (0, 4, 5, 3),
    (0, 5, 3, 4),
    (5, 3, 0, 4),
    (0, 3, 4, 4),
    (0, 3, 0, 4),
    (1, 4, 0, 0),
    (0, 6, 5, 6),
    (0, 0, 3, 4),
    (0, 2, 3, 4),
    (0, 5, 1, 4),
    (0,),
    (0, 6),
    (0, 3),
)


@dataclass(frozen=True)
class Grid:
    """Times of the beats, s; beat 0 is a downbeat."""

    beats_s: np.ndarray
    metre: int

    def at(self, position: float | np.ndarray) -> np.ndarray:
        """Time of a position in beats; the last interval goes on beyond the end."""
        last = len(self.beats_s) - 1
        beyond = np.maximum(np.asarray(position, float) - last, 0)
        return np.interp(position, np.arange(last + 1), self.beats_s) + beyond * (self.beats_s[-1] - self.beats_s[-2])

    @property
    def bars(self) -> int:
        return len(self.beats_s) // self.metre


@dataclass
class Piece:
    """What is to be sounded, and the truth about it."""

    grid: Grid
    style: str
    strokes: list[tuple[float, str, float]] = field(default_factory=list)
    """(time_s, role, loudness 0..1)"""
    stems: dict[str, list[tuple[float, float, int, int]]] = field(default_factory=dict)
    """part -> (start_s, length_s, pitch, velocity)"""
    programs: dict[str, int] = field(default_factory=dict)


def make_grid(rng: np.random.Generator, style: Style, length_s: float) -> Grid:
    """A steady, drifting, ramping, jumping or (without drums) breathing tempo; whole bars."""
    low, high = style.tempo_bpm
    bpm = rng.uniform(low * 0.95, high * 1.05)
    n = int(length_s * bpm / 60) // style.metre * style.metre + style.metre
    x = np.linspace(0, 1, n)
    kind = rng.choice(["steady", "drift", "ramp", "jump", "rubato"], p=[0.6, 0.22, 0.07, 0.04, 0.07])
    curve = np.full(n, bpm)
    if kind == "drift" or (kind == "rubato" and style.drums[0]):
        curve *= 1 + rng.uniform(0.005, 0.04) * np.cumsum(rng.standard_normal(n)) / np.sqrt(n)
    elif kind == "ramp":
        curve *= np.exp(rng.uniform(-0.35, 0.35) * x)
    elif kind == "jump":
        curve[rng.integers(n // 4, 3 * n // 4) // style.metre * style.metre :] *= rng.uniform(0.75, 1.33)
    elif kind == "rubato":
        curve *= (
            1
            + rng.uniform(0.03, 0.12) * np.sin(2 * np.pi * np.arange(n) / (style.metre * rng.choice([2, 4])))
            + 0.03 * rng.standard_normal(n)
        )
    if rng.random() < 0.7:
        curve = np.round(curve) if kind == "steady" else curve
    return Grid(rng.uniform(0, 1.5) + np.concatenate([[0], np.cumsum(60 / curve)[:-1]]), style.metre)


def pattern_hits(rng: np.random.Generator, pattern: str, bar: int, steps_a_bar: int) -> list[tuple[int, float]]:
    """(step in the bar, loudness) of one bar of a pattern."""
    bars = max(len(pattern) // steps_a_bar, 1)
    text = pattern[(bar % bars) * steps_a_bar :][:steps_a_bar]
    return [(i, LOUDNESS[c]) for i, c in enumerate(text) if c != "." and (c != "?" or rng.random() < 0.4)]


def vary(rng: np.random.Generator, pattern: str, role: str) -> str:
    """The pattern with a few hits added or left out, off the beats mostly, so that no two pieces are alike."""
    rate = {"kick": 0.05, "snare": 0.03, "clap": 0.0, "rim": 0.04}.get(role, 0.06) * (rng.random() < 0.6)
    flip = rng.random(len(pattern)) < rate
    return "".join(("o" if c == "." else ".") if f and i else c for i, (c, f) in enumerate(zip(pattern, flip, strict=True)))


class Composer:
    """Fills a grid with the parts of one style; one per piece."""

    def __init__(self, rng: np.random.Generator, style_name: str, grid: Grid) -> None:
        self.rng, self.style, self.grid = rng, STYLES[style_name], grid
        self.piece = Piece(grid, style_name)
        self.steps_a_bar = self.style.steps * self.style.metre
        self.swing = rng.uniform(*self.style.swing) if rng.random() < 0.7 else 0.0
        self.jitter_s = rng.choice([0.0, 0.002, 0.006, 0.012], p=[0.35, 0.25, 0.25, 0.15])
        self.key, self.scale = int(rng.integers(36, 48)), SCALES[rng.integers(len(SCALES))]
        self.progression = PROGRESSIONS[rng.integers(len(PROGRESSIONS))]
        self.bars_a_chord = rng.choice([0.5, 1, 1, 1, 2, 4])
        self.kick = ""

    def time(self, bar: int, step: float) -> float:
        """Seconds of a step of a bar, swung and played by a human."""
        swung = step + (self.swing if self.style.steps % 2 == 0 and int(step) % 2 else 0.0)
        position = bar * self.style.metre + swung / self.style.steps
        return float(self.grid.at(position)) + self.rng.normal(0, self.jitter_s)

    def plan(self) -> list[tuple[int, int, frozenset, dict[str, str]]]:
        """Sections: (first bar, one past its last, the parts that play, drum patterns)."""
        rng, sections, bar = self.rng, [], 0
        palette = [{role: vary(rng, p, role) for role, p in rng.choice(self.style.drums).items()} for _ in range(2)]
        while bar < self.grid.bars:
            length = int(rng.choice([2, 4, 8, 8])) if self.style.metre != 2 else int(rng.choice([4, 8, 16]))
            parts = {
                part
                for part, p in (("drums", 0.88), ("bass", 0.8), ("comp", 0.8), ("pad", 0.4), ("lead", 0.5))
                if rng.random() < p
            }
            if not parts - {"pad"}:
                parts.add("comp")
            sections.append((bar, min(bar + length, self.grid.bars), frozenset(parts), palette[int(rng.random() < 0.35)]))
            bar += length
        return sections

    def chord(self, bar: int, step: float = 0) -> list[int]:
        """Pitches of the chord that sounds there, root first, around the key note."""
        index = int((bar + step / self.steps_a_bar) / self.bars_a_chord) % len(self.progression)
        degree = self.progression[index]
        return [self.key + self.scale[(degree + i) % 7] + 12 * ((degree + i) // 7) for i in (0, 2, 4, 6)]

    def drums(self, section: tuple, strip: bool) -> None:
        """Strokes of a section; `strip` leaves some roles out (kick only, hats only ...), a fill may end it."""
        first, end, _, patterns = section
        roles = [r for r in patterns if not strip or self.rng.random() < 0.5]
        fill = self.rng.random() < 0.45
        if self.rng.random() < 0.5 and "kick" in patterns:
            self.piece.strokes.append((self.time(first, 0), "crash", 0.8))
        for bar in range(first, end):
            cut = (
                self.steps_a_bar - self.style.steps * int(self.rng.integers(1, 3))
                if fill and bar == end - 1
                else self.steps_a_bar
            )
            for role in roles:
                for step, loudness in pattern_hits(self.rng, patterns[role], bar, self.steps_a_bar):
                    if step < cut:
                        self.piece.strokes.append((self.time(bar, step), role, loudness * self.rng.uniform(0.8, 1.1)))
            for step in range(cut, self.steps_a_bar):
                if self.rng.random() < 0.7:
                    role = self.rng.choice(["snare", "snare", "tom_hi", "tom_lo", "kick"])
                    self.piece.strokes.append((self.time(bar, step), role, self.rng.uniform(0.5, 1)))

    def note(self, part: str, start_s: float, length_s: float, pitch: int, loudness: float) -> None:
        velocity = int(np.clip(100 * loudness * self.rng.uniform(0.8, 1.15), 20, 127))
        self.piece.stems.setdefault(part, []).append(
            (max(start_s, 0.0), max(length_s, 0.03), int(np.clip(pitch, 24, 100)), velocity)
        )

    def step_s(self, bar: int) -> float:
        at = self.grid.at(np.array([bar, bar + 1]) * self.style.metre)
        return float(at[1] - at[0]) / self.steps_a_bar

    def bass(self, section: tuple, pattern: str) -> None:
        """Root on the pattern's steps, sometimes the fifth or octave; `walk` moves by scale steps on every beat."""
        kick = section[3].get("kick", "x" + "." * (self.steps_a_bar - 1))
        text = {"kick": kick, "walk": ("x" + "." * (self.style.steps - 1)) * self.style.metre}.get(pattern, pattern)
        for bar in range(section[0], section[1]):
            hits = pattern_hits(self.rng, text, bar, self.steps_a_bar)
            steps = [step for step, _ in hits] + [self.steps_a_bar]
            for i, (step, loudness) in enumerate(hits):
                chord = self.chord(bar, step)
                pitch = (
                    chord[0] if pattern != "walk" or step == 0 else chord[self.rng.integers(4)] + int(self.rng.integers(-2, 3))
                )
                pitch += int(self.rng.choice([0, 0, 0, 0, 12, 7])) if i else 0
                self.note(
                    "bass", self.time(bar, step), (steps[i + 1] - step) * self.step_s(bar) * 0.85, pitch, 0.6 + 0.4 * loudness
                )

    def comp(self, section: tuple, pattern: str, part: str = "comp") -> None:
        """Chords on the pattern's steps, held chords (`pad`) or broken chords (`arpN`: N notes a bar of four)."""
        if pattern.startswith("arp"):
            return self.arpeggio(section, int(pattern[3:]))
        text = (
            "x" + "." * (self.steps_a_bar - 1)
            if pattern == "pad"
            else section[3].get("kick", "x" + "." * (self.steps_a_bar - 1))
            if pattern == "kick"
            else pattern
        )
        full = pattern == "pad"
        choke = self.rng.uniform(0.3, 0.95)
        low = self.style.programs == "metal"
        for bar in range(section[0], section[1]):
            hits = pattern_hits(self.rng, text, bar, self.steps_a_bar)
            if full and self.bars_a_chord == 0.5:
                hits.append((self.steps_a_bar // 2, 0.7))
            steps = [step for step, _ in hits] + [self.steps_a_bar]
            for i, (step, loudness) in enumerate(hits):
                root, third, fifth, _ = self.chord(bar, step)
                pitches = (root + 4, fifth + 4, root + 16) if low else (root + 12, third + 12, fifth + 12, root + 24)
                length_s = (steps[i + 1] - step) * self.step_s(bar) * (1.0 if full else choke)
                start_s = self.time(bar, step)
                for pitch in pitches:
                    self.note(part, start_s, length_s, pitch, loudness)
        return None

    def arpeggio(self, section: tuple, notes: int) -> None:
        """Broken chords, evenly; accents at random so that the beat is not always the loudest."""
        per_beat = max(notes // 4, 1)
        order = self.rng.permutation([0, 1, 2, 3, 1, 2])
        for bar in range(section[0], section[1]):
            for i in range(per_beat * self.style.metre):
                step = i * self.style.steps / per_beat
                pitch = self.chord(bar, step)[order[i % len(order)]] + 12 + 12 * (i % 4 == 3)
                self.note(
                    "comp",
                    self.time(bar, step),
                    self.step_s(bar) * self.style.steps / per_beat * 1.2,
                    pitch,
                    0.8 if i % per_beat == 0 else 0.65,
                )

    def lead(self, section: tuple) -> None:
        """A motif of one or two bars, repeated over the chords; long notes mostly start on strong steps."""
        rng, n = self.rng, self.steps_a_bar
        weight = np.array(
            [0.6 if s % self.style.steps == 0 else 0.35 if s % max(self.style.steps // 2, 1) == 0 else 0.12 for s in range(n)]
        )
        motif = [[(s, int(rng.integers(-2, 5))) for s in range(n) if rng.random() < weight[s]] for _ in range(2)]
        for bar in range(section[0], section[1]):
            hits = motif[bar % 2]
            for (step, degree), following in zip(hits, [s for s, _ in hits[1:]] + [n], strict=False):
                pitch = self.chord(bar, step)[0] + 24 + self.scale[degree % 7] + 12 * (degree // 7)
                self.note("lead", self.time(bar, step), (following - step) * self.step_s(bar) * 0.9, pitch, 0.9)

    def compose(self) -> Piece:
        """The whole piece."""
        rng, style = self.rng, self.style
        comp, bass = rng.choice(style.comp), rng.choice(style.bass)
        for section in self.plan():
            parts = section[2]
            drumless = not section[3]
            if "drums" in parts or style.programs == "none":
                self.drums(section, strip=rng.random() < 0.15 and style.programs != "none")
            if style.programs == "none":
                continue
            if "bass" in parts:
                self.bass(section, bass)
            if "comp" in parts or drumless:
                self.comp(section, rng.choice(style.comp) if rng.random() < 0.25 else comp)
            if "pad" in parts:
                self.comp(section, "pad", "pad")
            if "lead" in parts:
                self.lead(section)
        bank = PROGRAMS.get(style.programs, PROGRAMS["pop"])
        self.piece.programs = {part: int(rng.choice(bank[part])) for part in ("comp", "bass", "lead", "pad")}
        return self.piece


def compose(rng: np.random.Generator, style_name: str, length_s: float) -> Piece:
    """A new piece of about `length_s` in a style."""
    return Composer(rng, style_name, make_grid(rng, STYLES[style_name], length_s)).compose()


def drum_over(rng: np.random.Generator, grid: Grid, style_name: str) -> Piece:
    """Programmed drums (and now and then a bass) over a given grid of the style's metre."""
    composer = Composer(rng, style_name, grid)
    for section in composer.plan():
        if "drums" in section[2]:
            composer.drums(section, strip=rng.random() < 0.15)
    return composer.piece
