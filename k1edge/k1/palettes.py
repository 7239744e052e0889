"""Colours for the virtual K1's 33 palettes: key colours of our own under the device's names, none of them a rainbow.

Consumes a palette id; emits a (STEPS, 3) float32 table of linear-light RGB in 0..1, dark to bright ends blended smoothly.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from k1edge.device_facts import PALETTES

STEPS = 256
GAMMA = 2.2
"""Key colours are written as seen on a screen; light is mixed linearly."""

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Of linear RGB (ITU-R BT.709)."""

_KEYS = {
    "Sunset Real": "2b0a3d 8c1c4a e8432e ff9a3c ffd98a",
    "Rivendell": "06281f 0f5c47 3fa37a a9d8b0",
    "Ocean Breeze 036": "02152e 06407a 1d8ec4 8fe0ee",
    "RGI 15": "1a0a52 6a1fa0 d13c8f ff9d7e",
    "Retro 2": "3a1204 a3400c e8902a f6d37a",
    "Analogous 1": "2a0b6e 5a22c8 a23be0 e75ad0",
    "Pink Splash 08": "33052a 9c1160 f0408e ffb3cf",
    "Coral Reef": "04343f 0b8f93 ff7f5e ffc9a0",
    "Ocean Breeze 068": "04202c 0b5c66 34b7a7 c8f2dd",
    "Pink Splash 07": "2c0433 7a1590 e04fbd ffc6ea",
    "Vintage 01": "2e1518 7a3b34 c98a5a ecd7a8",
    "Departure": "1c0d04 6b3410 c98438 fff0cf",
    "Landscape 64": "052405 1f6b2c 8fbf5a e4edb0",
    "Landscape 33": "1a1404 5a5a12 7fa044 d6d48a",
    "Rainbow Sherbet": "ff6f61 ffa07a ffc8a2 ffe5c4",
    "GR65 Hult": "3a0a52 a0439c eda6c4 ffe0dc",
    "GR64 Hult": "02303a 0f7a78 62bfa0 ddf0c0",
    "GMT Dry Wet": "3a2508 8f7a2e 3a9f9a 0a4a8f",
    "IB Jul01": "3a0410 a01828 e85a3a f4c08a",
    "Vintage 57": "2a0a12 8a2a2e d07a3e f0cf7a",
    "IB15": "3a123a 9a3a6a e88a70 ffd0a0",
    "Fuschia 7": "20063a 7a12a0 e02ac0 ffa0dc",
    "Emerald Dragon": "01240f 06693a 20c070 c0f58a",
    "Lava": "100000 5a0600 d42400 ff8a10 ffe9a0",
    "Fire": "140200 7a1200 f04a00 ffb020 fff2b0",
    "Colorful": "12205a 3a4ab0 b04a9a f0907a",
    "Magenta Evening": "14062a 4a0f5e a81a7a f05aa0",
    "Pink Purple": "1a0640 5a20a0 b070d8 f6c4ec",
    "Autumn 19": "240c02 7a2a06 c8601a e8b050",
    "Blue Magenta White": "04083a 2a20c0 d030d0 ffe8ff",
    "Black Magenta Red": "040006 5a0460 d00a6a ff3040",
    "Red Magenta Yellow": "5a0408 d00a50 f04a70 ffd060",
    "Blue Cyan Yellow": "041450 0a60c8 30c8d8 f4f08a",
}


@cache
def colours(palette_id: int) -> np.ndarray:
    """The colour table of a palette; an id that does not exist becomes 0, as on the device. Read-only."""
    name = PALETTES[palette_id if 0 <= palette_id < len(PALETTES) else 0]
    keys = np.array([[int(key[i : i + 2], 16) for i in (0, 2, 4)] for key in _KEYS[name].split()], np.float32)
    light = (keys / 255) ** GAMMA
    at = np.linspace(0, len(light) - 1, STEPS)
    table = np.stack([np.interp(at, np.arange(len(light)), channel) for channel in light.T], axis=1).astype(np.float32)
    table.flags.writeable = False
    return table
