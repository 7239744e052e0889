"""An errand beside the loop: begun without waiting for its thread, and waited for no longer than is said.

`threading.Thread.start` waits until the new thread says that it runs. One that finds no memory for its first step dies before
it can, and who started it waits for ever: a daemon whose address space was used up stood still while it closed its card.
"""

from __future__ import annotations

import _thread
from collections.abc import Callable

GOODBYE_S = 0.7
"""For one that is under way at the end of the program: a stop takes less than two seconds; what is cut short is repeated."""


class Errand:
    """A function that runs in a thread of its own; what it raises is printed, and ends nothing else."""

    def __init__(self, work: Callable[[], object]) -> None:
        """Begins at once. Raises OSError when the machine grants no thread."""
        self._work, self._busy = work, _thread.allocate_lock()
        self._busy.acquire()
        try:
            _thread.start_new_thread(self._run, ())
        except RuntimeError as fault:
            raise OSError(f"{fault}: the machine refuses another thread") from fault

    def wait(self, limit_s: float) -> bool:
        """Whether it is over, after at most so long."""
        if not self._busy.acquire(timeout=limit_s):
            return False
        self._busy.release()
        return True

    def _run(self) -> None:
        try:
            self._work()
        finally:
            self._busy.release()
