"""Files of the library: verified when read, and locked."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import sqlite3
from pathlib import Path

from k1edge.library.errors import Code, LibraryError


def has_room(folder: Path, some_bytes: int, files: int) -> bool:
    """Whether so much can be written there, in so many files, whose number some file systems do not limit (FAT, btrfs)."""
    there = os.statvfs(folder)
    return there.f_bavail * there.f_frsize >= some_bytes and (there.f_favail >= files or not there.f_files)


def is_full(fault: OSError | sqlite3.Error) -> bool:
    """Whether something could not be written for want of room alone."""
    if isinstance(fault, OSError):
        return fault.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(fault, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def read_verified(path: Path, sha256: str) -> bytes:
    """The content of a file that must have this hash; raises `LibraryError`."""
    try:
        content = path.read_bytes()
    except OSError as fault:
        raise LibraryError(Code.ARTIFACT_NOT_FOUND, f"{path.name} cannot be read: {fault.strerror}") from None
    if hashlib.sha256(content).hexdigest() != sha256:
        raise LibraryError(Code.ARTIFACT_DAMAGED, f"{path.name} was changed or damaged since it was written")
    return content


def file_sha256(path: Path) -> str:
    """64 hex digits, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def locked(path: Path) -> int:
    """A handle that keeps this file, the queue's, from every other process; raises `LibraryError`."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        other = f"another process works off the queue ({path} is locked)"
        todo = "if k1edge runs already, stop it or give this one a state folder of its own"
        raise LibraryError(Code.INTERNAL_ERROR, f"{other}; {todo}") from None
    return handle
