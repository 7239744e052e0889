"""Cuts mono audio of any length into hops and, when asked, hands them out at the pace of real time.

Consumes chunks of float32 mono samples, emits `AudioBlock`s of exactly one hop; the last is padded with silence.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

import numpy as np

from k1edge.frames import HOP_NS, AudioBlock, StreamFormat

BACKLOG_NS = 5_000_000_000
"""Of sound that waits for a process that was held up, or stopped: it catches up with so much, and more is past."""


def hops(chunks: Iterable[np.ndarray], hop: int) -> Iterator[np.ndarray]:
    """Re-cuts (n,) chunks into read-only (hop,) float32 arrays; a partial last hop is zero-padded."""
    rest = np.empty(0, np.float32)
    for chunk in chunks:
        samples = np.concatenate((rest, chunk), dtype=np.float32) if len(rest) else chunk.astype(np.float32, copy=False)
        samples = samples.view()
        samples.flags.writeable = False
        whole = len(samples) - len(samples) % hop
        for at in range(0, whole, hop):
            yield samples[at : at + hop]
        rest = samples[whole:]
    if len(rest):
        last = np.zeros(hop, np.float32)
        last[: len(rest)] = rest
        last.flags.writeable = False
        yield last


def blocks(chunks: Iterable[np.ndarray], fmt: StreamFormat, paced: bool) -> Iterator[AudioBlock]:
    """Blocks from sample 0 on; `paced` hands each out when its last sample would have been heard.

    The arrival of a paced block is that due moment, not the moment the sleep ended: a slow wake-up then counts as delay
    of this process, as it would with a sound card, and not as delay of the sound. What is long past is passed over, as a
    line's is.
    """
    began_ns, behind = time.monotonic_ns(), False
    for number, samples in enumerate(hops(chunks, fmt.hop)):
        arrived_ns = 0
        if paced:
            arrived_ns = began_ns + (number + 1) * HOP_NS
            wait_ns = arrived_ns - time.monotonic_ns()
            behind = wait_ns < (0 if behind else -BACKLOG_NS)
            if behind:
                continue
            if wait_ns > 0:
                time.sleep(wait_ns * 1e-9)
        yield AudioBlock(samples, number * fmt.hop, arrived_ns)
