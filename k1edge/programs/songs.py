"""The songs that are meant by files and directories, and where their maps and pictures go.

Consumes the names of a command line; emits a `Song` for each sound file, with what is known against it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from k1edge.genesis.document import GenesisMap
from k1edge.library.errors import Code
from k1edge.library.worker import Failure, Worker

EXTENSIONS = {".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".mp4", ".aac"}
"""What is taken for a song in a directory; what it is, its content decides."""
SUFFIX = ".genesis.json"
NAME_BYTES = 255
"""Of a file's name, at most, on Linux."""


@dataclass(slots=True)
class Song:
    """One file on its way to a map."""

    path: Path
    output: Path
    within: Path
    """Where it was found, below the directory that was given."""
    picture: Path | None = None
    """Where it is to be drawn."""
    state: str = "queued"
    """queued, processing, completed, skipped or failed."""
    failure: Failure | None = None
    map: GenesisMap | None = None
    worker: Worker | None = None
    began_s: float = 0.0
    took_s: float = 0.0

    def report(self) -> dict[str, Any]:
        """As `--json` prints it."""
        common = {"file": text(self.path), "state": self.state}
        if self.failure:
            return common | {"code": self.failure.code, "reason": self.failure.reason}
        if not self.map:
            return common
        metrics, notes = self.map.global_metrics, self.map.notes
        return common | {
            "map": text(self.output),
            "duration_ms": metrics.duration_ms,
            "bpm": metrics.bpm,
            "beats": len(self.map.layers.rhythm.beat_grid_ms),
            "downbeats": len(self.map.layers.rhythm.downbeat_ms),
            "key": str(notes.key) if notes.key else None,
            "sections": [section.label for section in notes.sections or []],
            "drops_ms": [drop.at_ms for drop in notes.drops or []],
            "took_s": round(self.took_s, 2),
        }


def missing(path: Path) -> str:
    """Why there is nothing to be found under this name; '' when there is."""
    try:
        path.stat()
    except OSError as fault:
        return f"{text(path)}: {fault.strerror}"
    return ""


def every_song(given: list[Path], output: Path | None, closed: Callable[[OSError], object]) -> Iterator[Song]:
    """Every song once, in order; a directory is searched through, and `closed` gets the fault of one that cannot be."""
    seen: set[Path] = set()
    for path in given:
        for file in _files(path, closed) if path.is_dir() else [path]:
            if file in seen:
                continue
            seen.add(file)
            within = file.relative_to(path).parent if path.is_dir() else Path()
            target = (output / within if output else file.parent) / f"{file.name}{SUFFIX}"
            yield Song(file, target, within, failure=_fault(file, target))


def _files(folder: Path, closed: Callable[[OSError], object]) -> list[Path]:
    """What is named like a song in it and in the directories within, linked ones too, each once; nothing hidden."""
    seen: set[str] = set()
    found: list[Path] = []
    waiting = [folder]
    for root in waiting:  # links after all else: what is here by itself keeps its name
        for place, folders, names in os.walk(root, onerror=closed):
            real = os.path.realpath(place)
            if real in seen:
                folders.clear()
                continue
            seen.add(real)
            folders[:] = sorted(filter(_is_visible, folders))
            # Of what may be listed and not looked at a Path would raise.
            waiting += [Path(place, name) for name in folders if os.path.islink(f"{place}/{name}")]  # noqa: PTH114
            found += [Path(place, name) for name in filter(_is_visible, names) if Path(name).suffix.lower() in EXTENSIONS]
    return sorted(found)


def _is_visible(name: str) -> bool:
    return not name.startswith(".")


def _fault(song: Path, target: Path) -> Failure | None:
    """Why there can be no map of it, where that is known before it is opened: one waits for the writer of a pipe."""
    try:
        ordinary = stat.S_ISREG(song.stat().st_mode)
    except OSError as fault:
        return Failure(Code.FILE_NOT_FOUND, f"cannot be read: {fault.strerror}")
    if not ordinary:
        return Failure(Code.INVALID_FILE_FORMAT, "is not an ordinary file")
    if len(os.fsencode(target.name)) > NAME_BYTES:
        return Failure(Code.FILE_NOT_ALLOWED, f"has so long a name that there is no room for {SUFFIX} behind it")
    return None


def clash(songs: list[Song]) -> str:
    """Which songs would be written to one file; '' when each has its own."""
    first: dict[Path, Song] = {}
    for song in songs:
        for place in filter(None, (song.output, song.picture)):
            other = first.setdefault(place, song)
            if other is not song:
                return f"{other.path} and {song.path} would both become {place}: analyse them into different directories"
    return ""


def text(path: Path) -> str:
    """For every reader, even where the name is not valid UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")
