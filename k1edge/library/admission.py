"""Which files may be analysed: inside one folder, ordinary, not too large, and what they claim to be.

Consumes a path as a caller gave it, emits the real path; raises `LibraryError`.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from k1edge.library.errors import Code, LibraryError

MAX_FILE_BYTES = 50_000_000
HEAD_BYTES = 16
HEARD = "heard"
"""What the edge itself heard of a song on the line; see `analysis.recording`."""
INBOX = "inbox"
"""Within the folder: what is dropped there is analysed without being asked for."""
FORMATS = "wav, flac, ogg, mp3 or m4a"


def admit(path: str | Path, folder: Path, max_bytes: int = MAX_FILE_BYTES) -> Path:
    """The real path of a sound file within `folder` (relative paths start there)."""
    real = _inside(path, folder)
    try:
        # Not following a link that took the file's place since, and not waiting for the writer of a pipe.
        handle = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as fault:
        raise LibraryError(Code.FILE_NOT_FOUND, f"{shown(real)} cannot be opened: {fault.strerror}") from None
    try:
        facts, head = os.fstat(handle), b""
        if stat.S_ISREG(facts.st_mode):
            head = os.read(handle, HEAD_BYTES)
    finally:
        os.close(handle)
    if stat.S_ISDIR(facts.st_mode):
        raise LibraryError(Code.INVALID_FILE_FORMAT, f"{shown(real)} is a folder, and not looked into: give the songs in it")
    if not stat.S_ISREG(facts.st_mode):
        raise LibraryError(Code.INVALID_FILE_FORMAT, f"{shown(real)} is not an ordinary file")
    if facts.st_size > max_bytes:
        size, limit = facts.st_size / 1e6, max_bytes / 1e6
        raise LibraryError(Code.FILE_TOO_LARGE, f"{shown(real)} has {size:.1f} MB; [library] max_file_mb allows {limit:g}")
    if sound_format(head) is None:
        raise LibraryError(Code.INVALID_FILE_FORMAT, f"{shown(real)} is none of {FORMATS}, whatever its name says")
    return real


def _inside(path: str | Path, folder: Path) -> Path:
    try:
        root = folder.resolve(strict=True)
        # Where it leads comes first: of what lies outside, nobody learns whether it is there.
        if not (root / path).resolve().is_relative_to(root):
            raise LibraryError(Code.FILE_NOT_ALLOWED, f"{shown(path)} leads out of the music folder")
        real = (root / path).resolve(strict=True)
    except (OSError, ValueError, RuntimeError) as fault:
        reason = (getattr(fault, "strerror", None) or str(fault)) + _meant(path, folder)
        where = "in the music folder ([library] music_dir)"
        raise LibraryError(Code.FILE_NOT_FOUND, f"{shown(path)} cannot be found {where}: {reason}") from None
    return real


def _meant(path: str | Path, folder: Path) -> str:
    """Where a file of this name lies, if that is the inbox."""
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        dropped = (folder / INBOX / Path(path).name).resolve(strict=True)
        if dropped.is_file() and dropped.is_relative_to(folder.resolve()):
            return f"; there is {INBOX}/{shown(path)}"
    return ""


def shown(path: str | Path) -> str:
    """A file's name as text that every reader can take, even where it is not valid UTF-8."""
    return os.fsencode(Path(path).name).decode("utf-8", "replace").replace("\0", "\ufffd")


def sound_format(head: bytes) -> str | None:
    """What the first bytes of a file say it is; None when nothing we read."""
    if head[:4] in (b"RIFF", b"RF64") and head[8:12] == b"WAVE":
        return "wav"
    if head[:4] == b"fLaC":
        return "flac"
    if head[:4] == b"OggS":
        return "ogg"
    if head[4:8] == b"ftyp":
        return "m4a"
    if head[:8] == b"K1HEARD1":
        return HEARD
    is_frame = len(head) > 1 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2  # sync, layer III
    return "mp3" if head[:3] == b"ID3" or is_frame else None
