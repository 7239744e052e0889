"""Light -> pixels: the frame a virtual K1 shows, 160 LEDs mirrored about its centre between 79 and 80.

Consumes a `Light`, emits (160, 3) uint8 RGB as seen on a screen. Stateless; about 0.15 ms a frame on a desktop core.
"""

from __future__ import annotations

import numpy as np

from k1edge.frames import Macros
from k1edge.k1.palettes import GAMMA, LUMINANCE, STEPS, colours
from k1edge.k1.patterns import HALF, Moment, X, drawing
from k1edge.k1.simulator import Light, Scene

WAVE_MEMORY_S = 2.0
"""Older beats have left the strip."""
WARM = np.array([1.0, 0.72, 0.42], np.float32)
"""Incandescent white, linear."""
COAST_BEATS = 1.25
"""Without a new beat the motion goes on for a little more than one, then waits."""
OWN_LIGHT = 0.35
"""Brightness of the idle look, so that nobody takes it for the show."""


def frame(light: Light) -> np.ndarray:
    """The strip at this moment, (160, 3) uint8."""
    linear = _scene(light, light.scene)
    if light.mix < 1.0:
        share = _share(light.transition, light.mix)[:, None]
        linear = share * linear + (1 - share) * _scene(light, light.before)
    if not light.led:
        linear = linear * OWN_LIGHT
    half = np.clip(linear, 0, 1) ** (1 / GAMMA) * 255
    return np.concatenate([half[::-1], half]).round().astype(np.uint8)


def _scene(light: Light, scene: Scene) -> np.ndarray:
    """One scene's half strip, (HALF, 3) linear RGB."""
    p = scene.parameters
    lightness, place = drawing(scene.pattern)(_moment(light, scene))
    spread = 1.0 + 0.8 * p["color_range"]
    place = (place - 0.5) * spread + 0.5 + 0.5 * (p["color"] - 0.33)
    table = colours(scene.palette_id)
    rgb = table[(np.clip(place, 0, 1) * (STEPS - 1)).astype(np.intp)]
    floor = 0.25 * p["brightness_floor"] + 0.08 * p["background"]
    return _tinted(rgb, p) * (np.clip(lightness, floor, 1.25) * p["brightness"])[:, None] * 1.3


def _moment(light: Light, scene: Scene) -> Moment:
    """The light's state in the terms that patterns are drawn in."""
    period_s = 60 / light.bpm if light.bpm > 0 else 0.5
    ages_s = np.array([(light.now_ms - flash.shown_ms) / 1000 for flash in light.flashes])
    recent = ages_s < WAVE_MEMORY_S
    strengths = np.array([(0.55 + 0.35 * f.strength) + 0.15 * f.downbeat for f in light.flashes])
    beats = light.flashes[0].number + min(ages_s[0] / period_s, COAST_BEATS) if light.flashes else 0.0
    return Moment(
        seconds=scene.moved_s(light.now_ms),
        beats=float(beats),
        ages_s=ages_s[recent],
        strengths=strengths[recent],
        period_s=period_s,
        softness=scene.parameters["softness"],
        macros=light.macros if light.led else _listening(light.now_ms),
    )


def _listening(now_ms: float) -> Macros:
    """The idle look: slow breath, about seven a minute."""
    breath = 0.5 + 0.5 * np.sin(now_ms / 1000 * 0.75)
    return Macros(energy=0.25 + 0.25 * breath, bass_weight=0.3 * breath, brightness=0.2)


def _tinted(rgb: np.ndarray, parameters: dict[str, float]) -> np.ndarray:
    """Saturation (0.75 leaves the palette as it is) and warmth."""
    grey = (rgb @ LUMINANCE)[:, None]
    depth = min(parameters["saturation"] / 0.75, 1.2)
    tinted = np.clip(grey + (rgb - grey) * depth, 0, None)
    return tinted * (1 - parameters["warmth"] * (1 - WARM))


def _share(transition: str, mix: float) -> np.ndarray:
    """How much of the new scene each LED of the half strip shows already."""
    if transition in ("wipe_out", "iris", "stargate", "nuclear"):
        return np.clip((mix * 1.15 - X) / 0.15, 0, 1)
    if transition in ("wipe_in", "implosion"):
        return np.clip((X - 1 + mix * 1.15) / 0.15, 0, 1)
    if transition in ("dissolve", "kaleidoscope", "mandala"):
        return (np.sin((np.arange(HALF) + 1) * 12.9898) * 43758.5453 % 1.0 < mix).astype(np.float32)
    return np.full(HALF, mix, np.float32)
