"""Captures with `LineIn` in a process of its own, as the daemon does, and reports all that happened as one JSON document.

    python -m tests.audio.capture OUT.npz SECONDS RATE_HZ CHANNEL DEVICE

Prints `capturing` when each opening has brought SOUND_BLOCKS, and `lost` with each AudioError, after which it closes and opens
again, until so many seconds after the first block (without one, after the start), or until SIGTERM comes.
Ends with 75 where PortAudio is stuck.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from types import SimpleNamespace

import numpy as np

from k1edge.audio import AudioError, StuckError
from k1edge.audio.linein import LineIn

SOUND_BLOCKS = 20


class Report:
    def __init__(self) -> None:
        self.blocks, self.nones, self.errors, self.counters = [], 0, [], []
        self.quiet = 0  # how many None since the last block

    def save(self, path: str) -> None:
        np.savez(
            path,
            samples=np.array([b.samples for b in self.blocks], np.float32),
            start=np.array([b.start for b in self.blocks], int),
            arrived_ns=np.array([b.arrived_ns for b in self.blocks], np.int64),
        )
        print(json.dumps({"nones": self.nones, "errors": self.errors, "counters": self.counters}))


class Time:
    """Is over some seconds after it was last begun, or when told."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.begin()

    def begin(self) -> None:
        self._until_s = time.monotonic() + self._seconds

    def end(self, *_signal: object) -> None:
        self._until_s = 0.0

    def __call__(self) -> bool:
        return time.monotonic() > self._until_s


def capture(line: LineIn, ended: Time, report: Report) -> None:
    heard = report.quiet = 0
    try:
        for block in line:
            if block is None:
                report.nones, report.quiet = report.nones + 1, report.quiet + 1
            else:
                heard, report.quiet = heard + 1, 0
                if not report.blocks:
                    ended.begin()  # how long it takes to start and to open says something about the machine alone
                if heard == SOUND_BLOCKS:
                    print("capturing", flush=True)
                report.blocks.append(block)
            if ended():
                return
    finally:
        line.close()
        report.counters.append([heard, line.overflows, line.lost_samples])


def main(out: str, seconds: str, rate_hz: str, channel: str, device: str) -> None:
    settings = SimpleNamespace(
        device=device, rate_hz=int(rate_hz), channel=channel if channel == "mix" else int(channel)
    )
    report, ended = Report(), Time(float(seconds))
    signal.signal(signal.SIGTERM, ended.end)

    while not ended():
        try:
            capture(LineIn(settings), ended, report)
        except StuckError:
            os._exit(os.EX_TEMPFAIL)  # as the daemon does
        except AudioError as error:
            print("lost", flush=True)
            report.errors.append([error.device, error.reason, error.remedy, report.quiet])
            time.sleep(0.2)
    report.save(out)


if __name__ == "__main__":
    main(*sys.argv[1:])
