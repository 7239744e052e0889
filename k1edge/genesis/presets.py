"""What lighting designers of different music reach for: palettes by mood, and pace.

Plain data. A mood is a quadrant of valence and arousal; each has two palettes for where the music rests and two for where it
lets go, which take turns, or an evening in one mood would have one colour. None is a rainbow, and none holds a saturated red,
so that beats may flash in all of them.
"""

from __future__ import annotations

from typing import NamedTuple

from k1edge.device_facts import PALETTES

MOODS = ("dark calm", "dark excited", "bright calm", "bright excited")


Pair = tuple[str, str]
"""Two palettes that take turns."""


class Preset(NamedTuple):
    """One kind of music."""

    palettes: dict[str, tuple[Pair, Pair]]
    """Mood -> (resting, letting go)."""
    pace: float
    """Times a look's speed."""
    softness: float
    """Added to a look's."""


def _palettes(*moods: tuple[Pair, Pair]) -> dict[str, tuple[Pair, Pair]]:
    return dict(zip(MOODS, moods, strict=True))


PRESETS = {
    "edm": Preset(_palettes(
        (("Ocean Breeze 036", "Fuschia 7"), ("Blue Magenta White", "Blue Cyan Yellow")),
        (("Fuschia 7", "Ocean Breeze 036"), ("Blue Magenta White", "Blue Cyan Yellow")),
        (("Ocean Breeze 036", "Pink Purple"), ("Blue Cyan Yellow", "GR65 Hult")),
        (("Pink Purple", "Coral Reef"), ("Blue Cyan Yellow", "GR65 Hult"))), 1.0, 0.0),
    "rock": Preset(_palettes(
        (("Landscape 33", "GMT Dry Wet"), ("Departure", "Coral Reef")),
        (("GMT Dry Wet", "Fuschia 7"), ("Blue Magenta White", "Departure")),
        (("Departure", "Landscape 33"), ("GR65 Hult", "Coral Reef")),
        (("Coral Reef", "Departure"), ("Blue Cyan Yellow", "GR65 Hult"))), 0.9, -0.05),
    "hip_hop": Preset(_palettes(
        (("Fuschia 7", "Ocean Breeze 036"), ("Pink Purple", "Blue Magenta White")),
        (("Fuschia 7", "Pink Purple"), ("GR65 Hult", "Blue Magenta White")),
        (("Rivendell", "Pink Purple"), ("GR64 Hult", "Coral Reef")),
        (("Pink Purple", "Coral Reef"), ("GR65 Hult", "Blue Cyan Yellow"))), 0.75, 0.05),
    "classical": Preset(_palettes(
        (("Ocean Breeze 068", "Rivendell"), ("Landscape 64", "GR64 Hult")),
        (("Landscape 33", "Ocean Breeze 036"), ("Emerald Dragon", "GR64 Hult")),
        (("Rivendell", "Ocean Breeze 036"), ("Departure", "Ocean Breeze 068")),
        (("Rivendell", "Landscape 33"), ("GR64 Hult", "Departure"))), 0.4, 0.25),
    "lounge": Preset(_palettes(
        (("Fuschia 7", "Pink Purple"), ("Ocean Breeze 068", "Departure")),
        (("Pink Purple", "Fuschia 7"), ("GR64 Hult", "Departure")),
        (("Ocean Breeze 036", "Departure"), ("Coral Reef", "GR64 Hult")),
        (("Pink Purple", "Departure"), ("Coral Reef", "GR65 Hult"))), 0.5, 0.2),
}  # fmt: skip
LETS_GO = ("chorus", "drop")


def palette_of(preset: Preset, mood: str, label: str, shown: int = -1) -> int:
    """The palette id for a section of this label in this mood: another one than is `shown`."""
    first, second = map(PALETTES.index, preset.palettes[mood][label in LETS_GO])
    return second if first == shown else first
