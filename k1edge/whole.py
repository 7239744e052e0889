"""A file that after a power cut is the old or the new one: written beside, flushed, renamed."""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
from collections.abc import Iterable
from pathlib import Path

MODE = 0o644
"""Nothing that is written here is a secret; whoever looks after the machine may read it."""


def write_whole(path: Path, content: bytes | Iterable[bytes | memoryview]) -> None:
    """Writes it, and its folder if need be. It belongs to whoever owns the folder, so that the daemon can replace what
    root has written. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not the name and a suffix: a name may be as long as names can be.
    temporary = path.with_name(f".{hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]}.{threading.get_native_id()}.tmp")
    try:
        _write(temporary, [content] if isinstance(content, bytes) else content)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_asked_for(path: Path, content: bytes) -> None:
    """Writes what somebody named as output: a file whole or not at all, be it behind a link; into a pipe or a device, which
    stays what it is. Raises OSError with that name."""
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
        else:
            write_whole(Path(os.path.realpath(path)), content)
    except OSError as fault:
        fault.filename = os.fspath(path)  # not that of what is written beside it
        raise


def _write(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
    try:
        if os.geteuid() == 0:
            owner = path.parent.stat()
            with contextlib.suppress(OSError):  # FAT knows none
                os.fchown(handle, owner.st_uid, owner.st_gid)
        for piece in pieces:
            while piece:
                piece = piece[os.write(handle, piece):]
        os.fsync(handle)
    finally:
        os.close(handle)
