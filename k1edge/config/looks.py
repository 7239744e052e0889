"""The looks: what a K1 shows in each section of the music, and while there is none.

**Consumes** a `[looks.<name>]` table per section label, and for speech and noise. **Emits** `Looks`, a `LookSettings` for
every name. One that is not given keeps its default look, and so does each key of a look that is not given; `parameters` is
replaced whole, so that what is written there is what the K1 is told. Every look is anchored at the centre of the K1, and
none uses a rainbow.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, WithJsonSchema
from typing_extensions import TypedDict

from k1edge.config.strict import STRICT, by_name, did_you_mean, refusal
from k1edge.device_facts import PALETTES, PARAMETERS, PATTERNS, TRANSITIONS

IDLE = ("silence", "speech", "noise")
"""What a wire without music may hold: the names of the looks for it."""


def _palette_id(value: Any) -> Any:
    """A palette given by name (in any case) as its id; anything else as it is, for pydantic to judge."""
    if not isinstance(value, str):
        return value
    names = [name.casefold() for name in PALETTES]
    if value.casefold() in names:
        return names.index(value.casefold())
    raise refusal(f"a K1 has no palette {value[:60]!r}{did_you_mean(value, PALETTES)}")


Parameters = TypedDict(
    "Parameters",
    {name: Annotated[int if limits.integer else float, Field(ge=limits.low, le=limits.high)]
     for name, limits in PARAMETERS.items()},
    total=False,
)
"""Pattern parameters by name, each within the K1's range."""
Parameters.__pydantic_config__ = STRICT

PaletteId = Annotated[
    int,
    Field(ge=0, lt=len(PALETTES)),
    BeforeValidator(_palette_id),
    WithJsonSchema({"description": f"the name of a palette in quotes, or its id 0..{len(PALETTES) - 1}"}),
]


class LookSettings(BaseModel):
    """What a K1 shows in one section, or while there is none."""

    model_config = STRICT

    pattern: Literal[PATTERNS]
    palette: PaletteId
    """The device's palette id."""
    parameters: Parameters = Field(default_factory=dict)
    transition: Literal[TRANSITIONS] = "fade"
    transition_ms: int = Field(1000, ge=0, le=10_000)


def _look(pattern: str, palette: str, transition_ms: int, **parameters: float) -> dict[str, Any]:
    return {"pattern": pattern, "palette": palette, "parameters": parameters, "transition_ms": transition_ms}


DEFAULT_LOOKS: dict[str, dict[str, Any]] = {
    "unknown": _look("bloom", "Ocean Breeze 036", 1500, brightness=0.55, softness=0.4, saturation=0.75),
    "intro": _look("bloom", "Ocean Breeze 068", 3000, brightness=0.5, softness=0.6, saturation=0.75),
    "verse": _look("bloom", "Rivendell", 1500, brightness=0.65, softness=0.4, saturation=0.75),
    "chorus": _look("beat_tunnel", "Blue Cyan Yellow", 800, brightness=0.85, softness=0.25, saturation=0.85),
    "build": _look("tunnel_glow", "Fuschia 7", 1500, brightness=0.45, softness=0.3, speed=0.5),
    "drop": _look("pulse", "Blue Magenta White", 100, brightness=1.0, softness=0.15, saturation=0.85),
    "breakdown": _look("departure", "Departure", 3000, brightness=0.35, softness=0.6, speed=0.25),
    "bridge": _look("bloom_mirror", "Pink Purple", 2000, brightness=0.6, softness=0.45, saturation=0.7),
    "outro": _look("bloom_mirror", "Landscape 33", 4000, brightness=0.35, softness=0.6, saturation=0.75),
    "silence": _look("twilight", "Departure", 4000, brightness=0.0, brightness_floor=0.0, speed=0.1),
    "speech": _look("twilight", "Ocean Breeze 036", 3000, brightness=0.3, softness=0.6, speed=0.15),
    "noise": _look("departure", "Landscape 64", 4000, brightness=0.12, softness=0.8, speed=0.1),
}
"""Centre-origin audio patterns where the music is locked, still ones where it rests; brightness follows the tension, and
only a drop has all of it: what it hits with is what was left."""

Looks = by_name(LookSettings, DEFAULT_LOOKS)
"""Name -> `LookSettings`; complete."""
