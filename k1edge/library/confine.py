"""`python -m k1edge.library.confine PARENT_PID MEMORY_MB NICE COMMAND...`: becomes COMMAND, with less.

Little memory, and the first to go when there is none left; the lowest priority, one thread per numerical library, no core
files; and it dies with the process that started it, however that ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys
import time
from pathlib import Path

PR_SET_PDEATHSIG = 1
OOM_SCORE, FIRST_TO_GO = Path("/proc/self/oom_score_adj"), "1000"
"""When memory runs out, the kernel ends this process and not the one that makes the light."""
AUTOGROUP = Path("/proc/self/autogroup")
"""Where the kernel shares the processor among sessions (sched(7), autogroup), a nice value counts only within one of them."""
TRIES, TRY_S = 20, 0.1
"""Of all processes that are not root's, the kernel lets one change it in a tenth of a second."""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}


def confine(memory_bytes: int, nice: int, parent: int) -> None:
    """Limits this process; ends it at once if `parent` is gone already."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    os.nice(nice)
    _stand_back(nice)
    with contextlib.suppress(OSError):
        OOM_SCORE.write_text(FIRST_TO_GO)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _stand_back(nice: int) -> None:
    """Gives the session that this process has begun the same nice value."""
    with contextlib.suppress(OSError):
        for _ in range(TRIES):
            try:
                AUTOGROUP.write_text(str(nice))
                return
            except BlockingIOError:
                time.sleep(TRY_S)


def main() -> None:
    """Becomes the command; does not return."""
    parent, memory_mb, nice, *command = sys.argv[1:]
    try:
        Path.cwd()
    except FileNotFoundError:  # the folder that the daemon was started in is gone, which is no fault of a song
        os.chdir("/")
    confine(int(memory_mb) * 1_000_000, int(nice), int(parent))
    os.execve(command[0], command, os.environ | ONE_THREAD)


if __name__ == "__main__":
    main()
