"""Drum kits as one-shots: recorded (Hydrogen kits, soundfonts, Sonic Pi) and synthesised.

A kit is {role: [sound, ...]}; a sound is (samples,) float32 at RATE_HZ, peak 1, its attack at sample 0.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import mido
import numpy as np
import soundfile
from bands import RATE_HZ
from scipy.signal import butter, resample_poly, sosfilt

LONGEST_S = 1.6

_NAMES = (
    ("rim", r"rim|side.?stick|stick|click"),
    ("clap", r"clap|snap"),
    ("bell", r"cowbell|agogo|bell|block|triangle|glass"),
    ("open", r"hat.?open|open|hho|ohh|\bho_"),
    ("hat", r"hat|hh|closed|chh|\bhc_|pedal"),
    ("kick", r"kick|\bbd|bass|boom"),
    ("snare", r"snare|\bsn|\bsd"),
    ("ride", r"ride"),
    ("crash", r"crash|china|splash|cymbal|cc_"),
    ("tom_lo", r"tom.*(lo|floor|3|4)|ft|djembe\d? bass"),
    ("tom_hi", r"tom|\btm"),
    ("shaker", r"shake|maracas|cabasa|tamb"),
    ("conga_hi", r"conga|bongo|slap|tabla_(na|te)|djembe"),
    ("conga_lo", r"tabla_ghe|drum"),
)
GM_NOTES = {
    "kick": (35, 36),
    "snare": (38, 40),
    "rim": (37,),
    "clap": (39,),
    "hat": (42, 44),
    "open": (46,),
    "ride": (51, 53, 59),
    "crash": (49, 57, 55, 52),
    "tom_hi": (48, 50),
    "tom_lo": (41, 43, 45),
    "shaker": (70, 69, 54, 82),
    "bell": (56, 67, 68, 75, 76, 81),
    "conga_hi": (60, 62, 63),
    "conga_lo": (61, 64),
}
GM_KITS = (0, 8, 16, 24, 25, 32, 40)
SYNTH_KITS = 60


def role_of(name: str) -> str | None:
    """The role a file name stands for, or None."""
    return next((role for role, pattern in _NAMES if re.search(pattern, name.lower())), None)


def attack_first(sound: np.ndarray) -> np.ndarray:
    """Mono sound cut to its attack (the first sample within 26 dB of the peak), peak 1, faded out at its end."""
    peak = np.abs(sound).max()
    if peak < 1e-4:
        return np.zeros(0, np.float32)
    start = int(np.argmax(np.abs(sound) > 0.05 * peak))
    sound = sound[start : start + int(LONGEST_S * RATE_HZ)] / peak
    fade = min(len(sound), 1600)
    sound[-fade:] *= np.linspace(1, 0, fade)
    return sound.astype(np.float32)


def read_sound(path: Path) -> np.ndarray:
    """A file as a one-shot."""
    samples, rate_hz = soundfile.read(path, always_2d=True)
    samples = samples.mean(axis=1)[: 4 * rate_hz]
    return attack_first(resample_poly(samples, RATE_HZ // 100, rate_hz // 100))


def kit_from_files(paths: list[Path]) -> dict[str, list[np.ndarray]]:
    """Files named after what they are -> a kit; those that cannot be read or named are left out."""
    kit: dict[str, list[np.ndarray]] = {}
    for path in paths:
        role = role_of(path.stem)
        try:
            sound = read_sound(path) if role else np.zeros(0)
        except soundfile.LibsndfileError:
            continue
        if len(sound) > 400:
            kit.setdefault(role, []).append(sound)
    return kit


def run_fluidsynth(soundfont: Path, midi: mido.MidiFile) -> np.ndarray:
    """(samples,) float32 mono at RATE_HZ, dry."""
    with tempfile.TemporaryDirectory() as folder:
        song, out = Path(folder, "song.mid"), Path(folder, "out.raw")
        midi.save(song)
        command = ["fluidsynth", "-niq", "-g", "0.5", "-r", str(RATE_HZ), "-R", "0", "-C", "0", "-T", "raw", "-O", "float"]
        command += ["-o", "synth.dynamic-sample-loading=1", "-o", "synth.polyphony=96"]
        subprocess.run([*command, "-F", str(out), str(soundfont), str(song)], check=True, capture_output=True)
        return np.fromfile(out, np.float32).reshape(-1, 2).mean(axis=1)


def kit_from_soundfont(soundfont: Path, program: int) -> dict[str, list[np.ndarray]]:
    """Each percussion note of a General MIDI kit, struck alone at two strengths."""
    strokes = [(role, note, velocity) for role, notes in GM_NOTES.items() for note in notes for velocity in (70, 120)]
    midi = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack([mido.Message("program_change", channel=9, program=program)])
    midi.tracks.append(track)
    for _, note, velocity in strokes:
        track.append(mido.Message("note_on", channel=9, note=note, velocity=velocity, time=0))
        track.append(mido.Message("note_off", channel=9, note=note, time=1920))
    audio = run_fluidsynth(soundfont, midi)
    kit: dict[str, list[np.ndarray]] = {}
    for i, (role, _, _) in enumerate(strokes):
        sound = attack_first(audio[2 * i * RATE_HZ : 2 * (i + 1) * RATE_HZ])
        if len(sound) > 400:
            kit.setdefault(role, []).append(sound)
    return kit


def _decay(rng: np.random.Generator, seconds: float, half_life_s: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return t, 0.5 ** (t / rng.uniform(*half_life_s))


def _noise_burst(rng: np.random.Generator, half_life_s: tuple[float, float], band_hz: tuple[float, float]) -> np.ndarray:
    t, envelope = _decay(rng, 1.0, half_life_s)
    sos = butter(2, (band_hz[0], min(band_hz[1], 15_500)), "bandpass", fs=RATE_HZ, output="sos")
    return sosfilt(sos, rng.standard_normal(len(t))) * envelope


def _tone(rng: np.random.Generator, half_life_s: tuple[float, float], sweep: tuple[float, float, float]) -> np.ndarray:
    """Sine gliding exponentially from `start` to `end` Hz with a half-life in s."""
    start, end, glide_s = sweep
    t, envelope = _decay(rng, 1.2, half_life_s)
    return np.sin(2 * np.pi * np.cumsum(end + (start - end) * 0.5 ** (t / glide_s)) / RATE_HZ) * envelope


def synthesised_kit(rng: np.random.Generator) -> dict[str, list[np.ndarray]]:
    """An electronic kit drawn at random, between drum machines and noise."""
    low = rng.uniform(38, 65)
    kick = _tone(rng, (0.03, 0.35), (rng.uniform(120, 500), low, rng.uniform(0.006, 0.04)))
    kick[:8000] += rng.uniform(0, 0.4) * _noise_burst(rng, (0.001, 0.006), (800, 12_000))[:8000]
    tone = _tone(rng, (0.02, 0.1), (rng.uniform(200, 400), rng.uniform(140, 240), 0.01))[:RATE_HZ]
    snare = rng.uniform(0.2, 1) * tone + rng.uniform(0.4, 1.2) * _noise_burst(
        rng, (0.03, 0.15), (rng.uniform(300, 2000), 14_000)
    )
    burst = _noise_burst(rng, (0.03, 0.12), (rng.uniform(600, 1200), rng.uniform(2500, 8000)))
    clap = sum(np.roll(burst, int(i * 0.011 * RATE_HZ)) * (0.5 + 0.25 * i) for i in range(3))
    bright = rng.uniform(3000, 8000)
    high = rng.uniform(200, 420)
    parts = {
        "kick": np.tanh(kick * rng.uniform(1, 4)),
        "snare": snare,
        "clap": clap,
        "rim": _tone(rng, (0.004, 0.02), (1800, 900, 0.005)),
        "hat": _noise_burst(rng, (0.008, 0.04), (bright, 15_000)),
        "open": _noise_burst(rng, (0.1, 0.3), (bright, 15_000)),
        "ride": _noise_burst(rng, (0.15, 0.4), (bright, 14_000)),
        "crash": _noise_burst(rng, (0.3, 0.6), (1500, 15_000)),
        "shaker": _noise_burst(rng, (0.02, 0.05), (4000, 12_000)),
        "bell": _tone(rng, (0.03, 0.15), (rng.uniform(540, 1500),) * 2 + (1,)),
        "tom_hi": _tone(rng, (0.05, 0.2), (high * 1.5, high, 0.03)),
        "tom_lo": _tone(rng, (0.06, 0.25), (high, high / 2, 0.03)),
        "conga_hi": _tone(rng, (0.03, 0.1), (high * 1.6, high * 1.5, 0.02)),
        "conga_lo": _tone(rng, (0.04, 0.14), (high, high * 0.9, 0.02)),
    }
    return {role: [attack_first(sound)] for role, sound in parts.items()}


def load_kits(roots: dict[str, Path], seed: int) -> list[dict[str, list[np.ndarray]]]:
    """Every kit with at least kick, snare and hat. `roots`: hydrogen, sonic_pi (folders; may be missing), soundfonts (list)."""
    kits = [kit_from_files(sorted(folder.iterdir())) for folder in sorted(roots["hydrogen"].glob("*")) if folder.is_dir()]
    # Only one-shots: the loops of this package are used to judge the tracker.
    kits.append(
        kit_from_files(
            [p for p in sorted(roots["sonic_pi"].glob("*.flac")) if re.match(r"bd_|sn_|drum_|elec_|perc_|tabla_", p.name)]
        )
    )
    kits += [kit_from_soundfont(soundfont, program) for soundfont in roots["soundfonts"] for program in GM_KITS]
    rng = np.random.default_rng(seed)
    kits += [synthesised_kit(rng) for _ in range(SYNTH_KITS)]
    return [kit for kit in kits if {"kick", "snare", "hat"} <= kit.keys()]
