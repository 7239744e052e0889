"""What lighting designers of different music reach for: palettes by mood, and pace.

Plain data. A mood is a quadrant of valence and arousal; each has two palettes, one for where the music rests and one
for where it lets go. None is a rainbow, and none holds a saturated red, so that beats may flash in all of them.
"""

from __future__ import annotations

from typing import NamedTuple

from k1edge.device_facts import PALETTES

MOODS = ("dark calm", "dark excited", "bright calm", "bright excited")


class Preset(NamedTuple):
    """One kind of music."""

    palettes: dict[str, tuple[str, str]]
    """Mood -> (resting, letting go)."""
    pace: float
    """Times a look's speed."""
    softness: float
    """Added to a look's."""


def _palettes(*pairs: tuple[str, str]) -> dict[str, tuple[str, str]]:
    return dict(zip(MOODS, pairs, strict=True))


PRESETS = {
    "edm": Preset(_palettes(
        ("Ocean Breeze 036", "Blue Magenta White"), ("Fuschia 7", "Blue Magenta White"),
        ("Ocean Breeze 036", "Blue Cyan Yellow"), ("Pink Purple", "Blue Cyan Yellow")), 1.0, 0.0),
    "rock": Preset(_palettes(
        ("Landscape 33", "Departure"), ("GMT Dry Wet", "Blue Magenta White"),
        ("Departure", "GR65 Hult"), ("Coral Reef", "Blue Cyan Yellow")), 0.9, -0.05),
    "hip_hop": Preset(_palettes(
        ("Fuschia 7", "Pink Purple"), ("Fuschia 7", "GR65 Hult"),
        ("Rivendell", "GR64 Hult"), ("Pink Purple", "GR65 Hult")), 0.75, 0.05),
    "classical": Preset(_palettes(
        ("Ocean Breeze 068", "Landscape 64"), ("Landscape 33", "Emerald Dragon"),
        ("Rivendell", "Departure"), ("Rivendell", "GR64 Hult")), 0.4, 0.25),
    "lounge": Preset(_palettes(
        ("Fuschia 7", "Ocean Breeze 068"), ("Pink Purple", "GR64 Hult"),
        ("Ocean Breeze 036", "Coral Reef"), ("Pink Purple", "Coral Reef")), 0.5, 0.2),
}  # fmt: skip
LETS_GO = ("chorus", "drop")


def palette_of(preset: Preset, mood: str, label: str) -> int:
    """The palette id for a section of this label in this mood."""
    return PALETTES.index(preset.palettes[mood][label in LETS_GO])
