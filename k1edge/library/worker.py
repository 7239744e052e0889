"""One analysis in a process of its own: a crash, a hang or a hunger for memory ends there.

Runs `<command> <song> --job <output>`, confined. The child reports on its standard output, one JSON object a line:
`{"stage": "beats", "progress": 0.5}`, `{"lasts_s": 4500.0}` of the song, and `{"code": "NO_MUSIC", "reason": "..."}` when there
will be no map; what it writes to standard error is its log. Nothing here ever waits.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from k1edge.interpreter import PYTHON
from k1edge.library.errors import Code

NICE = 19
BEGUN = "starting"
"""The stage of an analysis that has said nothing yet."""
LOG_LINES = 20
LINE_LIMIT = 300
READ_BYTES = 1 << 16
"""Read at once; a child that floods its pipes is slowed down, not us."""
OOM_KILLS = Path("/proc/vmstat"), "oom_kill"
"""Where the kernel counts the processes it has ended for want of memory, the machine's and any control group's."""
PACE_FROM = 0.1
"""The progress from which its own pace says when it ends: before it, most of the time went into the start."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an analysis may use."""

    time_s: float = 300.0
    """Or as long as the song lasts, if that is longer."""
    memory_mb: int = 700
    """Of address space: numpy and a decoder map 350 MB before they hold anything."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why there is no map."""

    code: Code
    reason: str


class Worker:
    """A running analysis."""

    def __init__(self, command: list[str], song: Path, output: Path, limits: Limits) -> None:
        self.output = output
        self.stage, self.progress = BEGUN, 0.0
        self.log: deque[str] = deque(maxlen=LOG_LINES)
        self._failure: Failure | None = None
        self._limits, self._started, self._time_s = limits, time.monotonic(), limits.time_s
        confined = [*PYTHON, "-m", "k1edge.library.confine", str(os.getpid()), str(limits.memory_mb), str(NICE)]
        self._process = subprocess.Popen(
            [*confined, *command, os.fspath(song), "--job", os.fspath(output)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self._oom_kills = _oom_kills()
        self._partial = {self._process.stdout: b"", self._process.stderr: b""}
        for pipe in self._partial:
            os.set_blocking(pipe.fileno(), False)

    def poll(self) -> bool:
        """Takes in what the child reported, ends it when its time is over; True once it has ended."""
        over = self.age_s > self._time_s
        if over and self._process.poll() is None:
            reached = f"{self.stage} {self.progress:.0%}"
            self._failure = Failure(Code.TIME_LIMIT, f"took longer than {self._time_s:g} s, at {reached}")
            self.kill()
        ended = self._process.poll() is not None
        for line in self._lines(self._process.stdout):
            self._heard(line)
        self.log.extend(line.decode("utf-8", "replace")[:LINE_LIMIT] for line in self._lines(self._process.stderr))
        return ended

    @property
    def age_s(self) -> float:
        """Since its start."""
        return time.monotonic() - self._started

    def left_s(self, usual_s: float) -> float:
        """Until its end, by its own pace; at first, as if it took as long as others."""
        if self.progress < PACE_FROM:
            return usual_s * (1 - self.progress)
        return self.age_s * (1 / self.progress - 1)

    def kill(self) -> None:
        """Ends the child and all it started, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        """Ends the child if need be; what it wrote stays."""
        self.kill()
        for pipe in self._partial:
            pipe.close()

    @property
    def failure(self) -> Failure | None:
        """Why the ended child made no map; None when it says it did."""
        status = self._process.returncode
        if self._failure or status == 0:
            return self._failure
        if status == -signal.SIGKILL:
            return self._killed()
        if status < 0:
            return Failure(Code.ANALYSIS_FAILED, f"the analysis was ended by {signal.Signals(-status).name}")
        last = next(reversed(self.log), "no reason was given")
        return Failure(Code.OUT_OF_MEMORY if "MemoryError" in last else Code.ANALYSIS_FAILED, last)

    def _killed(self) -> Failure:
        """By somebody else: the kernel tells that it does so, though not to whom."""
        before, now, reached = self._oom_kills, _oom_kills(), f"at {self.stage} {self.progress:.0%}"
        todo = "let the service use more (`MemoryMax=`, by `systemctl edit k1edge`), or let less run beside it"
        if before is None or now is None:
            guess = f"the analysis was killed {reached}: if nobody did, memory ran out"
            return Failure(Code.ANALYSIS_FAILED, f"{guess}; {todo}")
        if now > before:
            return Failure(Code.OUT_OF_MEMORY, f"memory ran out, and the kernel ended the analysis {reached}; {todo}")
        return Failure(Code.ANALYSIS_FAILED, f"the analysis was killed {reached}, and not by the kernel for want of memory")

    def _lines(self, pipe: IO[bytes]) -> list[bytes]:
        try:
            piece = os.read(pipe.fileno(), READ_BYTES)
        except BlockingIOError:
            return []
        *lines, rest = (self._partial[pipe] + piece).split(b"\n")
        self._partial[pipe] = rest[-READ_BYTES:]
        return lines

    def _heard(self, line: bytes) -> None:
        try:
            report: Any = json.loads(line)
        except ValueError:
            report = None
        match report:
            case {"stage": str() as stage, "progress": int() | float() as progress}:
                self.stage, self.progress = stage[:LINE_LIMIT], min(max(float(progress), 0.0), 1.0)
            case {"lasts_s": int() | float() as lasts_s}:
                self._time_s = max(self._limits.time_s, lasts_s)
            case {"code": str() as code, "reason": str() as reason} if code in Code.__members__:
                self._failure = Failure(Code(code), reason[:LINE_LIMIT])
            case _:
                self.log.append(line.decode("utf-8", "replace")[:LINE_LIMIT])


def _oom_kills() -> int | None:
    """Since the machine's start; None where nobody counts."""
    path, name = OOM_KILLS
    try:
        return next((int(count) for key, count in map(str.split, path.read_text().splitlines()) if key == name), None)
    except (OSError, ValueError):
        return None
