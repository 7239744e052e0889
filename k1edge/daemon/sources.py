"""Which sound is followed: the line input, a file, or the demo song; and what is lost of it, source after source.

Consumes a word from the command line, emits a function that opens the source; only what is asked for is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from k1edge.audio import AudioError, Source
from k1edge.config import AudioSettings
from k1edge.frames import AudioBlock

if TYPE_CHECKING:
    from k1edge.audio.lineout import Playback
    from k1edge.audio.synth import Sound

SOURCES = """`line` (the configured input), `demo` (the demo song, over and over), or an audio file, played at its own pace
(default: line)"""
NAMED = ("line", "demo")
"""Those that are no file: no map lies beside them."""


class Opened(NamedTuple):
    """A source, and what to call it."""

    source: Source
    name: str


class Input(NamedTuple):
    """What is listened to, or was last; what was lost is counted since the daemon began."""

    device: str = ""
    rate_hz: int = 0
    lost_samples: int = 0
    """By the card."""
    overflows: int = 0
    skipped_samples: int = 0
    """That this process came too late for."""


class Listening:
    """The source that is followed."""

    def __init__(self) -> None:
        self.source: Source | None = None
        """None while there is no sound."""
        self.opened = 0
        """Sources so far."""
        self._before = Input()
        """What the sources before this one have lost."""

    def begin(self, source: Source, name: str) -> None:
        """It was opened."""
        self.source, self.opened = source, self.opened + 1
        self._before = self._before._replace(device=name, rate_hz=source.fmt.rate_hz)

    def end(self) -> None:
        """Its sound is gone."""
        self._before, self.source = self.input, None

    @property
    def input(self) -> Input:
        """As of now; only a line loses anything."""
        device, rate_hz, *before = self._before
        now = (getattr(self.source, name, 0) for name in Input._fields[2:])
        return Input(device, rate_hz, *map(sum, zip(before, now, strict=True)))


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
        from k1edge.audio.lineout import Playback

        song = self._song
        self._playback = Playback(song.samples if song.stereo is None else song.stereo, song.rate_hz, loop=True)
        return iter(self._source)

    def close(self) -> None:
        if self._playback is not None:
            self._playback.close()


def _file(path: str) -> Opened:
    from k1edge.audio.files import FileSource

    file = FileSource(path, paced=True)
    return Opened(file, file.path.name)
