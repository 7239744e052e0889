"""Captures of the line input, each by a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from tests.brokers import PATIENCE_S

RATE_HZ = 48_000
RAMP = 30_000


@dataclass
class Captured:
    samples: np.ndarray
    start: np.ndarray
    arrived_ns: np.ndarray
    nones: int
    errors: list
    counters: list
    stderr: str

    @property
    def overflows(self):
        return sum(overflows for _, overflows, _ in self.counters)

    def offsets(self):
        """(blocks,) file position of each block's first sample minus its `start`, in -RAMP/2..RAMP/2."""
        position = np.round(self.samples[:, 0] * 32768).astype(int)
        return (position - self.start + RAMP // 2) % RAMP - RAMP // 2


class Stuck(Exception):  # noqa: N818 - it is a finding, not a fault
    """A card was gone in the middle of an overrun: PortAudio tries for ever to mend that, and only a new process helps."""


class Capture:
    def __init__(self, env, out, *arguments):
        self._out = out
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.audio.capture", str(out), *map(str, arguments)],
            env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.pid = self._process.pid

    def await_sound(self):
        """Returns when this opening, or the next, has brought some."""
        return self._await("capturing")

    def await_loss(self):
        return self._await("lost")

    def _await(self, word):
        while (said := self._process.stdout.readline()) != f"{word}\n":
            if not said and self._process.wait(PATIENCE_S) == os.EX_TEMPFAIL:
                raise Stuck
            assert said, self._process.communicate()
        return self

    def stop(self):
        self._process.terminate()
        return self.result()

    def result(self):
        stdout, stderr = self._process.communicate(timeout=PATIENCE_S)
        assert self._process.returncode == 0, stderr
        said = json.loads(stdout.splitlines()[-1])
        with np.load(self._out) as arrays:
            return Captured(**arrays, **said, stderr=stderr)


@pytest.fixture
def capture(tmp_path):
    """capture(line, seconds, rate_hz, channel, device) -> a running capture; killed when the test ends."""
    running = []

    def start(line, seconds=20, rate_hz=RATE_HZ, channel=1, device="k1line"):
        running.append(Capture(line.env, tmp_path / f"{len(running)}.npz", seconds, rate_hz, channel, device))
        return running[-1]

    yield start
    for one in running:
        if one._process.poll() is None:
            one._process.kill()
            one._process.communicate()
