"""Whether the wall clock can be trusted: a Pi without a battery boots with yesterday's time until the network tells it.

Consumes the kernel's clock state, emits one bool.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

TIMESYNCD = Path("/run/systemd/timesync/synchronized")
TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""
TIMEX_BYTES = 208
"""sizeof(struct timex) on 64-bit Linux; all zeros = read only."""
WRITTEN_S = 1_790_000_000
"""A wall clock that shows an earlier time than this was written has not been set."""


def is_synchronised() -> bool:
    """True once NTP has set the clock in this boot; False where nobody can tell."""
    if TIMESYNCD.exists():
        return True
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(TIMEX_BYTES))
    except (OSError, AttributeError):
        return False
    return 0 <= state < TIME_ERROR
