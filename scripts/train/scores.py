"""Reads POP909 and the Groove MIDI Dataset into pieces, an excerpt of each."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import mido
import numpy as np
from compose import Grid
from kits import GM_NOTES

ROLE_OF_NOTE = {note: role for role, notes in GM_NOTES.items() for note in notes} | {
    22: "hat",
    26: "open",
    47: "tom_lo",
    58: "tom_lo",
    43: "tom_lo",
    40: "snare",
    51: "ride",
}
METRES = {"4-4": (4, 1.0), "3-4": (3, 1.0), "5-4": (5, 1.0), "6-8": (2, 1.5), "2-4": (2, 1.0)}
"""Groove: time signature -> beats in a bar, beat in quarter notes (6/8 is felt in two)."""


@dataclass(frozen=True)
class Score:
    """Notes as read, times in s from the excerpt's start; `beats` rows (time_s, downbeat 1 or 0)."""

    beats: np.ndarray
    notes: dict[int, list[tuple[float, float, int, int]]]
    """channel -> (start_s, length_s, pitch, velocity)"""
    grid: Grid | None


def read_notes(path: Path) -> dict[int, list[tuple[float, float, int, int]]]:
    """channel -> (start_s, length_s, pitch, velocity), by end."""
    now_s, sounding, notes = 0.0, {}, {}
    for message in mido.MidiFile(path):
        now_s += message.time
        if message.type == "note_on" and message.velocity:
            sounding[message.channel, message.note] = (now_s, message.velocity)
        elif message.type in ("note_off", "note_on") and (message.channel, message.note) in sounding:
            start_s, velocity = sounding.pop((message.channel, message.note))
            notes.setdefault(message.channel, []).append((start_s, now_s - start_s, message.note, velocity))
    return notes


def excerpt(notes: dict, beats: np.ndarray, window_s: tuple[float, float]) -> tuple[dict, np.ndarray]:
    """Both moved so that the window starts at 0."""
    start_s, end_s = window_s
    kept = {c: [(n[0] - start_s, *n[1:]) for n in part if start_s <= n[0] < end_s] for c, part in notes.items()}
    inside = (beats[:, 0] >= start_s - 0.01) & (beats[:, 0] < end_s)
    return kept, beats[inside] - [start_s, 0]


def read_pop909(path: Path, rng: np.random.Generator, length_s: float) -> Score:
    """An excerpt of a pop song that starts just before a downbeat; its grid is None where the bars are not all of four."""
    table = np.loadtxt(path.with_suffix("").with_suffix(".beat_midi.txt"))
    beats = table[:, [0, 2]]
    downs = np.flatnonzero(beats[:, 1] > 0.5)
    first = downs[rng.integers(max(len(downs) * 2 // 3, 1))]
    start_s = max(beats[first, 0] - 0.3, 0.0)
    notes, inside = excerpt(read_notes(path), beats, (start_s, start_s + length_s))
    inside = inside[inside[:, 0] >= beats[first, 0] - start_s - 0.01]
    bars = np.diff(np.flatnonzero(inside[:, 1] > 0.5))
    regular = len(bars) > 2 and (bars == 4).all() and np.ptp(np.diff(inside[:, 0])) < 0.25 * np.median(np.diff(inside[:, 0]))
    return Score(inside, notes, Grid(inside[:, 0], 4) if regular else None)


def list_groove(folder: Path) -> list[dict[str, str]]:
    """Takes that last at least 8 s, of a metre that is known."""
    with (folder / "info.csv").open() as rows:
        return [
            row
            for row in csv.DictReader(rows)
            if float(row["duration"]) >= 8 and row["time_signature"] in METRES and (folder / row["midi_filename"]).exists()
        ]


def read_groove(folder: Path, row: dict[str, str], length_s: float) -> Score:
    """A take played to a metronome that starts with it; bar 1 starts at 0."""
    metre, quarters = METRES[row["time_signature"]]
    interval_s = 60 / float(row["bpm"]) * quarters
    notes = read_notes(folder / row["midi_filename"])
    end_s = min(max(n[0] for part in notes.values() for n in part) + 0.5, length_s)
    times_s = np.arange(0, end_s, interval_s)
    downs = (np.arange(len(times_s)) % metre == 0).astype(float)
    grid = Grid(times_s, metre) if quarters == 1 and len(times_s) > 4 else None
    return Score(np.stack([times_s, downs], axis=1), {c: [n for n in part if n[0] < end_s] for c, part in notes.items()}, grid)
