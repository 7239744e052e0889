"""Sound for tests without sound hardware: an ALSA line that plays a file at exact pace and fails on command, and a sound
server whose null sink another program plays into. Both are captured through PortAudio and ALSA as a real card is.

The fixtures `wire_line` and `pulse_line` (tests/conftest.py) give a line whose `.env` is the environment of the process that
captures: it has a private HOME, in whose .asoundrc the PCM `k1line` is defined.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from tests.brokers import PATIENCE_S

Given = TypeVar("Given")
PCM = "k1line"
PLUGIN_SOURCE = Path(__file__).parent / "alsa" / "wireplay.c"
ATTEMPTS = 3


def in_a_quiet_moment(attempt: Callable[[], Given]) -> Given:
    """What is heard or shown in time is the machine's work as much as ours: it spoils an attempt now and then, we spoil all."""
    for spoilt in range(1, ATTEMPTS):
        try:
            return attempt()
        except AssertionError as error:
            print(f"attempt {spoilt} of {ATTEMPTS}: {error}")
    return attempt()


def build_plugin(folder: Path) -> Path:
    """Compiles the ALSA plug-in; needs gcc and libasound2-dev."""
    library = folder / "libasound_module_pcm_wireplay.so"
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-DPIC", "-o", str(library)]
    subprocess.run([*command, str(PLUGIN_SOURCE), "-lasound"], check=True)
    return library


def as_pcm16(samples: np.ndarray) -> np.ndarray:
    """(n, 2) little-endian 16-bit frames of (n,) or (n, 2) float samples."""
    frames = samples if samples.ndim == 2 else np.column_stack((samples, samples))
    return np.round(np.clip(frames, -1, 1) * 32767).astype("<i2")


@dataclass(frozen=True)
class Start:
    """One start of the captured stream: frame `position` of the file was at the plug at `monotonic_ns`."""

    monotonic_ns: int
    position: int
    rate_hz: int

    @property
    def began_s(self) -> float:
        """When frame 0 was at the plug, or would have been; s, monotonic."""
        return self.monotonic_ns / 1e9 - self.position / self.rate_hz


class WireLine:
    """The ALSA line: what is on it, what is wrong with it, and the environment that hears it."""

    def __init__(self, folder: Path, library: Path) -> None:
        self._folder, self._library = folder, library
        self._home = folder / "home"
        self._home.mkdir(parents=True)
        self.env = os.environ | {"HOME": str(self._home), "XDG_RUNTIME_DIR": str(folder)}

    def plug(self, frames: np.ndarray, once: bool = False, rate_hz: int = 0) -> None:
        """Puts (n, channels) int16 frames on the line: looped, or `once` and then silence; any rate, or only one."""
        (self._folder / "line.raw").write_bytes(frames.astype("<i2").tobytes())
        (self._home / ".asoundrc").write_text(
            f'pcm_type.wireplay {{ lib "{self._library}" }}\n'
            f'pcm.{PCM} {{ type wireplay audio "{self._folder}/line.raw" fault "{self._folder}/fault" '
            f'journal "{self._folder}/journal" channels {frames.shape[1]} rate {rate_hz} once {int(once)} }}\n'
        )

    def fault(self, word: str) -> None:
        """run | silence | stall | error | unplug | xrun N | hole N (see the plug-in's source)."""
        # Renamed into place, so that the plug-in never reads half a word.
        draft = self._folder / "fault.draft"
        draft.write_text(word)
        draft.rename(self._folder / "fault")

    def starts(self) -> list[Start]:
        """When capture began, each time; ties a sample of the file to the monotonic clock."""
        journal = self._folder / "journal"
        lines = journal.read_text().splitlines() if journal.exists() else []
        return [Start(int(ns), int(position), int(rate)) for _, ns, position, rate, *_ in map(str.split, lines)]


class PulseLine:
    """A private PulseAudio server with a null sink; its monitor is the PCM `k1line`."""

    def __init__(self, folder: Path, rate_hz: int) -> None:
        self._folder, self.rate_hz = folder, rate_hz
        self._processes: list[subprocess.Popen[bytes]] = []
        home = folder / "home"
        home.mkdir(parents=True)
        folder.chmod(0o700)  # PulseAudio refuses a runtime folder that others can enter
        (home / ".asoundrc").write_text(
            f"pcm.{PCM} {{ type pulse device linein.monitor }}\npcm.!default {{ type pulse device linein }}\n"
        )
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("PULSE_")}
        self.env |= {"HOME": str(home), "XDG_RUNTIME_DIR": str(folder)}

    def _serve(self) -> subprocess.Popen[bytes]:
        modules = [f"module-null-sink sink_name=linein rate={self.rate_hz}", "module-native-protocol-unix"]
        command = ["pulseaudio", "--daemonize=no", "--exit-idle-time=-1", "--log-target=stderr", "-n"]
        for module in modules:
            command += ["-L", module]
        with (self._folder / "pulse.log").open("ab") as log:
            return subprocess.Popen(command, env=self.env, stdout=log, stderr=log)

    @classmethod
    @contextlib.contextmanager
    def running(cls, rate_hz: int) -> Iterator[PulseLine]:
        """One that serves, in a short folder of its own: the path of a Unix socket may have no more than 107 bytes."""
        with tempfile.TemporaryDirectory(prefix="k1pa") as folder:
            line = cls(Path(folder), rate_hz)
            try:
                line.start()
                yield line
            finally:
                line.stop()

    def start(self) -> None:
        """Returns when the server answers."""
        self._processes.append(self._serve())
        self._await_server(self._processes[0])
        # An idle null sink rewinds when the next stream comes and swallows its first sounds: never let it idle.
        rate = f"--rate={self.rate_hz}"
        silence = ["pacat", "--playback", "--device=linein", rate, "--latency-msec=10", "--raw", "/dev/zero"]
        self._processes.append(subprocess.Popen(silence, env=self.env, stderr=subprocess.DEVNULL))

    def stop(self) -> None:
        """As when the server is ended: whoever listens loses the line."""
        while self._processes:
            process = self._processes.pop()
            process.terminate()
            process.wait(PATIENCE_S)

    def _await_server(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        asking = ["pactl", "list", "short", "sinks"]
        while "linein" not in subprocess.run(asking, env=self.env, capture_output=True, text=True).stdout:
            if time.monotonic() > deadline or server.poll() is not None:
                raise RuntimeError(f"PulseAudio did not start: {(self._folder / 'pulse.log').read_text()[-2000:]}")
            time.sleep(0.05)

    def play(self, wav: Path) -> subprocess.Popen[bytes]:
        """Another program plays a file into the line; returns at once."""
        return subprocess.Popen(["paplay", "--device=linein", str(wav)], env=self.env)

