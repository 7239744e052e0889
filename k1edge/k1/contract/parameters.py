"""What a K1 can show: its patterns, palettes, transitions and parameters, with their ranges.

Consumes names and numbers from a configuration or a command; emits faults (configuration time: refused) or clamped
values with a count (run time: mended). Addressed by id, never by index: indices move between firmware builds.
Source: the K1 HTTP interface of the 160-LED firmware (46 patterns, 33 palettes, 23 parameters).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

STATIC_PATTERNS = ("departure", "lava", "twilight")
REACTIVE_PATTERNS = (
    "prism", "spectrum", "octave", "bloom", "bloom_mirror", "bloom_sb", "pulse", "tempiscope", "beat_tunnel",
    "beat_tunnel_variant", "startup_intro", "tunnel_glow", "perlin", "analog", "metronome", "hype", "waveform_spectrum",
    "snapwave",
)
MOVING_PATTERNS = (
    "gravitational_lensing", "sierpinski", "beam_collision", "quantum_tunneling", "time_crystal", "soliton_waves",
    "metamaterial_cloak", "laser_duel", "sonic_boom", "diamond_lattice", "hexagonal_grid", "spiral_vortex",
    "chevron_waves", "concentric_rings", "star_burst", "mesh_network", "moire_patterns", "box_wave", "holographic",
    "modal_resonance", "interference_scanner", "wave_collision", "soliton_explorer", "turing_patterns",
    "kelvin_helmholtz",
)
PATTERNS = STATIC_PATTERNS + REACTIVE_PATTERNS + MOVING_PATTERNS
"""The 46 pattern ids, in the order of the device's registry."""

PALETTES = (
    "Sunset Real", "Rivendell", "Ocean Breeze 036", "RGI 15", "Retro 2", "Analogous 1", "Pink Splash 08", "Coral Reef",
    "Ocean Breeze 068", "Pink Splash 07", "Vintage 01", "Departure", "Landscape 64", "Landscape 33", "Rainbow Sherbet",
    "GR65 Hult", "GR64 Hult", "GMT Dry Wet", "IB Jul01", "Vintage 57", "IB15", "Fuschia 7", "Emerald Dragon", "Lava",
    "Fire", "Colorful", "Magenta Evening", "Pink Purple", "Autumn 19", "Blue Magenta White", "Black Magenta Red",
    "Red Magenta Yellow", "Blue Cyan Yellow",
)
"""The 33 palette names; the index is the palette id."""

TRANSITIONS = (
    "fade", "wipe_out", "wipe_in", "dissolve", "phase_shift", "pulsewave", "implosion", "iris", "nuclear", "stargate",
    "kaleidoscope", "mandala",
)

LED_COUNT = 160
"""LEDs of one K1; effects start at the middle, between 79 and 80."""

DECIMALS = 4
"""Of a parameter on the wire: finer than an 8-bit LED can show, and 23 of them stay far below 1 KB."""


@dataclass(frozen=True, slots=True)
class ParameterRange:
    """Inclusive limits of one device parameter."""

    low: float
    high: float
    default: float
    whole: bool = False
    """Only integers mean something (palette ids, LED offsets, flags)."""


def _unit(default: float) -> ParameterRange:
    return ParameterRange(0.0, 1.0, default)


PARAMETERS: Mapping[str, ParameterRange] = {
    "brightness": _unit(1.0),
    "softness": _unit(0.25),
    "color": _unit(0.33),
    "color_range": _unit(0.0),
    "saturation": _unit(0.75),
    "warmth": _unit(0.0),
    "background": _unit(0.0),
    "dithering": ParameterRange(0, 1, 1, whole=True),
    "mirror_mode": ParameterRange(0, 1, 1, whole=True),
    "led_offset": ParameterRange(-160, 160, 0, whole=True),
    "speed": _unit(0.5),
    "palette_id": ParameterRange(0, 32, 0, whole=True),
    "custom_param_1": _unit(0.5),
    "custom_param_2": _unit(0.5),
    "custom_param_3": _unit(0.5),
    "beat_threshold": _unit(0.20),
    "beat_squash_power": ParameterRange(0.2, 1.0, 0.50),
    "audio_responsiveness": _unit(0.5),
    "audio_sensitivity": ParameterRange(0.1, 4.0, 1.0),
    "bass_treble_balance": ParameterRange(-1.0, 1.0, 0.0),
    "color_reactivity": _unit(0.5),
    "brightness_floor": ParameterRange(0.0, 0.3, 0.05),
    "frame_min_period_ms": ParameterRange(4.0, 20.0, 6.0),
}
"""The 23 parameters by name."""


def unknown_name(kind: str, name: str, known: tuple[str, ...]) -> str:
    """One sentence for a name that does not exist, with the nearest that does."""
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f'no {kind} is called "{name}"' + (f'; did you mean "{near[0]}"?' if near else "")


def palette_id(palette: int | str) -> int:
    """Id 0..32 of a palette given by id or by name (case does not matter). Raises ValueError saying what is wrong."""
    if isinstance(palette, str):
        folded = [name.casefold() for name in PALETTES]
        if palette.casefold() not in folded:
            raise ValueError(unknown_name("palette", palette, PALETTES))
        return folded.index(palette.casefold())
    if isinstance(palette, bool) or not 0 <= palette < len(PALETTES):
        raise ValueError(f"palette id {palette} is outside 0..{len(PALETTES) - 1}")
    return palette


def pattern_fault(pattern: str) -> str | None:
    """Why a K1 has no such pattern; None when it has."""
    return None if pattern in PATTERNS else unknown_name("pattern", pattern, PATTERNS)


def transition_fault(transition: str) -> str | None:
    """Why a K1 has no such transition; None when it has."""
    return None if transition in TRANSITIONS else unknown_name("transition", transition, TRANSITIONS)


def parameter_fault(name: str, value: object) -> str | None:
    """Why a parameter is not acceptable in a configuration; None when it is."""
    limits = PARAMETERS.get(name)
    if limits is None:
        return unknown_name("parameter", name, tuple(PARAMETERS))
    if not isinstance(value, int | float) or not math.isfinite(value):
        return f"{name} must be a finite number, not {value!r}"
    if not limits.low <= value <= limits.high:
        return f"{name} = {value} is outside {limits.low:g}..{limits.high:g}"
    if limits.whole and value != int(value):
        return f"{name} = {value} must be a whole number in {limits.low:g}..{limits.high:g}"
    return None


def parameter_faults(parameters: Mapping[str, object]) -> list[str]:
    """Every fault of a parameter table, in its order."""
    return [fault for name, value in parameters.items() if (fault := parameter_fault(name, value))]


def clamp(parameters: Mapping[str, float]) -> tuple[dict[str, float], int]:
    """What a K1 will accept, and how many values had to be changed or left out to get there.

    Unknown names are left out, numbers beyond the range are moved to its end, NaN becomes the default.
    """
    mended: dict[str, float] = {}
    changed = 0
    for name, value in parameters.items():
        limits = PARAMETERS.get(name)
        if limits is None:
            changed += 1
            continue
        number = _within(limits, value)
        changed += number != value
        mended[name] = round(number, DECIMALS)
    return mended, changed


def _within(limits: ParameterRange, value: float) -> float:
    if math.isnan(value):
        return limits.default
    inside = min(max(value, limits.low), limits.high)
    return float(round(inside)) if limits.whole else float(inside)
