"""Draws training items: audio and the truth about its beats.

An item's truth is `beats` (n, 2): time_s, downbeat (1 yes, 0 no, -1 not known), and `music` (m, 2): spans in s in which there
is a beat to follow.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import effects
import numpy as np
from compose import Composer, Grid, Piece, compose, drum_over
from kits import RATE_HZ, run_fluidsynth
from scores import ROLE_OF_NOTE, Score, read_groove, read_pop909
from sound import Bank, fit, mix, play_notes, to_midi
from styles import PROGRAMS, STYLES, Style

LENGTH_S = 60.0
TAKES = 4
"""Items made of one performance: sounding its notes is what costs, so each is produced four times over."""
KINDS = {"composed": 0.58, "pop": 0.06, "pop_drums": 0.16, "groove": 0.05, "groove_band": 0.04, "beatless": 0.11}


@dataclass
class Item:
    """One stretch of sound and its truth."""

    audio: np.ndarray
    beats: np.ndarray
    music: np.ndarray
    kind: str


@dataclass(frozen=True)
class Scores:
    """Where the MIDI lies."""

    pop909: list[Path]
    groove_folder: Path
    groove: list[dict[str, str]]


@dataclass(frozen=True, eq=False)
class Stage:
    """All that items are made from; one per process."""

    bank: Bank
    scores: Scores


@dataclass(frozen=True)
class Performance:
    """A piece whose notes have been played; its drums not yet. `restyle`: names of styles that may drum to it."""

    piece: Piece
    notes: np.ndarray
    beats: np.ndarray
    kind: str
    restyle: tuple[str, ...] = ()


def truth(beats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Beats and the one span they make, a beat longer than the last."""
    if len(beats) < 4:
        return np.zeros((0, 2)), np.zeros((0, 2))
    return beats, np.array([[beats[0, 0], beats[-1, 0] + np.median(np.diff(beats[:, 0]))]])


def styles_like(style: Style) -> tuple[str, ...]:
    """Styles with drums that fit the same bar."""
    return tuple(
        n for n, s in STYLES.items() if (s.metre, s.steps) == (style.metre, style.steps) and s.drums[0] and s.programs != "none"
    )


def composed(rng: np.random.Generator, bank: Bank) -> Performance:
    """A piece of a style drawn by weight."""
    names = list(STYLES)
    weights = np.array([STYLES[name].weight for name in names])
    name = str(rng.choice(names, p=weights / weights.sum()))
    piece = compose(rng, name, LENGTH_S - 2)
    starts = [t for t, _, _ in piece.strokes] + [note[0] for part in piece.stems.values() for note in part]
    times_s = piece.grid.beats_s[piece.grid.beats_s < min(LENGTH_S, max(starts, default=0) + 0.05)]
    beats = np.stack([times_s, np.arange(len(times_s)) % piece.grid.metre == 0], axis=1)
    restyle = styles_like(STYLES[name]) if STYLES[name].drums[0] and piece.stems else ()
    return Performance(piece, play_notes(rng, piece, bank, int(LENGTH_S * RATE_HZ)), beats, name, restyle)


def band(rng: np.random.Generator, score: Score, piece: Piece) -> None:
    """Gives the piece the score's channels as parts, with instruments drawn at random (often all one piano)."""
    bank = PROGRAMS[str(rng.choice(["pop", "chamber", "funk", "electro", "rock"]))]
    one = rng.random() < 0.3
    for channel, notes in score.notes.items():
        piece.stems[str(channel)] = notes
        piece.programs[str(channel)] = 0 if one else int(rng.choice(bank[("lead", "comp", "comp")[channel % 3]]))


def pop(rng: np.random.Generator, bank: Bank, scores: Scores, drums: bool) -> Performance:
    """An excerpt of POP909, by itself or with programmed drums over its beats."""
    score = read_pop909(scores.pop909[rng.integers(len(scores.pop909))], rng, LENGTH_S)
    drums = drums and score.grid is not None
    restyle = styles_like(STYLES["rock"]) if drums else ()
    piece = (
        drum_over(rng, score.grid, str(rng.choice(restyle)))
        if drums
        else Piece(score.grid or Grid(score.beats[:, 0], 4), "pop909")
    )
    band(rng, score, piece)
    return Performance(
        piece, play_notes(rng, piece, bank, int(LENGTH_S * RATE_HZ)), score.beats, "pop_drums" if drums else "pop", restyle
    )


def groove(rng: np.random.Generator, bank: Bank, scores: Scores, accompany: bool) -> Performance:
    """A take of the Groove dataset, through one of our kits, alone or with a band on its metronome."""
    score = read_groove(scores.groove_folder, scores.groove[rng.integers(len(scores.groove))], LENGTH_S)
    grid = score.grid or Grid(score.beats[:, 0], 4)
    piece = Piece(grid, "groove")
    if accompany and score.grid and grid.metre == 4:
        piece = Composer(rng, str(rng.choice(["rock", "funk", "soul", "hiphop", "breaks", "reggae"])), grid).compose()
    piece.strokes = [(t, ROLE_OF_NOTE[p], v / 127) for part in score.notes.values() for t, _, p, v in part if p in ROLE_OF_NOTE]
    n = int(min(LENGTH_S, score.beats[-1, 0] + 1) * RATE_HZ)
    return Performance(
        piece, play_notes(rng, piece, bank, n) if piece.stems else np.zeros(n, np.float32), score.beats, "groove"
    )


def perform(rng: np.random.Generator, bank: Bank, scores: Scores, kind: str) -> Performance:
    """Plays the notes of a piece of one kind."""
    if kind == "composed":
        return composed(rng, bank)
    if kind.startswith("pop"):
        return pop(rng, bank, scores, kind == "pop_drums")
    return groove(rng, bank, scores, kind == "groove_band")


def produce(rng: np.random.Generator, bank: Bank, performance: Performance, again: bool) -> Item:
    """Drums and mix. `again`: as another recording, at another speed (and pitch), often with other drums."""
    piece, notes, beats = performance.piece, performance.notes, performance.beats
    if again and performance.restyle and rng.random() < 0.8:
        style = (
            piece.style if rng.random() < 0.5 and piece.style in performance.restyle else str(rng.choice(performance.restyle))
        )
        redone = drum_over(rng, piece.grid, style)
        piece = replace(piece, strokes=redone.strokes)
    ratio = float(np.exp(rng.uniform(-0.17, 0.17))) if again else 1.0
    if again:
        notes = np.interp(np.arange(0, len(notes) - 1, ratio), np.arange(len(notes)), notes).astype(np.float32)
        piece = replace(
            piece,
            grid=Grid(piece.grid.beats_s / ratio, piece.grid.metre),
            strokes=[(t / ratio, *rest) for t, *rest in piece.strokes],
        )
        beats = beats / [ratio, 1]
    return Item(mix(rng, piece, bank, notes), *truth(beats), performance.kind)


def speech(rng: np.random.Generator, bank: Bank, n: int) -> np.ndarray:
    """(n,) someone talking, or a few people at once, with pauses."""
    out = np.zeros(n, np.float32)
    for _ in range(int(rng.choice([1, 1, 1, 2, 8]))):
        at = int(rng.uniform(0, 2) * RATE_HZ)
        while at < n:
            clip = bank.speech[rng.integers(len(bank.speech))]
            out[at : at + len(clip)] += clip[: n - at] * rng.uniform(0.5, 1)
            at += len(clip) + int(rng.uniform(0.1, 2) * RATE_HZ)
    return effects.normalise(out)


def scattered(rng: np.random.Generator, bank: Bank, n: int) -> np.ndarray:
    """(n,) one-shots or notes at random times: applause, typing, cutlery, tuning up."""
    seconds = n / RATE_HZ
    rate = float(np.exp(rng.uniform(np.log(0.5), np.log(60))))
    times_s = np.sort(rng.uniform(0, seconds, int(rate * seconds)))
    if rng.random() < 0.4:
        notes = [
            (t, rng.uniform(0.1, 3), int(rng.integers(36, 90)), int(rng.integers(40, 120)))
            for t in times_s[:: max(int(rate // 6), 1)]
        ]
        piece = Piece(Grid(np.arange(4.0), 4), "scattered", [], {"lead": notes}, {"lead": int(rng.integers(0, 100))})
        return play_notes(rng, piece, bank, n)
    out = np.zeros(n + 2 * RATE_HZ, np.float32)
    kit = bank.kits[rng.integers(len(bank.kits))]
    sounds = [s for role in rng.choice(list(kit), 2) for s in kit[role]]
    for t in times_s:
        sound = sounds[rng.integers(len(sounds))]
        out[int(t * RATE_HZ) :][: len(sound)] += sound * rng.uniform(0.2, 1)
    return effects.normalise(out[:n])


def pads(rng: np.random.Generator, bank: Bank, n: int) -> np.ndarray:
    """(n,) long chords that change at no regular time."""
    notes, t = [], 0.0
    while t < n / RATE_HZ:
        length_s = rng.uniform(3, 14)
        notes += [
            (t + rng.uniform(0, 0.8), length_s * rng.uniform(0.8, 1.3), int(p), int(rng.integers(40, 90)))
            for p in rng.integers(40, 80, 4)
        ]
        t += length_s
    program = int(rng.choice([48, 49, 50, 51, 52, 88, 89, 90, 91, 92, 93, 94, 95, 19, 16, 97, 99, 101]))
    sound = run_fluidsynth(bank.soundfonts[rng.integers(len(bank.soundfonts))], to_midi({"pad": notes}, {"pad": program}, 0))
    return effects.normalise(effects.room(rng, fit(sound, n), rng.uniform(0, 1.5)))


def beatless(rng: np.random.Generator, bank: Bank, length_s: float) -> Item:
    """Speech, noise, hum, pads, applause, silence: nothing to follow."""
    n = int(length_s * RATE_HZ)
    kind = str(rng.choice(["speech", "noise", "hum", "pads", "scattered", "silence"], p=[0.38, 0.14, 0.07, 0.17, 0.18, 0.06]))
    if kind == "speech":
        audio = speech(rng, bank, n)
    elif kind == "pads":
        audio = pads(rng, bank, n)
    elif kind == "scattered":
        audio = scattered(rng, bank, n)
    elif kind == "hum":
        audio = effects.hum(rng, n) + rng.uniform(0, 0.1) * effects.coloured_noise(rng, n, 1)
    else:
        swell = np.interp(np.arange(n), np.linspace(0, n, 12), 10 ** (rng.uniform(-1, 0, 12))) if rng.random() < 0.4 else 1.0
        audio = effects.coloured_noise(rng, n, rng.uniform(0, 2)) * swell
    if kind == "silence":
        audio = audio * 10 ** (rng.uniform(-100, -45) / 20)
    return Item(np.asarray(audio, np.float32), *truth(np.zeros((0, 2))), kind)


def click(rng: np.random.Generator, bank: Bank) -> np.ndarray:
    """A tone burst, a noise burst, or a one-shot of a kit, peak 1."""
    if rng.random() < 0.5:
        kit = bank.kits[rng.integers(len(bank.kits))]
        sounds = kit[str(rng.choice(list(kit)))]
        return sounds[rng.integers(len(sounds))]
    t = np.arange(int(0.3 * RATE_HZ)) / RATE_HZ
    tone = np.sin(2 * np.pi * np.exp(rng.uniform(np.log(200), np.log(5000))) * t)
    body = tone if rng.random() < 0.7 else rng.standard_normal(len(t))
    return effects.normalise((body * np.exp(-t / rng.uniform(0.002, 0.05))).astype(np.float32), 1.0)


def metronome(rng: np.random.Generator, bank: Bank, length_s: float) -> Item:
    """A click on every beat and little else: accents, off-beats, a steady, ramping or jumping tempo."""
    bpm, metre = float(np.exp(rng.uniform(np.log(45), np.log(215)))), int(rng.choice([1, 2, 3, 4, 4]))
    steps_s = np.full(int(length_s * bpm / 60) + 2, 60 / bpm)
    if rng.random() < 0.15:
        steps_s *= np.linspace(1, np.exp(rng.uniform(-0.3, 0.3)), len(steps_s))
    elif rng.random() < 0.12:
        steps_s[int(rng.uniform(0.2, 0.8) * len(steps_s)) :] *= np.exp(rng.uniform(-0.5, 0.5))
    times_s = rng.uniform(0.1, 1.5) + np.cumsum(steps_s)
    times_s = times_s[times_s < length_s - 0.5]
    down = (np.arange(len(times_s)) % metre == 0) if metre > 1 else np.full(len(times_s), -1)
    plain, accent, off = (click(rng, bank) for _ in range(3))
    out = np.zeros(int((length_s + 2) * RATE_HZ), np.float32)

    def strike(at_s: float, sound: np.ndarray, level: float) -> None:
        out[int(at_s * RATE_HZ) :][: len(sound)] += sound * level

    off_level = rng.uniform(0.08, 0.5) if rng.random() < 0.4 else 0.0
    for n, at_s in enumerate(times_s):
        strike(at_s, accent if down[n] == 1 else plain, 1.0 if down[n] == 1 else 0.8)
        strike(at_s + steps_s[n] / 2, off, off_level)
    beats = np.stack([times_s, down.astype(float)], axis=1)
    return Item(effects.normalise(out[: int(length_s * RATE_HZ)]), *truth(beats), "metronome")


@lru_cache(maxsize=1)
def performance_of(family: int, seed: int, stage: Stage) -> Performance | None:
    """The performance that TAKES items in a row are made of; None: they are beatless, each its own."""
    rng = np.random.default_rng([seed, family])
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    return None if kind == "beatless" else perform(rng, stage.bank, stage.scores, kind)


def draw(index: int, seed: int, stage: Stage, metronomes: bool = False) -> Item:
    """Training item number `index`, mastered, at times with someone talking over it."""
    family, take = divmod(index, TAKES)
    performance = None if metronomes else performance_of(family, seed, stage)
    rng = np.random.default_rng([seed, family, take])
    if performance:
        item = produce(rng, stage.bank, performance, again=take > 0)
    else:
        item = (metronome if metronomes else beatless)(rng, stage.bank, 40.0)
    if rng.random() < 0.07:
        talk = speech(rng, stage.bank, len(item.audio))
        item.audio = item.audio + talk * (effects.rms(item.audio) / effects.rms(talk) * 10 ** (rng.uniform(-10, 6) / 20))
    if item.kind != "silence":
        item.audio = effects.master(rng, item.audio)
    return item
