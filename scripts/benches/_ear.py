"""When a sound server has really played what was given to it: a listener on its line, beside the daemon."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import soundfile

from tests.sound import PulseLine

PATIENCE_S, LONGEST_SILENCE_S = 10.0, 10.0
EVERY_S = 10.0
"""The promptest delivery in so long tells how the clocks lie to each other."""


class Ear:
    """Hears the line of a sound server beside the daemon, and knows when: a server has a start and a clock of its own.

    A null sink was seen to begin 1.9 s after its player and to run 600 ppm fast: an hour's beats are two seconds out.
    It must hear the line before `wav` is played, which begins with at most LONGEST_SILENCE_S.
    """

    def __init__(self, line: PulseLine, wav: Path) -> None:
        self._rate_hz, rate = line.rate_hz, f"--rate={line.rate_hz}"
        command = ["parec", "--device=linein.monitor", rate, "--channels=1", "--format=s16le", "--latency-msec=20", "--raw"]
        self._process = subprocess.Popen(command, env=line.env, stdout=subprocess.PIPE)
        with soundfile.SoundFile(wav) as file:
            self._first_in_wav = _first_sound(file.read(round(LONGEST_SILENCE_S * file.samplerate), dtype="int16"))
        self._first: int | None = None
        self._behind: list[tuple[float, float]] = []
        """Position in s, and the least s by which the clock was ahead of it, in each stretch of EVERY_S."""
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._hear)
        self._thread.start()
        if not self._listens.wait(PATIENCE_S):
            self.close()
            raise RuntimeError("parec hears nothing of the server, not even silence")

    def _hear(self) -> None:
        frames = 0
        while data := os.read(self._process.stdout.fileno(), 1 << 16):
            self._listens.set()
            samples = np.frombuffer(data, np.int16)
            if self._first is None and samples.any():
                self._first = frames + _first_sound(samples)
            frames += len(samples)
            at_s = frames / self._rate_hz
            behind_s = time.monotonic() - at_s
            if not self._behind or at_s >= self._behind[-1][0] + EVERY_S:
                self._behind.append((at_s, behind_s))
            else:
                self._behind[-1] = (self._behind[-1][0], min(behind_s, self._behind[-1][1]))

    def when_s(self, in_wav_s: np.ndarray) -> np.ndarray:
        """Times in the file, which has been played -> when they were on the line, s monotonic, and what delivery takes."""
        if self._first is None:
            raise RuntimeError("nothing was heard on the line")
        at_s = in_wav_s + (self._first - self._first_in_wav) / self._rate_hz
        begins_s, behind_s = np.array(self._behind).T
        return at_s + np.interp(at_s, begins_s + EVERY_S / 2, behind_s)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._thread.join()


def _first_sound(samples: np.ndarray) -> int:
    return int(np.flatnonzero(samples)[0])
