"""Which scenes may show a saturated red.

Consumes a palette, warmth and saturation as a scene has them; emits yes or no. Of a saturated red 80 % or more is red light,
brighter than the rest by over 20 of 320 (WCAG 2.3.1).
"""

from __future__ import annotations

from k1edge.device_facts import PALETTES

MAX_SATURATION = 0.85
"""Red of this saturation is (1, .15, .15): 0.77 of its light is red."""
BESIDE_RED = 0.3
"""What such a red has of green and blue together; less is taken for a saturated one."""
LOST_TO_WARMTH = 1.4
"""Of 2, green and blue, at warmth 1: the firmware's incandescent filter leaves .45 and .16 of them."""
NEVER = 2.0
"""More than a warmth can be."""
_NAMED = {
    "Sunset Real": 0.0, "RGI 15": 0.0, "Retro 2": 0.0, "Analogous 1": 0.0, "Pink Splash 08": 0.0, "Pink Splash 07": 0.0,
    "Vintage 01": 0.0, "Rainbow Sherbet": 0.0, "IB Jul01": 0.0, "Vintage 57": 0.0, "IB15": 0.0, "Lava": 0.0, "Fire": 0.0,
    "Autumn 19": 0.0, "Black Magenta Red": 0.0, "Red Magenta Yellow": 0.0,
    "Magenta Evening": 0.1, "Departure": 0.3, "Fuschia 7": 0.4, "Landscape 33": 0.5, "Colorful": 0.85,
    "Blue Magenta White": 0.85, "GR65 Hult": 0.95,
}  # fmt: skip
"""The warmth from which a palette holds one: the gradients of the FastLED collection, as the firmware carries them, between
their keys, too, through that filter."""
_FROM_WARMTH = {PALETTES.index(name): warmth for name, warmth in _NAMED.items()}


def may_be_red(palette: int, warmth: float, saturation: float) -> bool:
    """Whether a colour of the palette, or a hue of this saturation, is a saturated red at this warmth."""
    by_palette = warmth >= _FROM_WARMTH.get(palette, NEVER)
    return by_palette or (1 - saturation) * (2 - LOST_TO_WARMTH * warmth) < BESIDE_RED - 1e-9
