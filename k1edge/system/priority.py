"""What makes the light before everything on the machine that may wait: real-time priority, where it is granted.

A hop lasts a tenth of its 10 ms, but an upgrade, a log rotation or an analysis beside it may keep the processor for longer than
that. `LimitRTPRIO=` in the unit, or a limit in /etc/security/limits.d, grants it; without either nothing changes.

All threads that a hop waits for have it, in the order in which they may interrupt each other: the one that empties the sound
card's ring of 40 ms, the loop, the link. The link too, because they share one interpreter: were it put aside for ordinary work
while it holds that, the loop would wait with it. What these threads start, threads and processes, begins with ordinary priority
(sched(7), SCHED_RESET_ON_FORK). A thread that spins cannot take the machine along: the kernel keeps a twentieth of each second
for others (sched_rt_runtime_us), and the watchdog ends it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

LINK, LOOP, CAPTURE = 5, 10, 15
"""Of 1 to 99: above all ordinary work, below the kernel's own threads for interrupts (50)."""


def take(priority: int) -> bool:
    """Real-time priority for the calling thread from now on. False where it is not granted."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except OSError:
        return False
    return True


@contextlib.contextmanager
def real_time(priority: int) -> Iterator[bool]:
    """Whether the calling thread has real-time priority for as long as the context lasts."""
    before, order = os.sched_getscheduler(0), os.sched_getparam(0)
    granted = take(priority)
    try:
        yield granted
    finally:
        if granted:
            os.sched_setscheduler(0, before | os.SCHED_RESET_ON_FORK, order)
