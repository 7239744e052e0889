"""Pictures and bars in a terminal: as many colours as it has, nothing that it has not.

Consumes pixels (rows, columns, 3) uint8 and text; emits strings with ANSI colours, two pixels to a character (upper half
block), and keeps a screen that is restored whatever happens. A stream that is no terminal gets lines instead.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Self, TextIO

import numpy as np

from k1edge.k1.palettes import LUMINANCE

RESET = "\x1b[0m"
_RAMP = " .:-=+*#%@"
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[2J"
_LEAVE = "\x1b[?25h\x1b[?1049l"


class Depth(Enum):
    """What a stream can show."""

    TRUE = "24-bit colour"
    INDEXED = "256 colours"
    MONO = "no colour"
    LINES = "no screen"


def depth(stream: TextIO, environ: Mapping[str, str] = os.environ) -> Depth:
    """What this stream can show, from what its terminal says of itself."""
    if not stream.isatty():
        return Depth.LINES
    term = environ.get("TERM", "")
    if term in ("", "dumb"):
        return Depth.LINES
    if environ.get("NO_COLOR") or not _has(stream, "▀"):
        return Depth.MONO
    if environ.get("COLORTERM") in ("truecolor", "24bit") or "direct" in term:
        return Depth.TRUE
    return Depth.INDEXED if "256" in term or environ.get("COLORTERM") else Depth.MONO


def _has(stream: TextIO, mark: str) -> bool:
    try:
        mark.encode(stream.encoding or "utf-8")
    except UnicodeError:
        return False
    return True


def fit(strip: np.ndarray, columns: int) -> np.ndarray:
    """A strip (LEDs, 3) averaged onto at most `columns` pixels, symmetric as it was."""
    columns = max(1, min(columns, len(strip)))
    edges = np.round(np.linspace(0, len(strip), columns + 1)).astype(int)
    sums = np.add.reduceat(strip.astype(np.float32), edges[:-1], axis=0)
    return (sums / np.diff(edges)[:, None]).astype(np.uint8)


def picture(pixels: np.ndarray, colours: Depth) -> list[str]:
    """Pixels (2 x lines, columns, 3) as lines of text."""
    upper, lower = pixels[0::2], pixels[1::2]
    if colours is Depth.MONO:
        grey = (upper.astype(int) + lower) / 2 @ LUMINANCE
        marks = (grey / 256 * len(_RAMP)).astype(int)
        return ["".join(_RAMP[mark] for mark in line) for line in marks]
    if colours is Depth.INDEXED:
        return [_half_blocks(a, b, "5;%d") for a, b in zip(_indexed(upper), _indexed(lower), strict=True)]
    return [_half_blocks(a, b, "2;%d;%d;%d") for a, b in zip(_tuples(upper), _tuples(lower), strict=True)]


def bar(share: float, columns: int) -> str:
    """A horizontal bar of eighths of a character, for 0..1."""
    eighths = round(min(max(share, 0.0), 1.0) * columns * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (" ▏▎▍▌▋▊▉"[rest] if rest else "")).ljust(columns)


class Screen:
    """The terminal, taken over for as long as the context lasts."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __enter__(self) -> Self:
        self._stream.write(_ENTER)
        return self

    def __exit__(self, *_error: object) -> None:
        self._stream.write(RESET + _LEAVE)
        self._stream.flush()

    @property
    def size(self) -> os.terminal_size:
        """Columns and lines now; it may have been resized."""
        return shutil.get_terminal_size((80, 24))

    def show(self, lines: Sequence[str]) -> None:
        """Replace the whole screen; what does not fit below is cut off."""
        kept = lines[: self.size.lines]
        self._stream.write("\x1b[H" + "\x1b[K\n".join(kept) + RESET + "\x1b[J")
        self._stream.flush()


Colours = list[tuple[int, ...]]


def _tuples(pixels: np.ndarray) -> list[Colours]:
    return [list(map(tuple, line)) for line in pixels.tolist()]


def _indexed(pixels: np.ndarray) -> list[Colours]:
    """Colours of the 6 x 6 x 6 cube. Its levels are taken for evenly spaced, which they are not: the darkest is 95, and the
    nearest one would be black for most of what fades."""
    levels = np.round(pixels.astype(np.float32) / 255 * 5).astype(int)
    return _tuples((16 + levels @ np.array([36, 6, 1]))[..., None])


def _half_blocks(upper: Colours, lower: Colours, form: str) -> str:
    """One line; a colour is written only where it changes."""
    line: list[str] = []
    front: tuple[int, ...] = ()
    back: tuple[int, ...] = ()
    for above, below in zip(upper, lower, strict=True):
        if above != front:
            line.append(f"\x1b[38;{form % above}m")
            front = above
        if below != back:
            line.append(f"\x1b[48;{form % below}m")
            back = below
        line.append("▀")
    return "".join(line) + RESET
