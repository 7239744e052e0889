"""A song as a picture: its sections, its sound, its beats and its moods, from the Genesis Map alone.

Consumes a `GenesisMap`, emits a Pillow image. Drawn at twice its size and halved, so that every edge is smooth. From top to
bottom on one time axis: sections; the sound, coloured by where in the spectrum it lies; bass, mids and highs; beats and
tempo; mood. Drops are lines of light through everything, builds the wedges that lead up to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from k1edge.genesis.codec import BANDS
from k1edge.genesis.document import GenesisMap, plain
from k1edge.programs.pictures import section_colour

SIZE = (1800, 1000)
SCALE = 2
COLOUR_STEP = 6
"""Colours finer than this nobody sees, and they are half of the file."""
MARGIN = (96, 40)
GROUND, PANEL, INK, FAINT = (9, 10, 16), (17, 19, 28), (228, 230, 238), (110, 116, 134)
BAND_COLOURS = {"bass": (255, 92, 57), "mids": (255, 190, 92), "highs": (120, 214, 255)}
BUILD_COLOUR = (52, 34, 72)
TEMPO_COLOUR, TEMPO_SHARE = (110, 190, 255), 0.34
MOOD_COLOURS = {"valence": (126, 226, 160), "arousal": (255, 120, 100), "tension": (186, 140, 255)}
ROWS = {
    "title": (28, 92),
    "sections": (112, 164),
    "sound": (184, 470),
    "bands": (490, 690),
    "beats": (710, 810),
    "mood": (830, 940),
}
"""Top and bottom of each panel."""


@dataclass(frozen=True, slots=True)
class _Canvas:
    """Draws in the picture's own units."""

    image: Image.Image
    draw: ImageDraw.ImageDraw
    duration_ms: float

    def x(self, at_ms: float) -> float:
        left, right = MARGIN[0], SIZE[0] - MARGIN[1]
        return (left + (right - left) * at_ms / self.duration_ms) * SCALE

    def columns(self) -> int:
        return (SIZE[0] - sum(MARGIN)) * SCALE

    def text(
        self, at: tuple[float, float], words: str, size: int, *, colour: tuple[int, int, int] = FAINT, anchor: str = "lm"
    ) -> None:
        font = ImageFont.load_default(size * SCALE)
        self.draw.text((at[0], at[1] * SCALE), words, fill=colour, font=font, anchor=anchor)

    def panel(self, row: str, label: str) -> tuple[int, int]:
        """Ground of a panel with its name beside; its top and bottom in pixels."""
        top, bottom = ROWS[row]
        box = (MARGIN[0] * SCALE, top * SCALE, (SIZE[0] - MARGIN[1]) * SCALE, bottom * SCALE)
        self.draw.rounded_rectangle(box, 6 * SCALE, fill=PANEL)
        self.text(((MARGIN[0] - 12) * SCALE, (top + bottom) / 2), label, 13, anchor="rm")
        return top * SCALE, bottom * SCALE


def draw(song: GenesisMap, title: str) -> Image.Image:
    """The picture of a song, SIZE pixels, RGB."""
    image = Image.new("RGB", (SIZE[0] * SCALE, SIZE[1] * SCALE), GROUND)
    document = plain(song)
    canvas = _Canvas(image, ImageDraw.Draw(image), document["global_metrics"]["duration_ms"])
    notes = document["layers"].get("annotations", {})
    bands = {name: _resampled(document["layers"]["frequency"][name], canvas) for name in BANDS}
    _title(canvas, document, notes, title)
    _sections(canvas, notes.get("sections", []))
    _sound(canvas, bands, _loudness(document, bands, canvas), notes.get("builds", []))
    _bands(canvas, bands)
    _beats(canvas, document["layers"]["rhythm"], notes.get("tempo_curve"))
    _mood(canvas, notes.get("mood"))
    _axis(canvas)
    glowing = _glow(canvas, notes.get("drops", []))
    small = glowing.resize(SIZE, Image.Resampling.LANCZOS)
    return small.point(lambda value: value // COLOUR_STEP * COLOUR_STEP)


def _resampled(points: list[dict[str, float]], canvas: _Canvas) -> np.ndarray:
    """(columns,) intensity: the largest of the points that fall on each column, held where there is none."""
    times = np.array([point["time_ms"] for point in points])
    values = np.array([point["intensity"] for point in points])
    at = np.clip((times / canvas.duration_ms * canvas.columns()).astype(int), 0, canvas.columns() - 1)
    out = np.full(canvas.columns(), -1.0)
    np.maximum.at(out, at, values)
    known = np.flatnonzero(out >= 0)
    return np.interp(np.arange(len(out)), known, out[known]) if len(known) else np.zeros(len(out))


def _loudness(document: dict[str, Any], bands: dict[str, np.ndarray], canvas: _Canvas) -> np.ndarray:
    """(columns,) 0..1: the RMS curve where there is one, else what the bands add up to."""
    curve = document["layers"].get("dynamics", {}).get("rms_curve")
    if isinstance(curve, dict) and curve.get("level"):
        at_ms = np.linspace(0, canvas.duration_ms, canvas.columns())
        level = np.interp(at_ms, curve["at_ms"], curve["level"])
    else:
        level = sum(bands.values())
    return level / (level.max() or 1.0)


def _title(canvas: _Canvas, document: dict[str, Any], notes: dict[str, Any], title: str) -> None:
    metrics, key = document["global_metrics"], notes.get("key")
    minutes, seconds = divmod(round(metrics["duration_ms"] / 1000), 60)
    facts = [f"{metrics['bpm']:.1f} bpm", f"{minutes}:{seconds:02d}"]
    facts += [f"{key['tonic']} {key['mode']}"] if key else []
    facts += [f"{len(document['layers']['rhythm']['beat_grid_ms'])} beats"]
    top, bottom = ROWS["title"]
    canvas.text((MARGIN[0] * SCALE, (top + bottom) / 2), title[:60], 34, colour=INK)
    canvas.text(((SIZE[0] - MARGIN[1]) * SCALE, (top + bottom) / 2), "   ·   ".join(facts), 18, anchor="rm")


def _sections(canvas: _Canvas, sections: list[dict[str, Any]]) -> None:
    top, bottom = canvas.panel("sections", "form")
    for section in sections:
        left, right = canvas.x(section["start_ms"]), canvas.x(min(section["end_ms"], canvas.duration_ms))
        if right - left < 3 * SCALE:
            continue
        colour = section_colour(section["label"])
        canvas.draw.rounded_rectangle((left + SCALE, top, right - SCALE, bottom), 5 * SCALE, fill=colour)
        words = f"{section['label']} {section.get('letter', '')}".strip()
        if right - left > len(words) * 9 * SCALE:
            canvas.text(((left + right) / 2, (top + bottom) / 2 / SCALE), words, 15, colour=INK, anchor="mm")


def _blend(bands: dict[str, np.ndarray]) -> np.ndarray:
    """(columns, 3) the colours of the bands, mixed by their shares."""
    weights = np.stack([bands[name] ** 1.5 + 1e-3 for name in BANDS])
    weights /= weights.sum(axis=0)
    return (weights.T @ np.array([BAND_COLOURS[name] for name in BANDS], float)).astype(int)


def _sound(
    canvas: _Canvas, bands: dict[str, np.ndarray], loudness: np.ndarray, builds: list[dict[str, Any]]
) -> None:
    top, bottom = canvas.panel("sound", "sound")
    for build in builds:
        left, right = canvas.x(build["start_ms"]), canvas.x(build["end_ms"])
        canvas.draw.polygon([(left, bottom), (right, top), (right, bottom)], fill=BUILD_COLOUR)
    middle, reach = (top + bottom) / 2, (bottom - top) / 2 - 8 * SCALE
    texture = np.maximum.reduce([bands[name] for name in BANDS])
    heights = reach * np.sqrt(loudness) * (0.55 + 0.45 * texture)
    for column, (height, colour) in enumerate(zip(heights, _blend(bands), strict=True)):
        x = MARGIN[0] * SCALE + column
        dim = tuple(int(c * 0.45) for c in colour)
        canvas.draw.line((x, middle - height, x, middle + height), fill=dim)
        canvas.draw.line((x, middle - height * 0.62, x, middle + height * 0.62), fill=tuple(colour))


def _bands(canvas: _Canvas, bands: dict[str, np.ndarray]) -> None:
    top, bottom = canvas.panel("bands", "")
    lane = (bottom - top) / len(BANDS)
    for number, name in enumerate(reversed(BANDS)):
        base = top + lane * (number + 1) - 3 * SCALE
        left = MARGIN[0] * SCALE
        curve = np.convolve(bands[name], np.ones(5) / 5, "same")
        outline = [(left + column, base - value * (lane - 10 * SCALE)) for column, value in enumerate(curve)]
        colour = BAND_COLOURS[name]
        fill = tuple(int(0.35 * c + 0.65 * p) for c, p in zip(colour, PANEL, strict=True))
        canvas.draw.polygon([(left, base), *outline, (left + len(curve), base)], fill=fill)
        canvas.draw.line(outline, fill=colour, width=SCALE)
        canvas.text((left - 12 * SCALE, (base - lane / 2) / SCALE), name, 13, colour=colour, anchor="rm")


def _beats(canvas: _Canvas, rhythm: dict[str, Any], tempo: dict[str, Any] | None) -> None:
    top, bottom = canvas.panel("beats", "")
    canvas.text(((MARGIN[0] - 12) * SCALE, bottom / SCALE - 30), "beats", 13, anchor="rm")
    downbeats = set(rhythm.get("downbeat_ms", []))
    strengths = rhythm.get("beat_strength") or [0.7] * len(rhythm["beat_grid_ms"])
    for at_ms, strength in zip(rhythm["beat_grid_ms"], strengths, strict=True):
        x, is_down = canvas.x(at_ms), at_ms in downbeats
        height = (bottom - top) * (0.2 + 0.4 * strength) * (1.0 if is_down else 0.6)
        foot, colour = bottom - 4 * SCALE, INK if is_down else (92, 98, 118)
        canvas.draw.line((x, foot, x, foot - height), fill=colour, width=SCALE * (2 if is_down else 1))
    if tempo and len(tempo["bpm"]) > 1:
        _tempo(canvas, tempo, (top, top + (bottom - top) * TEMPO_SHARE))


def _tempo(canvas: _Canvas, tempo: dict[str, Any], lane: tuple[float, float]) -> None:
    """The tempo on a scale on which a player's few per cent are a small wave, and a change of song is a step."""
    top, bottom = lane
    usual = float(np.median(tempo["bpm"]))
    low, high = min(usual * 0.9, min(tempo["bpm"])), max(usual * 1.1, max(tempo["bpm"]))
    line = [
        (canvas.x(at_ms), bottom - (bottom - top) * (bpm - low) / (high - low))
        for at_ms, bpm in zip(tempo["at_ms"], tempo["bpm"], strict=True)
    ]
    canvas.draw.line(line, fill=TEMPO_COLOUR, width=2 * SCALE, joint="curve")
    canvas.text(((MARGIN[0] - 12) * SCALE, (top + bottom) / 2 / SCALE), "tempo", 13, colour=TEMPO_COLOUR, anchor="rm")


def _mood(canvas: _Canvas, mood: dict[str, Any] | None) -> None:
    top, bottom = canvas.panel("mood", "")
    for number, (name, colour) in enumerate(MOOD_COLOURS.items()):
        canvas.text(((MARGIN[0] - 12) * SCALE, top / SCALE + 24 + 31 * number), name, 13, colour=colour, anchor="rm")
        if not mood or name not in mood:
            continue
        values = np.array(mood[name], float)
        shares = (values + 1) / 2 if name == "valence" else values
        line = [
            (canvas.x((n + 0.5) * mood["step_ms"]), bottom - 6 * SCALE - float(share) * (bottom - top - 12 * SCALE))
            for n, share in enumerate(shares)
            if (n + 0.5) * mood["step_ms"] <= canvas.duration_ms
        ]
        if len(line) > 1:
            canvas.draw.line(line, fill=colour, width=2 * SCALE, joint="curve")


def _axis(canvas: _Canvas) -> None:
    seconds = canvas.duration_ms / 1000
    step = next((s for s in (5, 10, 15, 30, 60, 120, 300, 600) if seconds / s <= 16), 1800)
    for at_s in range(0, int(seconds) + 1, step):
        canvas.text((canvas.x(at_s * 1000), SIZE[1] - 36), f"{at_s // 60}:{at_s % 60:02d}", 13, anchor="mm")


def _glow(canvas: _Canvas, drops: list[dict[str, Any]]) -> Image.Image:
    layer = Image.new("RGB", canvas.image.size)
    brush = ImageDraw.Draw(layer)
    for drop in drops:
        x = canvas.x(drop["at_ms"])
        brush.line((x, ROWS["sections"][0] * SCALE, x, ROWS["mood"][1] * SCALE), fill=(255, 255, 255), width=3 * SCALE)
    halo = layer.filter(ImageFilter.GaussianBlur(9 * SCALE)).point(lambda value: min(value * 3, 255))
    return ImageChops.screen(ImageChops.screen(canvas.image, halo), layer)
