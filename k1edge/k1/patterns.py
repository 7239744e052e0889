"""What the virtual K1's patterns look like: light and colour by distance from the centre, of time, beats and macros.

Consumes a `Moment` (arrays over the half strip, x = 0 at the centre, 1 at the end); emits light 0..1 and a position 0..1
in the palette, both (HALF,). Stateless: the same moment gives the same picture. Own drawings under the names of the device's
patterns; a pattern without one borrows its family's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from k1edge.device_facts import AUDIO_PATTERNS, PATTERNS, STATIC_PATTERNS
from k1edge.frames import Macros

HALF = 80
X = (np.arange(HALF) + 0.5) / HALF
"""Distance from the centre of each LED of one half; in double precision, since beats and seconds go on for months."""
TAU = 2 * np.pi


@dataclass(frozen=True, slots=True)
class Moment:
    """The instant that is drawn."""

    seconds: float
    """Running time, scaled by the pattern's speed."""
    beats: float
    """Beats so far: the number of the last one plus the part of the next that has gone."""
    ages_s: np.ndarray
    """Seconds since the recent beats, newest first; may be empty."""
    strengths: np.ndarray
    period_s: float
    softness: float
    macros: Macros

    @property
    def kick(self) -> float:
        """1 on the beat, gone after about a third of a second; softness blends frames: less at first, and for longer."""
        if not len(self.ages_s):
            return 0.0
        return float(self.strengths[0] * (1 - 0.5 * self.softness) * np.exp(-self.ages_s[0] / (0.1 + 0.14 * self.softness)))


Drawing = tuple[np.ndarray, np.ndarray]


def _glow(x: np.ndarray, centre: float | np.ndarray, width: float) -> np.ndarray:
    return np.exp(-(((x - centre) / width) ** 2))


def _below(x: np.ndarray, edge: float, softness: float) -> np.ndarray:
    """1 inside the edge, 0 outside, with a soft border."""
    return 1 / (1 + np.exp((x - edge) / max(softness, 1e-3)))


def _drift(x: np.ndarray, seconds: float, seed: float = 0.0) -> np.ndarray:
    """Smooth noise 0..1, moving outwards."""
    wave = np.sin(5.1 * x - 0.9 * seconds + seed) + np.sin(9.7 * x - 1.3 * seconds + 2.1 * seed + 1.7)
    return 0.5 + 0.25 * (wave * np.cos(2.3 * x + 0.4 * seconds + seed))


def pulse(m: Moment) -> Drawing:
    """Each beat is a burst in the centre and a ring that runs to the ends and fades."""
    light = 0.06 + 0.26 * m.macros.energy * (1 - 0.6 * X)
    for age_s, strength in zip(m.ages_s, m.strengths, strict=True):
        front = age_s / m.period_s * 1.05
        ring = _glow(X, front, 0.07 + 0.05 * m.softness + 0.12 * front) * np.exp(-age_s / (0.8 * m.period_s))
        light = light + strength * ring
    light = light + m.kick * (_glow(X, 0.0, 0.16 + 0.14 * m.macros.bass_weight) + 0.15 + 0.25 * m.macros.energy)
    return light, 0.18 + 0.6 * light + 0.1 * X


def bloom(m: Moment) -> Drawing:
    """A flower of light that breathes with the energy and opens on the beat."""
    opening = 0.2 + 0.55 * m.macros.energy + 0.34 * m.kick
    petals = 0.82 + 0.18 * np.cos(TAU * (3.0 * X - 0.25 * m.seconds))
    light = _below(X, opening, 0.05 + 0.06 * m.softness) * petals * (0.55 + 0.45 * m.kick)
    return light + 0.7 * m.kick * _glow(X, 0.0, 0.1), 0.62 - 0.45 * X + 0.3 * m.kick


def bloom_mirror(m: Moment) -> Drawing:
    """A bloom from the centre, answered by a quieter one on the half beat."""
    light, colour = bloom(m)
    answer = np.exp(-abs((m.beats % 1.0) - 0.5) / 0.12) if len(m.ages_s) else 0.0
    return light + 0.45 * answer * _glow(X, 0.72, 0.12), colour + 0.25 * answer * X


def beat_tunnel(m: Moment) -> Drawing:
    """Rings that travel one spacing per beat: the eye can count them."""
    rings = (0.5 + 0.5 * np.cos(TAU * (2.5 * X - m.beats))) ** (6 - 3 * m.softness)
    depth = 0.35 + 0.65 * X
    light = rings * depth * (0.35 + 0.45 * m.macros.energy + 0.6 * m.kick) + 0.9 * m.kick * _glow(X, 0.0, 0.14)
    light = light + (0.1 + 0.25 * m.kick) * m.macros.energy
    return light, 0.2 + 0.45 * rings * X + 0.35 * m.kick


def tunnel_glow(m: Moment) -> Drawing:
    """A tunnel that brightens from its depth as the tension rises."""
    light, colour = beat_tunnel(m)
    rise = m.macros.energy * _glow(X, 0.0, 0.25 + 0.75 * m.macros.energy)
    return 0.8 * light + 0.45 * rise, colour * 0.7 + 0.3 * m.macros.energy


def spectrum(m: Moment) -> Drawing:
    """Bass in the centre, treble at the ends, each as high as it is loud."""
    c = m.macros
    points = (c.bass_weight, max(c.energy * 0.8, c.bass_weight * 0.5), c.vocal_presence, c.percussiveness, c.brightness)
    bars = np.interp(X, np.linspace(0, 1, len(points)), points)
    comb = 0.62 + 0.38 * np.cos(TAU * 10 * X) ** 2
    light = bars * comb * (0.45 + 0.3 * c.energy) + m.kick * (0.25 + 0.6 * _glow(X, 0.0, 0.2))
    return light, 0.1 + 0.75 * X * (0.6 + 0.4 * bars) + 0.15 * m.kick


def metronome(m: Moment) -> Drawing:
    """Two dots that leave the centre on one beat and are back on the second."""
    swing = abs((m.beats % 2.0) - 1.0)
    place = 1.0 - swing if len(m.ages_s) else 0.5
    dot = _glow(X, place, 0.045)
    trail = _glow(X, place, 0.16) * 0.25
    return dot + trail + 0.8 * m.kick * _glow(X, round(place), 0.16), 0.25 + 0.5 * X + 0.3 * dot


def hype(m: Moment) -> Drawing:
    """A burst on the beat that throws sparks, others on each beat."""
    number = np.floor(m.beats)
    sparks = np.sin((np.floor(X * 20) + 1) * 12.9898 + number * 78.233) * 43758.5453 % 1.0
    age_s = m.ages_s[0] if len(m.ages_s) else 1.0
    lit = (sparks > 0.55) * np.exp(-age_s / 0.22) * _below(X, 0.25 + age_s / m.period_s * 1.3, 0.06)
    light = 0.08 + 0.18 * m.macros.energy * _drift(X, m.seconds * 2) + 0.7 * lit * sparks
    return light + m.kick * _glow(X, 0.0, 0.30), 0.2 + 0.5 * sparks * lit + 0.45 * m.kick


def tempiscope(m: Moment) -> Drawing:
    """Four bands that swing at half, whole, double and four times the tempo."""
    rates = np.array([0.5, 1.0, 2.0, 4.0])[np.minimum((X * 4).astype(int), 3)]
    swing = np.exp(-((m.beats * rates) % 1.0) / 0.25) if len(m.ages_s) else 0.3
    gaps = np.clip(6 * abs(np.sin(np.pi * 4 * X)), 0, 1)
    light = gaps * swing * (0.35 + 0.4 * m.macros.energy + 0.3 * m.macros.percussiveness)
    return light + 0.5 * m.kick * _glow(X, 0.0, 0.12), 0.15 + 0.7 * X


def snapwave(m: Moment) -> Drawing:
    """A standing wave that snaps to another shape on each beat and rings out."""
    number = np.floor(m.beats)
    ring = np.exp(-(m.ages_s[0] if len(m.ages_s) else 1.0) / 0.35)
    shape = np.cos(np.pi * (1.5 + number % 4) * X) ** 2
    return shape * (0.12 + 0.75 * ring) + 0.4 * m.kick * _glow(X, 0, 0.12), 0.2 + 0.4 * shape + 0.3 * ring * (1 - X)


def perlin(m: Moment) -> Drawing:
    """Clouds that drift outwards and lighten on the beat."""
    cloud = _drift(X, 1.6 * m.seconds, 0.4)
    light = cloud**1.5 * (0.4 + 0.45 * m.macros.energy) * (1 + 1.1 * m.kick) + 0.35 * m.kick * _glow(X, 0, 0.3)
    return light, 0.1 + 0.75 * _drift(X, 0.7 * m.seconds, 2.0)


def lava(m: Moment) -> Drawing:
    """Slow heat, brightest in the centre."""
    heat = _drift(X, 0.8 * m.seconds, 1.0) * (1 - 0.55 * X)
    return 0.18 + 0.75 * heat**1.4 * (0.8 + 0.2 * m.macros.energy), 0.15 + 0.75 * heat


def twilight(m: Moment) -> Drawing:
    """The last light of the day, from the centre outwards."""
    breath = 0.5 + 0.5 * np.sin(0.5 * m.seconds)
    light = 0.55 * np.exp(-X * (2.2 - 0.7 * breath)) + 0.08 * _drift(X, 0.3 * m.seconds)
    return light, 0.85 - 0.75 * X + 0.08 * breath


def departure(m: Moment) -> Drawing:
    """A slow swell that leaves the centre and goes out past the ends before the next one comes."""
    swell = _glow(X, (0.11 * m.seconds) % 2.2 - 0.6, 0.28)
    return 0.14 + 0.42 * swell + 0.12 * (1 - X), 0.25 + 0.5 * swell + 0.15 * (1 - X)


DRAWINGS: dict[str, Callable[[Moment], Drawing]] = {
    "pulse": pulse, "bloom": bloom, "bloom_sb": bloom, "bloom_mirror": bloom_mirror, "beat_tunnel": beat_tunnel,
    "beat_tunnel_variant": beat_tunnel, "tunnel_glow": tunnel_glow, "spectrum": spectrum, "octave": spectrum,
    "analog": spectrum, "waveform_spectrum": spectrum, "metronome": metronome, "hype": hype, "tempiscope": tempiscope,
    "snapwave": snapwave, "perlin": perlin, "lava": lava, "twilight": twilight, "departure": departure,
}  # fmt: skip


def drawing(pattern: str) -> Callable[[Moment], Drawing]:
    """How a pattern is drawn; one without a drawing of its own looks like its family. Raises KeyError if unknown."""
    if pattern in DRAWINGS:
        return DRAWINGS[pattern]
    if pattern not in PATTERNS:
        raise KeyError(pattern)
    return twilight if pattern in STATIC_PATTERNS else pulse if pattern in AUDIO_PATTERNS else perlin
