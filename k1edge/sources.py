"""Which sound is followed: the line input, a file, or the demo song.

Consumes a word from the command line, emits a function that opens the source; only what is asked for is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

from k1edge.config import AudioSettings
from k1edge.frames import AudioBlock, StreamFormat

SOURCES = """`line` (the configured input), `demo` (the demo song, over and over), or an audio file, played at its own pace
(default: line)"""


class Source(Protocol):
    """Blocks of one format; None when none came for a while. Raises AudioError when the sound is gone."""

    fmt: StreamFormat

    def __iter__(self) -> Iterator[AudioBlock | None]: ...

    def close(self) -> None: ...


class Opened(NamedTuple):
    """A source, and what to call it."""

    source: Source
    name: str


def opener(origin: str, settings: AudioSettings) -> Callable[[], Opened]:
    """A function that opens the source anew at each call. It raises AudioError."""
    if origin == "line":
        return lambda: _line(settings)
    if origin == "demo":
        return _demo
    return lambda: _file(origin)


def _line(settings: AudioSettings) -> Opened:
    from k1edge.audio.linein import LineIn

    line = LineIn(settings)
    return Opened(line, line.device.name)


def _demo() -> Opened:
    from k1edge.audio.demo import demo_song
    from k1edge.audio.synth import SynthSource

    song = demo_song()
    return Opened(SynthSource(song.samples, song.rate_hz, paced=True, repeat=True), "the demo song")


def _file(path: str) -> Opened:
    from k1edge.audio.files import FileSource

    file = FileSource(path, paced=True)
    return Opened(file, file.path.name)
