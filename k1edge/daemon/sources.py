"""Which sound is followed: the line input, a file, or the demo song.

Consumes a word from the command line, emits a function that opens the source; only what is asked for is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

from k1edge.audio import AudioError
from k1edge.config import AudioSettings
from k1edge.frames import AudioBlock, StreamFormat

if TYPE_CHECKING:
    from k1edge.audio.lineout import Playback
    from k1edge.audio.synth import Sound

SOURCES = """`line` (the configured input), `demo` (the demo song, over and over), or an audio file, played at its own pace
(default: line)"""


class Source(Protocol):
    """Blocks of one format; None when none came for a while. Raises AudioError when the sound is gone."""

    fmt: StreamFormat

    def __iter__(self) -> Iterator[AudioBlock | None]: ...

    def close(self) -> None: ...


def losses(source: Source | None) -> tuple[int, int, int]:
    """Samples that the card lost, overflows, and samples that this process came too late for: only a line has any."""
    lost = getattr(source, "lost_samples", 0)
    return lost, getattr(source, "overflows", 0), getattr(source, "skipped_samples", 0)


class Opened(NamedTuple):
    """A source, and what to call it."""

    source: Source
    name: str


def opener(origin: str, settings: AudioSettings, audible: bool = False) -> Callable[[], Opened]:
    """A function that opens the source anew at each call; `audible` lets the demo song be heard. Both raise AudioError."""
    if audible and origin != "demo":
        raise AudioError("--play", "the demo song alone can be heard", "leave out --play")
    if origin == "line":
        return lambda: _line(settings)
    if origin == "demo":
        return lambda: _demo(audible)
    return lambda: _file(origin)


def _line(settings: AudioSettings) -> Opened:
    from k1edge.audio.linein import LineIn
    from k1edge.system.priority import CAPTURE, take

    line = LineIn(settings, entered=lambda: take(CAPTURE))
    return Opened(line, line.device.name)


def _demo(audible: bool) -> Opened:
    from k1edge.audio.demo import demo_song
    from k1edge.audio.synth import SynthSource

    song = demo_song()
    source = SynthSource(song.samples, song.rate_hz, paced=True, repeat=True)
    return Opened(Audible(source, song) if audible else source, "the demo song")


class Audible:
    """The demo song, followed and heard at the same time."""

    def __init__(self, source: Source, song: Sound) -> None:
        self.fmt = source.fmt
        self._source = source
        self._song = song
        self._playback: Playback | None = None

    def __iter__(self) -> Iterator[AudioBlock | None]:
        from k1edge.audio.lineout import play

        song = self._song
        self._playback = play(song.samples if song.stereo is None else song.stereo, song.rate_hz, loop=True)
        return iter(self._source)

    def close(self) -> None:
        if self._playback is not None:
            self._playback.close()


def _file(path: str) -> Opened:
    from k1edge.audio.files import FileSource

    file = FileSource(path, paced=True)
    return Opened(file, file.path.name)
