"""The loop before everything else on the machine that may wait: real-time priority, where it is granted.

A hop lasts a tenth of its 10 ms, but an upgrade, a log rotation or an analysis beside it may keep the processor for longer than
that. `LimitRTPRIO=` in the unit, or a limit in /etc/security/limits.d, grants it; without either nothing changes.

Only the calling thread gets it: what it starts, threads and processes, begins with ordinary priority (sched(7),
SCHED_RESET_ON_FORK). A loop that spins cannot take the machine along: the kernel keeps a twentieth of each second for others
(sched_rt_runtime_us), and the watchdog ends it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

PRIORITY = 10
"""Of 1 to 99: above all ordinary work, below the kernel's own threads for interrupts (50)."""


@contextlib.contextmanager
def real_time() -> Iterator[bool]:
    """Whether the calling thread has real-time priority for as long as the context lasts."""
    before, order = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(PRIORITY))
    except OSError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setscheduler(0, before | os.SCHED_RESET_ON_FORK, order)
