"""`k1edge demo`: the whole of k1edge in one terminal, with nothing to configure.

Starts a broker on loopback, the daemon as a process of its own, and a virtual K1 here. What is heard is the sound card where
there is one, else the demo song; what is seen is what a K1 would show.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from k1edge.audio import AudioError
from k1edge.config.mqtt import MqttSettings
from k1edge.k1.simulator import VirtualK1
from k1edge.simulate import Stop, play, view_for
from k1edge.system.broker import BrokerError, EmbeddedBroker

SITE, DEVICE = "demo", "virtual"
LEAVE_S = 3.0

EX_FAILED, EX_CANTCREAT = 1, 73


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares this program's arguments."""
    sound = parser.add_mutually_exclusive_group()
    sound.add_argument("--song", action="store_true", help="the demo song, even where there is a sound card")
    sound.add_argument("--file", metavar="FILE", help="an audio file of your own")
    sound.add_argument("--write", type=Path, metavar="WAV", help="only write the demo song to a file")
    parser.add_argument("--play", action="store_true", help="let the demo song be heard, where there is an output")
    parser.add_argument("--seconds", type=float, help="stop after this long (default: when interrupted)")
    parser.add_argument("--view", choices=("auto", "lines", "off"), default="auto", help="what this terminal shows")


def main(args: argparse.Namespace) -> int:
    """0 when it was watched to the end or left with Ctrl-C."""
    if args.write:
        return write_song(args.write)
    source = args.file or ("demo" if args.song or args.play or not has_line() else "line")
    print(f"listening to {'the demo song' if source == 'demo' else source}; Ctrl-C ends the demo", file=sys.stderr)
    stop = Stop(args.seconds)
    try:
        with EmbeddedBroker() as broker, daemon(broker.url, source, args.play) as process:
            k1 = VirtualK1(SITE, DEVICE)
            with view_for(args.view) as view:
                play(MqttSettings(url=broker.url), k1, [view] if view else [], lambda: stop() or process.ended)
            if process.ended and not stop():
                return process.explain()
    except BrokerError as error:
        print(f"k1edge demo: {error}", file=sys.stderr)
        return EX_FAILED
    print(f"{k1.counters.shown} beats shown, {k1.counters.late} came too late", file=sys.stderr)
    return 0


def write_song(path: Path) -> int:
    """Writes the demo song, in stereo where it has width."""
    from k1edge.audio.demo import demo_song
    from k1edge.audio.files import write

    song = demo_song()
    try:
        write(path, song.samples if song.stereo is None else song.stereo, song.rate_hz)
    except AudioError as error:
        print(f"k1edge demo: {error}", file=sys.stderr)
        return EX_CANTCREAT
    print(f"{path}: {song.duration_s:.0f} s, {song.truth.bpm:g} BPM", file=sys.stderr)
    return 0


def has_line() -> bool:
    """Whether there is a sound card to listen to."""
    from k1edge.audio.linein import list_devices

    try:
        return any(device.card_id for device in list_devices())
    except AudioError:
        return False


class Following:
    """The daemon, seen from outside."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self._process = process
        self._log = log

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    def explain(self) -> int:
        """Says why it ended before it was asked to; 0 at the end of a file."""
        if self._process.returncode:
            self._log.seek(0)
            sys.stderr.write(self._log.read().decode(errors="replace"))
        return self._process.returncode


@contextlib.contextmanager
def daemon(url: str, source: str, audible: bool) -> Iterator[Following]:
    """`k1edge run` on this broker until the context ends; its words are kept, not mixed into the picture."""
    command = [sys.executable, "-m", "k1edge", "run", "--broker", url, "--site", SITE, "--source", source]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([*command, *(["--play"] if audible else [])], stderr=log, stdin=subprocess.DEVNULL,
                                   start_new_session=True)  # Ctrl-C is for us: it is then stopped in order
        try:
            yield Following(process, log)
        finally:
            end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """Asks it to stop, and insists after a while."""
    process.send_signal(signal.SIGTERM)
    until_s = time.monotonic() + LEAVE_S
    while process.poll() is None and time.monotonic() < until_s:
        time.sleep(0.01)
    process.kill()
    process.wait()
