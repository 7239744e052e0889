"""How this process keeps its memory: what it uses stays in it, and what is large is given back as soon as it is freed.

A page of code that has not run for a while is the system's to take when others need room, and comes back from an SD card in ten
milliseconds or more: a hop's whole time. So all that has been touched is locked (mlockall(2), MCL_ONFAULT), where the limit of
the unit, `LimitMEMLOCK=`, allows it; what was never used takes no room.

glibc learns from the first large block that is freed to keep such blocks on its heap (mallopt(3), "dynamic mmap threshold").
Checkpoints of 1.5 MB and recordings of songs then leave holes between what lives longer: a daemon that needs 96 MB grew to 146
in half an hour of music; with a threshold that stays it is flat once the flight recorder is full.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

M_MMAP_THRESHOLD = -3
"""Of malloc.h."""
MCL_CURRENT, MCL_ONFAULT = 1, 4
"""Of sys/mman.h."""
LARGE_BYTES = 256 * 1024
"""Nothing of that size is allocated from hop to hop: to map a block anew costs some microseconds."""


def give_back_large_blocks() -> bool:
    """For the rest of this process. False where the C library is another and needs no telling."""
    mallopt = _of_the_c_library("mallopt")
    return mallopt is not None and bool(mallopt(M_MMAP_THRESHOLD, LARGE_BYTES))


def stay_in_memory() -> bool:
    """What this process has mapped by now, as soon as it is used. False where that is not granted."""
    mlockall = _of_the_c_library("mlockall")
    return mlockall is not None and mlockall(MCL_CURRENT | MCL_ONFAULT) == 0


def _of_the_c_library(name: str) -> Callable[..., int] | None:
    try:
        return getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
