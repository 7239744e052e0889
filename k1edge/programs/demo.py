"""`k1edge demo`: the whole of k1edge in one terminal, with nothing to configure.

Starts a broker on loopback, the daemon as a process of its own, and a virtual K1 here. What is heard is the sound card where
there is one, else the demo song; what is seen is what a K1 would show. Of this machine's configuration only `[audio]` counts,
and nothing is left behind.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from k1edge.audio import AudioError
from k1edge.config import AudioSettings, LibrarySettings, Settings
from k1edge.config.mqtt import MqttSettings
from k1edge.daemon.sources import opener
from k1edge.interpreter import PYTHON
from k1edge.k1.simulator import VirtualK1
from k1edge.programs.check import as_toml
from k1edge.programs.options import EXIT_FAILED, Stop, add_seconds, fail, this_machine
from k1edge.programs.simulate import play
from k1edge.programs.views import view_for
from k1edge.system.broker import BrokerError, EmbeddedBroker
from k1edge.whole import write_asked_for

SITE, DEVICE = "demo", "virtual"
LEAVE_S = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = """\
examples:
  k1edge demo                    the sound card, or the demo song where there is none
  k1edge demo --song --play      the demo song, heard as well
  k1edge demo --file song.mp3    a song of yours
  k1edge demo --write song.wav   the demo song as a file
  COLORTERM=truecolor k1edge demo    in all colours over ssh, which does not tell that a terminal has them

The lowest line of the picture is the strip; above it is what it showed a moment ago. Nothing is configured, nothing is kept.

exit code: 0 watched to the end or left, 1 it could not start, 66 the sound cannot be read, 73 the song cannot be written"""
    sound = parser.add_mutually_exclusive_group()
    sound.add_argument("--song", action="store_true", help="the demo song, even where there is a sound card")
    sound.add_argument("--file", metavar="FILE", help="an audio file of your own")
    sound.add_argument("--write", type=Path, metavar="WAV", help="only write the demo song to a file")
    parser.add_argument("--play", action="store_true", help="play the demo song aloud, if there is an output")
    add_seconds(parser)
    parser.add_argument("--view", choices=("auto", "lines", "off"), default="auto", help="what this terminal shows")


def main(args: argparse.Namespace) -> int:
    if args.write:
        return write_song(args.write)
    audio = this_machine().audio
    try:
        source, name = chosen(args, audio)
    except AudioError as error:
        return fail("demo", error, os.EX_NOINPUT)
    print(f"listening to {name}; Ctrl-C ends the demo", file=sys.stderr)
    stop = Stop(args.seconds)
    try:
        with EmbeddedBroker() as broker, daemon(broker.url, source, audio, audible=args.play) as (process, log):
            k1 = VirtualK1(SITE, DEVICE)
            with view_for(args.view) as view:
                play(MqttSettings(url=broker.url), k1, [view] if view else [], lambda: stop() or process.poll() is not None)
            if process.poll() is not None and not stop():  # by itself: at the end of a file, or by a fault
                if process.returncode:
                    log.seek(0)
                    sys.stderr.write(log.read().decode(errors="replace"))
                return process.returncode
    except BrokerError as error:
        return fail("demo", error, EXIT_FAILED)
    print(f"{k1.counters.shown} beats shown, {k1.counters.late} came too late", file=sys.stderr)
    return 0


def write_song(path: Path) -> int:
    """Writes the demo song, in stereo where it has width."""
    from k1edge.audio.demo import demo_song
    from k1edge.audio.files import encoded

    song = demo_song()
    try:
        write_asked_for(path, encoded(path, song.samples if song.stereo is None else song.stereo, song.rate_hz))
    except AudioError as error:
        return fail("demo", error, os.EX_CANTCREAT)
    except OSError as fault:
        return fail("demo", f"{path}: {fault.strerror}", os.EX_CANTCREAT)
    print(f"{path}: {song.duration_s:.0f} s, {song.truth.bpm:g} BPM", file=sys.stderr)
    return 0


def chosen(args: argparse.Namespace, audio: AudioSettings) -> tuple[str, str]:
    """What is listened to, as `k1edge run --source` takes it, and as a person reads it. Raises AudioError for a bad file."""
    if args.file:
        from k1edge.audio.files import FileSource

        opener(args.file, audio, args.play)
        FileSource(args.file).close()
        return args.file, args.file
    if args.song or args.play:
        return "demo", "the demo song"
    from k1edge.audio.cards import choose
    from k1edge.audio.linein import list_devices

    try:
        return "line", choose(list_devices(), audio.device).name
    except AudioError as error:
        return "demo", f"the demo song ({error})"


@contextlib.contextmanager
def daemon(
    url: str, source: str, audio: AudioSettings, *, audible: bool
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """`k1edge run` on this broker until the context ends; its words are kept in a file, not mixed into the picture."""
    command = [*PYTHON, "-m", "k1edge", "run", "--broker", url, "--site", SITE, "--source", source]
    with tempfile.TemporaryDirectory(prefix="k1edge-demo-") as folder, tempfile.TemporaryFile() as log:
        config = Path(folder, "k1edge.toml")
        config.write_text(as_toml(Settings(audio=audio, library=LibrarySettings(enabled=False))))
        command += ["--config", str(config), *(["--play"] if audible else [])]
        env = os.environ | {"STATE_DIRECTORY": folder}
        # Ctrl-C is for us alone: the daemon is then stopped in order.
        process = subprocess.Popen(command, env=env, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            yield process, log
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LEAVE_S)
            process.kill()
            process.wait()
