"""Why a picture could not be written, told before minutes are spent on it."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path


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
