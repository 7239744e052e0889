"""What a K1 can be asked for: its patterns, palettes, parameters and transitions.

Consumes / emits: nothing; plain data of the K1.node1 firmware ("gen C"), which the configuration validates against and
the contract encodes. Patterns are addressed by id, since their indices move between firmware builds; palettes by their
position in `PALETTES`, which is the device's own palette id.
"""

from __future__ import annotations

from typing import NamedTuple


class ParameterRange(NamedTuple):
    """Inclusive limits and the firmware's default of one pattern parameter."""

    low: float
    high: float
    default: float
    integer: bool = False


STATIC_PATTERNS = ("departure", "lava", "twilight")
"""Stand still whatever is played: what a silent or calm room shows."""

AUDIO_PATTERNS = (
    "prism", "spectrum", "octave", "bloom", "bloom_mirror", "bloom_sb", "pulse", "tempiscope", "beat_tunnel",
    "beat_tunnel_variant", "startup_intro", "tunnel_glow", "perlin", "analog", "metronome", "hype",
    "waveform_spectrum", "snapwave",
)  # fmt: skip
"""Read the music."""

MOVING_PATTERNS = (
    "gravitational_lensing", "sierpinski", "beam_collision", "quantum_tunneling", "time_crystal", "soliton_waves",
    "metamaterial_cloak", "laser_duel", "sonic_boom", "diamond_lattice", "hexagonal_grid", "spiral_vortex",
    "chevron_waves", "concentric_rings", "star_burst", "mesh_network", "moire_patterns", "box_wave", "holographic",
    "modal_resonance", "interference_scanner", "wave_collision", "soliton_explorer", "turing_patterns",
    "kelvin_helmholtz",
)  # fmt: skip
"""Move by themselves, not by the music."""

PATTERNS = STATIC_PATTERNS + AUDIO_PATTERNS + MOVING_PATTERNS
"""All 46 ids in the firmware's index order."""

PALETTES = (
    "Sunset Real", "Rivendell", "Ocean Breeze 036", "RGI 15", "Retro 2", "Analogous 1", "Pink Splash 08", "Coral Reef",
    "Ocean Breeze 068", "Pink Splash 07", "Vintage 01", "Departure", "Landscape 64", "Landscape 33", "Rainbow Sherbet",
    "GR65 Hult", "GR64 Hult", "GMT Dry Wet", "IB Jul01", "Vintage 57", "IB15", "Fuschia 7", "Emerald Dragon", "Lava",
    "Fire", "Colorful", "Magenta Evening", "Pink Purple", "Autumn 19", "Blue Magenta White", "Black Magenta Red",
    "Red Magenta Yellow", "Blue Cyan Yellow",
)  # fmt: skip
"""All 33 names; the index is the palette id. Spelt as the firmware spells them."""

TRANSITIONS = (
    "fade", "wipe_out", "wipe_in", "dissolve", "phase_shift", "pulsewave", "implosion", "iris", "nuclear", "stargate",
    "kaleidoscope", "mandala",
)  # fmt: skip

PARAMETERS = {
    "brightness": ParameterRange(0.0, 1.0, 1.0),
    "softness": ParameterRange(0.0, 1.0, 0.25),
    "color": ParameterRange(0.0, 1.0, 0.33),
    "color_range": ParameterRange(0.0, 1.0, 0.0),
    "saturation": ParameterRange(0.0, 1.0, 0.75),
    "warmth": ParameterRange(0.0, 1.0, 0.0),
    "background": ParameterRange(0.0, 1.0, 0.0),
    "dithering": ParameterRange(0.0, 1.0, 1.0),
    "mirror_mode": ParameterRange(0.0, 1.0, 1.0, integer=True),
    "led_offset": ParameterRange(-160.0, 160.0, 0.0),
    "speed": ParameterRange(0.0, 1.0, 0.5),
    "custom_param_1": ParameterRange(0.0, 1.0, 0.5),
    "custom_param_2": ParameterRange(0.0, 1.0, 0.5),
    "custom_param_3": ParameterRange(0.0, 1.0, 0.5),
    "beat_threshold": ParameterRange(0.0, 1.0, 0.20),
    "beat_squash_power": ParameterRange(0.2, 1.0, 0.50),
    "audio_responsiveness": ParameterRange(0.0, 1.0, 0.5),
    "audio_sensitivity": ParameterRange(0.1, 4.0, 1.0),
    "bass_treble_balance": ParameterRange(-1.0, 1.0, 0.0),
    "color_reactivity": ParameterRange(0.0, 1.0, 0.5),
    "brightness_floor": ParameterRange(0.0, 0.3, 0.05),
    "frame_min_period_ms": ParameterRange(4.0, 20.0, 6.0),
}
"""The 22 parameters of `PatternParameters`, in the firmware's order; not its `palette_id`, since a scene has a palette."""

DEFAULTS = {name: limits.default for name, limits in PARAMETERS.items()}
"""Of each parameter."""
