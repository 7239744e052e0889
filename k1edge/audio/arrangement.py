"""Random songs with known form: material to tune and to judge structure detection on, without end and without licence.

A seed decides everything: tempo (90-175 BPM), dialect, key, harmony, melody, kit and timbres; and the form, 3 to 6 minutes of
intro, verses, builds (with risers and rolls or without), drops (after silence or not, some in half time), fake drops,
breakdowns, bridges, outro. Emits a `Sound` with exact truth; rendering takes about 1/60 of its duration.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from k1edge.audio.composer import BEATS_PER_BAR, Chord, Melody, Passage, Style, compose, truth_of
from k1edge.audio.instruments import Kit, Timbre
from k1edge.audio.mixdown import SWEEP_OPEN_HZ
from k1edge.audio.synth import RATE_HZ, Sound, Truth

DURATION_S = (180.0, 360.0)
WANTED_S = (180.0, 300.0)
"""Drawn first; the form may run over it by less than what remains to the longest."""
ATTEMPTS = 60
"""At fitting a cycle into what remains."""
MINOR, MAJOR = (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 5, 7, 9, 11)
PROGRESSIONS = {
    MINOR: ((0, 5, 2, 6), (0, 3, 5, 6), (0, 6, 5, 6), (0, 2, 5, 3), (0, 0, 5, 6), (0, 5, 3, 4)),
    MAJOR: ((0, 4, 5, 3), (5, 3, 0, 4), (0, 3, 5, 4), (3, 4, 5, 0)),
}
RHYTHMS = (
    ((0, 3), (3, 3), (6, 2), (8, 3), (11, 3), (14, 2)),
    ((0, 4), (4, 2), (6, 2), (8, 4), (14, 2)),
    ((0, 2), (2, 2), (6, 2), (8, 2), (10, 2), (12, 4)),
    ((2, 2), (4, 2), (7, 3), (10, 2), (12, 4)),
    ((0, 6), (6, 6), (12, 4)),
    ((0, 8), (8, 8)),
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """What songs of one kind have in common."""

    bpm: tuple[float, float]
    kick: str
    basses: tuple[str, ...]
    half_time_drops: float = 0.1
    """Share of drops in half time."""


DIALECTS = (
    Dialect((118, 130), "four", ("offbeat", "rolling")),
    Dialect((128, 142), "four", ("rolling", "offbeat")),
    Dialect((90, 112), "broken", ("long", "offbeat"), 0.3),
    Dialect((138, 152), "four", ("long", "rolling"), 0.6),
    Dialect((162, 175), "broken", ("long", "rolling"), 0.2),
)


def arrangement(seed: int, rate_hz: int = RATE_HZ) -> Sound:
    """The song of a seed, rendered."""
    style, form = written(seed)
    return compose(style, form, rate_hz)


def truth(seed: int) -> Truth:
    """What is in the song of a seed, without rendering it."""
    style, form = written(seed)
    return truth_of(style.bpm, form)


def written(seed: int) -> tuple[Style, tuple[Passage, ...]]:
    """The score of a seed."""
    draw = _Draw(seed)
    dialect = draw.one(DIALECTS)
    style = _style(draw, dialect)
    bar_s = BEATS_PER_BAR * 60 / style.bpm
    return style, _form(draw, dialect, (draw.between(*WANTED_S) / bar_s, DURATION_S[1] / bar_s - 1))


class _Draw:
    """Every decision of one song, in order."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng([seed, 0x6B31])

    def one(self, choices):
        return choices[int(self._random.integers(len(choices)))]

    def between(self, low: float, high: float) -> float:
        return float(self._random.uniform(low, high))

    def whole(self, low: int, high: int) -> int:
        return int(self._random.integers(low, high + 1))

    def chance(self, probability: float) -> bool:
        return bool(self._random.random() < probability)


def _style(draw: _Draw, dialect: Dialect) -> Style:
    scale = draw.one((MINOR, MINOR, MAJOR))
    tonic = draw.whole(28, 39)
    degrees = draw.one(PROGRESSIONS[scale])
    chords = tuple(_chord(tonic, scale, degree, draw.chance(0.5)) for degree in degrees)
    return Style(
        bpm=round(draw.between(*dialect.bpm), 1),
        chords=chords,
        melody=_melody(draw, chords, (tonic, scale)),
        kit=_kit(draw),
        bass=_bass(draw),
        pad=_pad(draw),
        arp=Timbre(wave=draw.one(("triangle", "bell", "square")), sustain=0.0, decay_s=draw.between(0.08, 0.25)),
        lead=_lead(draw),
        swing=draw.one((0.0, 0.0, 0.0, 0.12, 0.25)),
    )


def _chord(tonic: int, scale: tuple[int, ...], degree: int, seventh: bool) -> Chord:
    """The chord on a degree of the scale, folded into the octave and a half where chords sound clear."""
    root = tonic + scale[degree]
    tones = [tonic + scale[(degree + third) % 7] for third in (0, 2, 4, 6)[: 3 + seventh]]
    folded = sorted(53 + (tone - 53) % 12 for tone in tones)
    return Chord(root if root < 41 else root - 12, (*folded, folded[0] + 12) if not seventh else tuple(folded))


def _melody(draw: _Draw, chords: tuple[Chord, ...], key: tuple[int, tuple[int, ...]]) -> tuple[Melody, ...]:
    """Two rhythms in alternation; chord tones on the strong sixteenths, steps of the scale between."""
    tonic, scale = key
    ladder = sorted(tonic % 12 + 12 * octave + step for octave in (5, 6) for step in scale)
    rhythms = (draw.one(RHYTHMS), draw.one(RHYTHMS))
    place = len(ladder) // 2
    bars = []
    for number, chord in enumerate(chords):
        tones = {tone % 12 for tone in chord.notes}
        bar = []
        for step, steps in rhythms[number % 2]:
            place = min(max(place + draw.whole(-3, 3), 0), len(ladder) - 1)
            if step % 4 == 0:
                place = min(range(len(ladder)), key=lambda at: (ladder[at] % 12 not in tones, abs(at - place)))
            bar.append((step, ladder[place], steps))
        bars.append(tuple(bar))
    return tuple(bars)


def _kit(draw: _Draw) -> Kit:
    return Kit(
        kick_hz=draw.between(42, 60),
        kick_sweep_hz=draw.between(120, 320),
        kick_s=draw.between(0.22, 0.42),
        kick_drive=draw.between(1.0, 3.0),
        snare_hz=draw.between(160, 230),
        snare_noise=draw.between(0.5, 0.9),
        snare_s=draw.between(0.14, 0.3),
        clap=draw.chance(0.5),
        hat_hz=draw.between(5_500, 9_000),
        hat_s=draw.between(0.02, 0.055),
        open_hat_s=draw.between(0.09, 0.22),
        seed=draw.whole(1, 10_000),
    )


def _bass(draw: _Draw) -> Timbre:
    return Timbre(
        wave=draw.one(("saw", "square", "sine", "triangle")),
        bright_hz=draw.between(600, 2_500),
        dark_hz=draw.between(160, 500),
        bright_s=draw.between(0.05, 0.25),
        sustain=draw.between(0.5, 0.9),
    )


def _pad(draw: _Draw) -> Timbre:
    return Timbre(
        wave=draw.one(("saw", "saw", "organ", "square")),
        bright_hz=draw.between(5_000, 12_000),
        dark_hz=draw.between(1_800, 6_000),
        bright_s=draw.between(0.2, 0.9),
        voices=draw.one((1, 3, 5)),
        detune=draw.between(0.003, 0.009),
        attack_s=draw.between(0.005, 0.08),
        release_s=0.12,
    )


def _lead(draw: _Draw) -> Timbre:
    return Timbre(
        wave=draw.one(("saw", "square", "triangle", "bell")),
        bright_hz=draw.between(4_000, 11_000),
        dark_hz=draw.between(1_500, 5_000),
        voices=draw.one((1, 2, 3)),
        detune=0.004,
        decay_s=draw.between(0.15, 0.6),
        sustain=draw.between(0.2, 0.8),
    )


def _form(draw: _Draw, dialect: Dialect, bars: tuple[float, float]) -> tuple[Passage, ...]:
    """Intro, then cycles of tension and release until there are as many bars as wanted (but no more than allowed), outro."""
    wanted, allowed = bars
    players = _Players(draw, dialect)
    form = [players.intro(), players.outro(draw.one((4, 8)))]
    for _ in range(ATTEMPTS):
        length = sum(passage.bars for passage in form)
        if length >= wanted:
            break
        cycle = players.cycle(first=len(form) == 2)
        if length + sum(passage.bars for passage in cycle) <= allowed:
            form[-1:-1] = cycle
    return tuple(form)


class _Players:
    """Writes the passages of one song; what its drops and verses sound like is decided once."""

    def __init__(self, draw: _Draw, dialect: Dialect) -> None:
        self._draw, self._kick = draw, dialect.kick
        self._half_time_drops = dialect.half_time_drops
        self._drop = Passage(
            "drop", 16, kick=dialect.kick, clap=True, hats=draw.one((2, 3, 3)), bass=draw.one(dialect.basses),
            chords=draw.one(("pad", "stabs")), lead=draw.chance(0.75), arp=draw.chance(0.4), impact=draw.chance(0.8),
        )  # fmt: skip
        self._verse = Passage(
            "verse", 16, kick=dialect.kick, clap=draw.chance(0.6), hats=draw.one((1, 2)),
            bass=draw.one(("offbeat", "long")), chords=draw.one(("none", "pad")), arp=draw.chance(0.5),
            cutoff_hz=(draw.between(900, 3_000),) * 2, gain=0.8,
        )  # fmt: skip

    def intro(self) -> Passage:
        draw = self._draw
        return Passage(
            "intro", draw.one((8, 8, 16)), kick=draw.one((self._kick, "none")), hats=draw.whole(0, 2), chords="pad",
            arp=draw.chance(0.6), cutoff_hz=(draw.between(300, 800), draw.between(1_200, 4_000)), gain=0.85,
        )  # fmt: skip

    def outro(self, bars: int) -> Passage:
        kick, hats = self._draw.one((self._kick, "none")), self._draw.whole(0, 2)
        return Passage("outro", bars, kick=kick, hats=hats, chords="pad", cutoff_hz=(4_000, 250), gain=0.8)

    def cycle(self, first: bool) -> list[Passage]:
        """Something quieter, a build (sometimes one that deceives first), a drop, sometimes a second half of it."""
        draw = self._draw
        before = [self._verse] if first or draw.chance(0.3) else [self._breakdown()]
        if draw.chance(0.25):
            before += [self._build(), replace(self._breakdown(), bars=draw.one((2, 4)), impact=draw.chance(0.5))]
        drop = replace(self._drop, bars=draw.one((8, 16, 16)), fill=draw.chance(0.5))
        if draw.chance(self._half_time_drops):
            drop = replace(drop, kick="half")
        after = [self._bridge()] if draw.chance(0.25) else []
        return [*before, self._build(), drop, *after]

    def _build(self) -> Passage:
        draw = self._draw
        return Passage(
            "build", draw.one((4, 8, 8, 16)), kick=draw.one(("four", "none", "none")), clap=draw.chance(0.3),
            hats=draw.whole(0, 2), chords=draw.one(("pad", "stabs")), arp=draw.chance(0.5), roll=draw.chance(0.8),
            riser=draw.chance(0.65), rest_beats=draw.one((0, 0, 1, 2, 4)),
            cutoff_hz=(draw.between(500, 1_200), draw.between(7_000, SWEEP_OPEN_HZ)),
        )  # fmt: skip

    def _breakdown(self) -> Passage:
        draw = self._draw
        return Passage(
            "breakdown", draw.one((8, 8, 16)), hats=draw.one((0, 0, 1)), chords="pad", arp=draw.chance(0.6),
            lead=draw.chance(0.4), cutoff_hz=(draw.between(2_000, 6_000), draw.between(700, 1_500)), gain=0.85,
        )  # fmt: skip

    def _bridge(self) -> Passage:
        draw = self._draw
        return replace(self._verse, label="bridge", bars=8, kick="half", lead=draw.chance(0.6), chords="pad")
