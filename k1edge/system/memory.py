"""How the C library keeps memory: what is large is given back to the system as soon as it is freed.

glibc learns from the first large block that is freed to keep such blocks on its heap (mallopt(3), "dynamic mmap threshold").
Checkpoints of 3 MB and recordings of songs then leave holes between what lives longer: a daemon that needs 96 MB grew to 146
in half an hour of music; with a threshold that stays it is flat once the flight recorder is full.
"""

from __future__ import annotations

import ctypes

M_MMAP_THRESHOLD = -3
"""Of malloc.h."""
LARGE_BYTES = 256 * 1024
"""Nothing of that size is allocated from hop to hop: to map a block anew costs some microseconds."""


def give_back_large_blocks() -> bool:
    """For the rest of this process. False where the C library is another and needs no telling."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE_BYTES))
