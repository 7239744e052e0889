"""Was it the machine? A process of the highest priority on each core that does nothing but wake up 200 times a second.

Where even that is late, the core was withheld: by the host of a virtual machine, mostly. What the daemon misses in such a
second says nothing of the daemon; how many such seconds there were is told along with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from bisect import bisect_left
from pathlib import Path
from typing import Self

from k1edge.system.priority import real_time

PERIOD_MS, LATE_MS = 5, 3.0
"""Between two wakings, and from when one is late: no core is withheld for 8 ms unnoticed, and a hop has 10."""
HIGHEST = os.sched_get_priority_max(os.SCHED_FIFO)
IDLER = f"""import os, sys, time
os.sched_setaffinity(0, {{int(sys.argv[1])}})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param({HIGHEST}))
due_ns = time.monotonic_ns()
while True:
    due_ns += {PERIOD_MS} * 1_000_000
    time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
    now_ns = time.monotonic_ns()
    if now_ns - due_ns > {LATE_MS} * 1e6:
        print(now_ns / 1e9, flush=True)
        due_ns = now_ns
"""


class Control:
    """`with` it, then ask when the machine was not to be had. Raises SystemExit where real-time priority is not granted."""

    def __enter__(self) -> Self:
        with real_time(HIGHEST) as granted:
            if not granted:
                raise SystemExit("the soak needs real-time priority for its control: run it as root")
        self._folder = tempfile.TemporaryDirectory(prefix="k1control")
        self._idlers = []
        for core in sorted(os.sched_getaffinity(0)):
            with Path(self._folder.name, str(core)).open("w") as log:
                self._idlers.append(subprocess.Popen([sys.executable, "-c", IDLER, str(core)], stdout=log))
        return self

    def __exit__(self, *_error: object) -> None:
        for idler in self._idlers:
            idler.kill()
            idler.wait()
        self._folder.cleanup()

    def withheld_s(self) -> list[float]:
        """When an idler was late (time.monotonic), in order. Raises RuntimeError if one does not run."""
        if any(idler.poll() is not None for idler in self._idlers):
            raise RuntimeError("the control has ended")
        # What follows the last line break is still being written.
        logs = [log.read_text().rpartition("\n")[0] for log in Path(self._folder.name).iterdir()]
        return sorted(float(line) for log in logs for line in log.splitlines())


def between(times_s: list[float], from_s: float, to_s: float) -> bool:
    """Whether any of the sorted times lies there."""
    at = bisect_left(times_s, from_s)
    return at < len(times_s) and times_s[at] <= to_s
