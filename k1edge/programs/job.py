"""One file to one map: what a worker process does.

Consumes a path, writes the map, tells its stages as JSON lines. The exit code and the last line say what went wrong, in the
library's own codes.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from k1edge import __version__
from k1edge.analysis.listening import listen
from k1edge.analysis.recording import Recording, unpack
from k1edge.analysis.song import NoMusic, Origin, Progress, analyse
from k1edge.audio import AudioError
from k1edge.audio.files import FileSource
from k1edge.config import Settings
from k1edge.genesis.document import GenesisMap, encode
from k1edge.genesis.faults import MapError
from k1edge.library.admission import HEARD, shown, sound_format
from k1edge.library.errors import Code, LibraryError
from k1edge.library.files import file_sha256
from k1edge.whole import write_whole

EXIT_FAILED = 1
LISTENING = (0.02, 0.7)
"""Shares of the time at which the file has been opened, and has been heard; measured, as those of the passes over it."""
LEAST_MB, LEAST_MB_A_MINUTE = 240.0, 1.7
"""Of address space, without which no song of so many minutes is done: what was heard and said of it, and a byte for each step
and tempo. Four hours were measured to take 670."""


def file_to_map(
    path: Path, settings: Settings, progress: Progress, lasts: Callable[[float], None] = lambda s: None
) -> GenesisMap:
    """The map of a sound file; `lasts` hears how long that is, s. Raises `LibraryError`."""
    progress("opening", 0.0)
    try:
        audio_sha256 = file_sha256(path)
        try:
            recording, rate_hz, kind = _recording(path, settings, progress, lasts)
        finally:  # of what is replaced meanwhile, or pulled with its stick, whatever was found says nothing
            if file_sha256(path) != audio_sha256:
                raise LibraryError(Code.FILE_NOT_FOUND, f"{shown(path)} was replaced by another file while it was listened to")
        now = datetime.now(UTC).isoformat(timespec="seconds")
        origin = Origin(shown(path), audio_sha256, now, rate_hz, kind)
        return analyse(recording, origin, settings.beat, version=__version__, progress=progress)
    except AudioError as fault:
        raise LibraryError(Code.INVALID_FILE_FORMAT, f"{shown(path)} {fault.reason}; {fault.remedy}") from None
    except OSError as fault:
        raise LibraryError(Code.FILE_NOT_FOUND, f"{shown(path)} cannot be read: {fault.strerror}") from None
    except NoMusic as finding:
        raise LibraryError(Code.NO_MUSIC, str(finding)) from None
    except MapError as error:
        raise LibraryError(Code.ANALYSIS_FAILED, f"the analysis is not a valid map: {error}") from None


def _recording(
    path: Path, settings: Settings, progress: Progress, lasts: Callable[[float], None]
) -> tuple[Recording, int, str]:
    """What is heard in a sound file, or was heard on the line; its sample rate; `file` or `live`."""
    with path.open("rb") as file:
        found = sound_format(file.read(16))
    if found is None:
        raise LibraryError(Code.INVALID_FILE_FORMAT, f"{shown(path)} is no sound file, whatever its name says")
    if found == HEARD:
        try:
            return *unpack(path.read_bytes()), "live"
        except ValueError as fault:
            raise LibraryError(Code.INVALID_FILE_FORMAT, f"{shown(path)} {fault}") from None
    source = FileSource(path)
    lasts(source.duration_s)
    _refuse_what_cannot_end(path, source.duration_s)
    recording = listen(source, source.fmt, settings, _heard(progress, source.duration_s))
    source.close()
    return recording, source.fmt.rate_hz, "file"


def _refuse_what_cannot_end(path: Path, duration_s: float) -> None:
    """Before it is listened to, which may take half an hour."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    needed_mb = LEAST_MB + LEAST_MB_A_MINUTE * duration_s / 60
    if limit != resource.RLIM_INFINITY and needed_mb * 1e6 > limit:
        needs = f"needs {needed_mb:.0f} MB of memory, and an analysis may use {limit / 1e6:.0f}"
        raise LibraryError(Code.OUT_OF_MEMORY, f"{shown(path)} lasts {duration_s / 60:.0f} minutes: that {needs}")


def _heard(progress: Progress, duration_s: float) -> Callable[[float], None]:
    first, last = LISTENING
    return lambda heard_s: progress("listening", min(first + (last - first) * heard_s / max(duration_s, 1.0), last))


def _tell(**report: Any) -> None:
    print(json.dumps(report), flush=True)


def _progressed(stage: str, share: float) -> None:
    _tell(stage=stage, progress=round(share, 3))


def run(path: Path, output: Path, settings: Settings) -> int:
    """Makes the map and writes it whole; returns the exit code."""
    try:
        song = file_to_map(path, settings, _progressed, lambda duration_s: _tell(lasts_s=round(duration_s, 1)))
        write_whole(output, encode(song))
    except LibraryError as refusal:
        _tell(code=refusal.code, reason=refusal.reason)
        return EXIT_FAILED
    except MemoryError:
        _tell(code=Code.OUT_OF_MEMORY, reason="the song needs more memory than an analysis may use")
        return EXIT_FAILED
    except OSError as fault:
        print(f"the map cannot be written: {fault}", file=sys.stderr)
        return EXIT_FAILED
    return 0
