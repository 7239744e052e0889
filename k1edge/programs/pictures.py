"""What the pictures of songs have in common: the colours of sections, and why one could not be written, told before minutes are
spent on it.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

SECTION_COLOURS = {
    "intro": (70, 96, 160), "verse": (64, 140, 150), "chorus": (222, 140, 62), "build": (150, 92, 190),
    "drop": (232, 66, 82), "breakdown": (58, 88, 128), "bridge": (110, 130, 84), "outro": (84, 84, 112),
}  # fmt: skip
OTHER_SECTION = (80, 84, 96)


def section_colour(label: str) -> tuple[int, int, int]:
    """RGB of a section of this name, also of one that somebody else has given it."""
    return SECTION_COLOURS.get(label, OTHER_SECTION)


def pillow_fault() -> str:
    """'' where Pillow is installed."""
    return "" if importlib.util.find_spec("PIL") else f"pictures need Pillow: {sys.executable} -m pip install pillow"


def picture_fault(*paths: Path | None) -> str:
    """'' when nothing is known against these."""
    wanted = [path for path in paths if path]
    if wanted and (fault := pillow_fault()):
        return fault
    for path in wanted:
        if not path.parent.is_dir():
            return f"{path}: there is no folder {path.parent}"
        if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
            return f"{path}: may not be written"
    return ""


def kind_fault(path: Path) -> str:
    """Why no picture can have this name; '' when it can. Needs Pillow."""
    from PIL import Image

    kind = Image.registered_extensions().get(path.suffix.lower())
    return "" if kind in Image.SAVE else f"{path}: a picture's name ends in .png"
