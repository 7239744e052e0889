"""Sounds a `Piece`: drum strokes with one-shots, notes with fluidsynth, mixed as its style asks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np
from compose import Piece
from effects import echo, equalise, normalise, pump, rms, room, saturate
from kits import RATE_HZ, run_fluidsynth
from styles import STYLES

INSTEAD = {
    "open": "hat",
    "clap": "snare",
    "rim": "snare",
    "ride": "hat",
    "crash": "open",
    "tom_hi": "snare",
    "tom_lo": "kick",
    "shaker": "hat",
    "bell": "rim",
    "conga_hi": "tom_hi",
    "conga_lo": "tom_lo",
}
LEVEL_DB = {
    "kick": 0,
    "snare": -2,
    "clap": -4,
    "rim": -6,
    "hat": -11,
    "open": -10,
    "ride": -11,
    "crash": -8,
    "tom_hi": -4,
    "tom_lo": -3,
    "shaker": -13,
    "bell": -10,
    "conga_hi": -6,
    "conga_lo": -5,
}


@dataclass(frozen=True)
class Bank:
    """Everything that sounds."""

    kits: list[dict[str, list[np.ndarray]]]
    soundfonts: list[Path]
    speech: list[np.ndarray]


def draw_kit(rng: np.random.Generator, kits: list[dict]) -> dict[str, list[np.ndarray]]:
    """One kit, at times with the kick or snare of another; two or three sounds a role."""
    kit = dict(kits[rng.integers(len(kits))])
    if rng.random() < 0.4:
        other = kits[rng.integers(len(kits))]
        kit |= {role: other[role] for role in ("kick", "snare", "hat", "clap") if role in other and rng.random() < 0.5}
    return {
        role: [sounds[i] for i in sorted(rng.choice(len(sounds), min(len(sounds), 3), replace=False))]
        for role, sounds in kit.items()
    }


def play_drums(rng: np.random.Generator, kit: dict, strokes: list, n: int) -> np.ndarray:
    """(n,) float32; each role has its own level, pitch and, for its ring, length."""
    out = np.zeros(n + 2 * RATE_HZ, np.float32)
    gains = {role: 10 ** ((db + rng.normal(0, 4)) / 20) for role, db in LEVEL_DB.items()}
    sounds: dict[str, list[np.ndarray]] = {}
    for role in LEVEL_DB:
        source = role
        while source not in kit:
            source = INSTEAD[source]
        ratio = 2 ** rng.uniform(-0.25, 0.25) if rng.random() < 0.5 else 1.0
        length = rng.uniform(0.15, 1.0)
        for sound in kit[source]:
            stretched = np.interp(np.arange(0, len(sound) - 1, ratio), np.arange(len(sound)), sound)
            ring = np.exp(-np.arange(len(stretched)) / (length * RATE_HZ))
            sounds.setdefault(role, []).append((stretched * ring).astype(np.float32))
    for time_s, role, loudness in strokes:
        start = int(max(time_s, 0) * RATE_HZ)
        if start < n:
            sound = sounds[role][rng.integers(len(sounds[role]))]
            out[start : start + len(sound)] += (gains[role] * loudness**1.5) * sound[: len(out) - start]
    return out[:n]


def to_midi(stems: dict[str, list], programs: dict[str, int], transpose: int) -> mido.MidiFile:
    """Stems -> one channel each, 1000 ticks a second."""
    midi = mido.MidiFile(ticks_per_beat=1000)
    midi.tracks.append(mido.MidiTrack([mido.MetaMessage("set_tempo", tempo=1_000_000)]))
    for channel, (part, notes) in enumerate(stems.items()):
        events = [(round(t * 1000), 1, p, v) for t, _, p, v in notes] + [
            (round((t + d) * 1000), 0, p, 0) for t, d, p, _ in notes
        ]
        track, now = mido.MidiTrack([mido.Message("program_change", channel=channel, program=programs[part])]), 0
        for tick, on, pitch, velocity in sorted(events):
            note = min(max(pitch + transpose, 0), 127)
            track.append(
                mido.Message("note_on" if on else "note_off", channel=channel, note=note, velocity=velocity, time=tick - now)
            )
            now = tick
        midi.tracks.append(track)
    return midi


def fit(x: np.ndarray, n: int) -> np.ndarray:
    """Cut or padded to n samples."""
    return np.pad(x[:n], (0, max(n - len(x), 0)))


def play_notes(rng: np.random.Generator, piece: Piece, bank: Bank, n: int) -> np.ndarray:
    """(n,) float32; the parts with their own levels, guitars through an amplifier where the style is driven."""
    if not piece.stems:
        return np.zeros(n, np.float32)
    soundfont = bank.soundfonts[rng.integers(len(bank.soundfonts))]
    driven = "distort" in STYLES[piece.style].flags and rng.random() < 0.75 if piece.style in STYLES else False
    groups = (
        [[p for p in piece.stems if p != "comp"], ["comp"] if "comp" in piece.stems else []] if driven else [list(piece.stems)]
    )
    out = np.zeros(n, np.float32)
    for i, parts in enumerate(groups):
        if parts:
            stems = {p: piece.stems[p] for p in parts}
            sound = fit(run_fluidsynth(soundfont, to_midi(stems, piece.programs, 0)), n)
            if i == 1:
                sound = equalise(rng, saturate(sound, rng.uniform(6, 30)))
            out += sound * (10 ** (rng.normal(0, 3) / 20) / rms(sound))
    return normalise(out)


def mix(rng: np.random.Generator, piece: Piece, bank: Bank, notes: np.ndarray) -> np.ndarray:
    """(samples,) float32, peak 0.9, not yet mastered: drums on the notes as played (zeros if there are none)."""
    n = len(notes)
    flags = STYLES[piece.style].flags if piece.style in STYLES else frozenset()
    drums = play_drums(rng, draw_kit(rng, bank.kits), piece.strokes, n) if piece.strokes else np.zeros(n, np.float32)
    if piece.strokes and rng.random() < 0.25:
        drums = room(rng, drums, 10 ** (rng.uniform(-20, -4) / 20))
    beat_s = float(np.median(np.diff(piece.grid.beats_s)))
    if piece.strokes and rng.random() < 0.06:
        drums = echo(drums, beat_s * rng.choice([0.75, 0.5, 1.5, 1 / 3]), rng.uniform(0.2, 0.6))
    if not piece.stems:
        return normalise(drums)
    if rng.random() < 0.1:
        notes = echo(notes, beat_s * rng.choice([0.75, 0.5, 1.0]), rng.uniform(0.2, 0.5))
    if "pump" in flags and rng.random() < 0.6:
        notes = pump(
            notes,
            [t for t, role, _ in piece.strokes if role == "kick"],
            rng.uniform(0.3, 0.95),
            beat_s * rng.uniform(0.4, 0.95),
        )
    if not piece.strokes:
        return notes
    # Drums over the rest by -10..+10 dB, loudness compared where they play.
    return normalise(drums / rms(drums) * 10 ** (rng.uniform(-9, 9) / 20) + notes / rms(notes))
