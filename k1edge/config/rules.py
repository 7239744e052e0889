"""The rules: how the looks of `[looks]` are used, in words a lighting designer would choose.

**Consumes** the `[rules]` table. **Emits** `RulesSettings`. The limits of the scene rules can be made stricter, never looser:
changes at least 8 s apart, 20 s of cool-down, two a minute.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from k1edge.config.strict import STRICT, by_name
from k1edge.frames import SECTION_LABELS

PRESETS = ("edm", "rock", "hip_hop", "classical", "lounge")


class MotionSettings(BaseModel):
    """What a look does while its section lasts."""

    model_config = STRICT

    kind: Literal["hold", "ramp", "breathe", "fade"] = "hold"
    """hold: nothing; ramp: speed, palette spread and brightness rise towards the section's end; breathe: brightness sinks and
    returns; fade: brightness falls towards the end."""
    amount: float = Field(0.5, ge=0, le=1)
    """How far: 0 = not at all, 1 = all the way (to full, or to dark). Who changes the kind alone sees something."""
    bars: int = Field(8, ge=1, le=32)
    """breathe: one breath; ramp and fade: their length where the section's end is not known."""


DEFAULT_MOTION: dict[str, dict[str, Any]] = {label: {} for label in SECTION_LABELS} | {
    "build": {"kind": "ramp", "amount": 0.6, "bars": 8},
    "breakdown": {"kind": "breathe", "amount": 0.3, "bars": 4},
    "bridge": {"kind": "breathe", "amount": 0.2, "bars": 8},
    "outro": {"kind": "fade", "amount": 0.5, "bars": 8},
}
Motion = by_name(MotionSettings, DEFAULT_MOTION)


class RulesSettings(BaseModel):
    """When scenes change, and what they do in between."""

    model_config = STRICT

    preset: Literal[PRESETS] = "edm"
    """Whose palettes and pace."""
    brightness: float = Field(1.0, ge=0.05, le=1)
    """Share that is left of every look's, for a room that wants less light."""
    mood_palettes: bool = True
    """Palettes left at their default follow key, mode and energy, from the preset; else each look keeps its own."""
    mood_dwell_s: float = Field(45.0, ge=10, le=3600)
    """A mood holds at least so long."""
    min_gap_s: float = Field(8.0, ge=8, le=600)
    cool_down_s: float = Field(20.0, ge=20, le=3600)
    """After a change; a drop may break it once."""
    changes_per_minute: int = Field(2, ge=1, le=2)
    """If it is 1, a build leaves it to its drop: its look is not shown, it ramps in the one before."""
    speech_brightness: float = Field(0.5, ge=0, le=1)
    """Share of a music look's brightness that is left when someone speaks into it."""
    noise_brightness: float = Field(0.25, ge=0, le=1)
    """The same when hiss or hum takes its place."""
    motion: Motion = Field(default_factory=dict, validate_default=True)
