"""The virtual K1's light as picture files. Needs Pillow (the extra `picture`).

Consumes frames (N, 160, 3) uint8 at a steady rate; writes a PNG of space and time (a line per frame, time downwards, beats
ticked at both edges) or an animated GIF of the plate, where light rises from the strip at its foot.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

LED_PX = 4
LINE_PX = 2
TICK_PX = 10
GIF_HZ = 25
PLATE_LINES = 28
"""Height of the plate in frames of the past."""
FADE = 0.955
"""Light kept per line of the plate."""
COLOURS = 128
"""Of a moving picture, spread over all that there are. Chosen by how often they occur, none would be left for a caption, and
the file would be twice as large."""

Framing = Callable[[Image.Image, float], Image.Image]
"""(an image, its time in s) -> what is shown of it."""


def _bare(image: Image.Image, at_s: float) -> Image.Image:
    return image


def save_png(path: Path, frames: np.ndarray, beats: Sequence[int] = ()) -> None:
    """Space-time picture; `beats` are the indices of frames with a beat. Raises ValueError without frames, or OSError."""
    lines = _some(frames).repeat(LINE_PX, axis=0).repeat(LED_PX, axis=1)
    edge = np.zeros((len(lines), TICK_PX, 3), np.uint8)
    for beat in beats:
        edge[beat * LINE_PX : (beat + 1) * LINE_PX] = 230
    Image.fromarray(np.concatenate([edge, lines, edge], axis=1)).save(path, "PNG", optimize=True)


def save_gif(path: Path, frames: np.ndarray, rate_hz: float, framed: Framing = _bare) -> None:
    """The plate, moving at its true speed; `framed` adds what there is to say. Raises ValueError without frames, or OSError."""
    frames = _some(frames)
    step = max(1, round(rate_hz / GIF_HZ))
    images = []
    for at in range(0, len(frames), step):
        enlarged = plate(frames[: at + 1], step).repeat(LED_PX, axis=0).repeat(LED_PX, axis=1)
        image = framed(Image.fromarray(enlarged), at / rate_hz)
        images.append(image.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE))
    duration_ms = round(1000 * step / rate_hz / 10) * 10
    images[0].save(path, "GIF", save_all=True, append_images=images[1:], duration=duration_ms, loop=0)


def plate(frames: np.ndarray, step: int = 1) -> np.ndarray:
    """(PLATE_LINES, 160, 3): the newest frame at the foot, older ones above it, fading as they rise."""
    past = frames[::-step][:PLATE_LINES][::-1].astype(np.float32)
    fading = FADE ** np.arange(len(past) - 1, -1, -1)
    picture = np.zeros((PLATE_LINES, *past.shape[1:]), np.float32)
    picture[PLATE_LINES - len(past) :] = past * fading[:, None, None]
    return picture.astype(np.uint8)


def _some(frames: np.ndarray) -> np.ndarray:
    if len(frames) == 0:
        raise ValueError("no frame was recorded: nothing to draw")
    return frames
