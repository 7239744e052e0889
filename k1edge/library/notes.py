"""What people said of a track, kept beside its maps, so that no name and no pin is lost with the index.

Consumes a track as the index has it, emits the columns of TOLD. One small file, `<root>/maps/<track>/told.json`, and only where
something was told that its maps do not say: a song that was dropped into the inbox costs no further write.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from k1edge.whole import write_whole

NAME = "told.json"
TOLD = ("audio_sha256", "filename", "title", "artist", "tags", "preset", "source", "pinned")


def keep(folder: Path, track: dict[str, Any]) -> None:
    """Writes the note if it has changed; there is none where nobody has said anything. Raises OSError."""
    untold = {"title": Path(track["filename"]).stem, "artist": "", "tags": [], "preset": "default", "pinned": False}
    path, note = folder / NAME, tuple(track[name] for name in TOLD)
    if all(track[name] == value for name, value in untold.items()):
        path.unlink(missing_ok=True)
    elif note != kept(folder):
        write_whole(path, json.dumps(dict(zip(TOLD, note, strict=True)), ensure_ascii=False).encode())


def kept(folder: Path) -> tuple[Any, ...]:
    """What was written down, in the order of TOLD; nothing where nothing is, or nothing can be read."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        note = json.loads((folder / NAME).read_bytes())
        return tuple(note[name] for name in TOLD)
    return ()
